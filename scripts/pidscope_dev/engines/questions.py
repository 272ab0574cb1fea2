"""The questions that each engine and pidscope are both asked: what the engine says is right.

Plain means find the process 17 (`tasks`), not pidscope.
Each question returns nothing if all is right, and what differs otherwise.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

from .engine import HOST, SEVENTEEN, SLEEP, CannotDo, Engine, EngineFailed, awaited
from .readme import Facts, complaints
from .run import pidscope
from .tasks import inum, members

ONE, SHARED, ON_HOST, GONE = "engine-one", "engine-shared", "engine-host", "engine-gone"
ALL = (SHARED, ON_HOST, GONE, ONE)
EXECUTED = "/bin/sleep 7654321"  # of containerd without an image there is no PATH
_NOT_OWN = "has no PID namespace of its own"

Answer = dict[str, Any]


class Differs(Exception):
    """What pidscope says is not what the engine says."""


def said(command: str) -> Answer:
    """Return a command's JSON."""
    status, printed, complaint = pidscope(command, "-J")
    if status:
        raise Differs(f"{command}: exit {status}: {complaint}")
    answer: Answer = json.loads(printed)
    return answer


class Asked:
    """One engine with the containers of all questions, and what pidscope prints of them at once."""

    def __init__(self, engine: Engine) -> None:
        """Prepare the engine and start the containers; what fails, its question reports."""
        self.engine = engine
        self._failed: dict[str, Exception] = {}
        self._executed = 0
        engine.prepare()
        self.clean()
        engine.start(ONE, SEVENTEEN)
        self._init = engine.init(ONE)
        self._ns = inum(self._init)
        self._seventeen = self.seventeen()
        self._try(GONE, self._end_one)
        self._try(EXECUTED, self._execute)
        self._try(SHARED, lambda: engine.start(SHARED, SLEEP, ONE))
        self._try(ON_HOST, lambda: engine.start(ON_HOST, SLEEP, HOST))
        self._ps: dict[int, Answer] = {it["pid"]: it for it in said("ps")["processes"]}
        self._tree = _by_inum()

    def _try(self, what: str, start: Callable[[], None]) -> None:
        try:
            start()
        except (CannotDo, EngineFailed, OSError, ValueError) as error:
            self._failed[what] = error

    def _started(self, what: str) -> None:
        if what in self._failed:
            raise self._failed[what]

    def _execute(self) -> None:
        self.engine.execute(ONE, *EXECUTED.split())
        self._executed = awaited("what was executed", lambda: _running(EXECUTED, self._ns))

    def _end_one(self) -> None:
        self.engine.start(GONE, SEVENTEEN)
        self.gone = self.engine.number(GONE)
        ns = inum(self.engine.init(GONE))
        self.seventeen(GONE)
        self.engine.end(GONE)
        awaited("its end", lambda: not members(ns) or None)

    def clean(self) -> None:
        """Remove every container."""
        for name in ALL:
            self.engine.remove(name)

    def seventeen(self, name: str = ONE) -> int:
        """Return the host's PID of what is 17 in a container, as soon as it is there."""
        ns = inum(self.engine.init(name))
        return awaited(f"17 in {name}", lambda: members(ns).get(17))

    def name(self) -> None:
        """Its name is known, and its runtime."""
        found = self._process(self._seventeen)["container"]
        expected = self.engine.known_as(ONE)
        if not found or expected not in (found["name"], found["pod"], found["id"]):
            raise Differs(f"container {_brief(found)} for {expected}")
        _equal("runtime", found["runtime"], self.engine.runtime)

    def init(self) -> None:
        """The namespace has the engine's number as its init, and belongs to the container."""
        entry = self._namespace(self._ns)
        _equal("init", entry["init"], self._init)
        self._is(entry["container"], ONE)

    def _is(self, container: Answer | None, name: str) -> None:
        found = container and container["id"]
        if not found or not self.engine.number(name).startswith(found):
            raise Differs(f"container {_brief(container)} for {name}")

    def into(self) -> None:
        """The number 17 in it is the process on the host."""
        complaint = self._wrong(self.engine.word(ONE))
        if complaint:
            by_id = self._wrong(_by_id(self.engine.number(ONE)))
            raise Differs(f"by name: {complaint}; by id: {by_id or 'ok'}")

    def _wrong(self, where: str) -> str:
        status, printed, complaint = pidscope("lookup", "-q", "17", "--in", where)
        if status:
            return f"exit {status}, {complaint.splitlines()[0] if complaint else 'silent'}"
        return "" if printed == str(self._seventeen) else f"{printed}, not {self._seventeen}"

    def pod(self) -> None:
        """The pod is its one container."""
        pod = self.engine.pod(ONE)
        complaint = self._wrong(f"pod:{pod}")
        if complaint:
            raise Differs(f"pod:{pod}: {complaint}")
        found = self._process(self._seventeen)["container"]
        _equal("pod", found and found["pod"], pod)

    def out(self) -> None:
        """The process on the host is 17 in it."""
        where = _by_id(self.engine.number(ONE))
        status, printed, complaint = pidscope("lookup", "-q", str(self._seventeen), "--to", where)
        if status or printed != "17":
            raise Differs(f"exit {status}, {printed or complaint.splitlines()[0]}")

    def exec(self) -> None:
        """What was executed in it is in it, and has joined."""
        self._started(EXECUTED)
        found = self._process(self._executed)
        self._is(found["container"], ONE)
        _equal("joined", found["joined"], True)

    def shared(self) -> None:
        """A container in another's namespace is itself, and the namespace stays the other's."""
        self._started(SHARED)
        init = self.engine.init(SHARED)
        if inum(init) != self._ns:
            raise EngineFailed("it has another PID namespace")
        entry = self._namespace(self._ns)
        self._is(entry["container"], ONE)
        self._is(self._process(init)["container"], SHARED)
        if not entry["shared"]:
            raise Differs("ns lists none that shares the namespace")
        self._is(entry["shared"][0], SHARED)

    def host(self) -> None:
        """In a container with the host's namespace, no number is given without a word."""
        self._started(ON_HOST)
        init = self.engine.init(ON_HOST)
        if inum(init) != inum(1):
            raise EngineFailed("it has another PID namespace")
        self._is(self._process(init)["container"], ON_HOST)
        where = _by_id(self.engine.number(ON_HOST))
        status, printed, complaint = pidscope("lookup", "-q", "17", "--in", where)
        if status == 0:
            raise Differs(f"lookup -q prints the host's {printed}: {complaint or 'silent'}")
        if _NOT_OWN not in complaint.replace("\npidscope: ", " "):
            raise Differs(f"exit {status}, {complaint}")

    def readme(self) -> None:
        """Each line of README's table "Which command answers" is true of it."""
        facts = Facts(
            self.engine.word(ONE), self.engine.known_as(ONE), self._seventeen, self._executed
        )
        wrong = list(complaints(facts))
        if wrong:
            raise Differs("; ".join(wrong))

    def pause(self) -> None:
        """A paused one answers as before."""
        self.engine.pause(ONE)
        try:
            complaint = self._wrong(_by_id(self.engine.number(ONE)))
        finally:
            self.engine.resume(ONE)
        if complaint:
            raise Differs(complaint)

    def restart(self) -> None:
        """A restarted one is the new one."""
        self.engine.restart(ONE)
        self._init = self.engine.init(ONE)
        self._ns = inum(self._init)
        old, self._seventeen = self._seventeen, self.seventeen()
        if self._seventeen == old:
            raise EngineFailed("it was not restarted")
        complaint = self._wrong(_by_id(self.engine.number(ONE)))
        if complaint:
            raise Differs(complaint)
        self._tree = _by_inum()
        self.init()

    def ended(self) -> None:
        """One that has ended has no number, with a reason and no exit status 0."""
        self._started(GONE)
        for where in (self.engine.word(GONE), _by_id(self.gone)):
            status, printed, _ = pidscope("lookup", "-q", "17", "--in", where)
            if status == 0 or printed:
                raise Differs(f"exit {status}, {printed!r} for {where}, which has ended")

    def _process(self, process: int) -> Answer:
        if process not in self._ps:
            raise Differs(f"ps omits {process}")
        return self._ps[process]

    def _namespace(self, ns: int) -> Answer:
        if ns not in self._tree:
            raise Differs("ns omits its namespace")
        return self._tree[ns]


# Restarting is last: what was said at once is of the old one.
QUESTIONS: dict[str, Callable[[Asked], None]] = {
    "name": Asked.name,
    "init": Asked.init,
    "17 in it": Asked.into,
    "17 out of it": Asked.out,
    "pod": Asked.pod,
    "exec": Asked.exec,
    "shared": Asked.shared,
    "host's": Asked.host,
    "ended": Asked.ended,
    "README": Asked.readme,
    "paused": Asked.pause,
    "restarted": Asked.restart,
}


def answers(
    engine: Engine,
    before: Callable[[Asked], None] | None = None,
    without: Set[str] = frozenset(),
) -> dict[str, str]:
    """Return for each question ``ok``, ``-`` for what the engine cannot do, or what differs.

    ``before`` is called when all containers run, before the first question; those that are
    ``without`` are not asked.
    """
    asked = Asked(engine)
    try:
        if before is not None:
            before(asked)
        questions = {name: ask for name, ask in QUESTIONS.items() if name not in without}
        return {name: answer(asked, ask) for name, ask in questions.items()}
    finally:
        asked.clean()


def answer(asked: Asked, ask: Callable[[Asked], None]) -> str:
    """Return ``ok``, ``-`` or what differs."""
    try:
        ask(asked)
    except CannotDo as reason:
        return f"- ({reason})"
    except Differs as difference:
        return f"differs: {difference}"
    except (EngineFailed, OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"not run: {error}"
    return "ok"


def _running(command: str, ns: int) -> int | None:
    line = command.replace(" ", "\0").encode() + b"\0"
    for process in members(ns).values():
        try:
            if Path(f"/proc/{process}/cmdline").read_bytes().endswith(line):
                return process
        except OSError:
            continue
    return None


def _by_id(number: str) -> str:
    return f"id:{number}" if len(number) == 64 else f"name:{number}"


def _by_inum() -> dict[int, Answer]:
    return {entry["ns"]: entry for entry in said("ns")["namespaces"]}


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Differs(f"{what} is {found}, not {expected}")


def _brief(container: Answer | None) -> str:
    if container is None:
        return "none"
    return f"{container['runtime']} {container['name'] or container['id']}"
