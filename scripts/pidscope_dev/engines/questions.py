"""The questions that each engine and pidscope are both asked: what the engine says is right.

Plain means find the process 17: NSpid and the link of a namespace, read here and not by pidscope.
Each question returns nothing if all is right, and what differs otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .engine import HOST, SEVENTEEN, SLEEP, TIME_LIMIT_S, CannotDo, Engine, EngineFailed, awaited

ONE, SHARED, ON_HOST, GONE = "engine-one", "engine-shared", "engine-host", "engine-gone"
OUTER, INNER = "engine-outer", "inner"
ALL = (SHARED, ON_HOST, GONE, OUTER, ONE)
TRIES = 20  # an engine has 0.15 s to answer pidscope, and is emulated here
EXECUTED = "sleep 7654321"

Answer = dict[str, Any]


class Differs(Exception):
    """What pidscope says is not what the engine says."""


def pidscope(*arguments: str) -> tuple[int, str, str]:
    """Run this checkout's pidscope; return its exit status and what it prints."""
    command = [sys.executable, "-m", "pidscope", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def said(command: str) -> Answer:
    """Return a command's JSON."""
    status, printed, complaint = pidscope(command, "-J")
    if status:
        raise Differs(f"{command}: exit {status}: {complaint}")
    answer: Answer = json.loads(printed)
    return answer


def inum(process: int) -> int:
    """Return the inode number of a process's PID namespace. Raises FileNotFoundError."""
    return Path(f"/proc/{process}/ns/pid").stat().st_ino


def numbers(process: int) -> list[int]:
    """Return the numbers of a process, the host's first. Raises OSError when it has gone."""
    status = Path(f"/proc/{process}/status").read_text(errors="replace")
    return [int(it) for it in status.partition("\nNSpid:\t")[2].partition("\n")[0].split()]


def processes() -> list[int]:
    """Return the host's PIDs of all processes."""
    return [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]


def members(ns: int) -> dict[int, int]:
    """Return the host's PID by the number in a namespace, of the processes that are in it."""
    found = {}
    for process in processes():
        try:
            if inum(process) == ns:
                found[numbers(process)[-1]] = process
        except OSError:
            continue
    return found


class Asked:
    """One engine with the containers of all questions."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

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
        process = self.seventeen()
        for _ in range(TRIES):
            found = _process(process)["container"]
            if found and ONE in (found["name"], found["id"]):
                break
        else:
            raise Differs(f"container {_brief(found)} for {ONE}")
        _equal("runtime", found["runtime"], self.engine.runtime)

    def init(self) -> None:
        """The namespace has the engine's number as its init, and belongs to the container."""
        init = self.engine.init(ONE)
        entry = _namespace(inum(init))
        _equal("init", entry["init"], init)
        self._is(entry["container"], ONE)

    def _is(self, container: Answer | None, name: str) -> None:
        found = container and container["id"]
        if not found or not self.engine.number(name).startswith(found):
            raise Differs(f"container {_brief(container)} for {name}")

    def into(self) -> None:
        """The number 17 in it is the process on the host."""
        self._looked_up(ONE, self.seventeen())

    def _looked_up(self, name: str, expected: int) -> None:
        for _ in range(TRIES):
            status, printed, complaint = pidscope("lookup", "-q", "17", "--in", name)
            if status == 0:
                break
        if status:
            status, printed, _ = pidscope(
                "lookup", "-q", "17", "--in", f"id:{self.engine.number(name)}"
            )
            by_id = "by its id: ok" if (status, printed) == (0, str(expected)) else "nor by its id"
            raise Differs(f"no such place by name ({by_id}): {complaint.splitlines()[0]}")
        _equal(f"17 in {name}", printed, str(expected))

    def out(self) -> None:
        """The process on the host is 17 in it."""
        process = str(self.seventeen())
        where = f"ns:{inum(self.engine.init(ONE))}"
        _equal("by ns", pidscope("lookup", "-q", process, "--to", where)[:2], (0, "17"))
        where = f"id:{self.engine.number(ONE)}"
        status, printed, complaint = pidscope("lookup", "-q", process, "--to", where)
        _equal(f"by id ({complaint})", (status, printed), (0, "17"))

    def exec(self) -> None:
        """What was executed in it is in it, and has joined."""
        self.engine.execute(ONE, *EXECUTED.split())
        ns = inum(self.engine.init(ONE))
        process = awaited("what was executed", lambda: _running(EXECUTED, ns))
        found = _process(process)
        self._is(found["container"], ONE)
        _equal("joined", found["joined"], True)

    def shared(self) -> None:
        """A container in another's namespace is itself, and the namespace stays the other's."""
        self.engine.start(SHARED, SLEEP, ONE)
        init = self.engine.init(SHARED)
        entry = _namespace(inum(init))
        _equal("the namespace", inum(init), inum(self.engine.init(ONE)))
        self._is(entry["container"], ONE)
        self._is(_process(init)["container"], SHARED)
        if not entry["shared"]:
            raise Differs("nothing shares the namespace")
        self._is(entry["shared"][0], SHARED)
        self._looked_up(ONE, self.seventeen())
        self.engine.remove(SHARED)

    def host(self) -> None:
        """In a container with the host's namespace, no number is given without a word."""
        self.engine.start(ON_HOST, SLEEP, HOST)
        init = self.engine.init(ON_HOST)
        _equal("the namespace", inum(init), inum(1))
        self._is(_process(init)["container"], ON_HOST)
        where = f"id:{self.engine.number(ON_HOST)}"
        status, printed, complaint = pidscope("lookup", "-q", "17", "--in", where)
        if status == 0:
            raise Differs(f"lookup -q 17 --in it prints the host's {printed}: {complaint}")
        self.engine.remove(ON_HOST)

    def pause(self) -> None:
        """A paused one answers as before."""
        self.engine.pause(ONE)
        try:
            self._by_id()
        finally:
            self.engine.resume(ONE)

    def _by_id(self) -> None:
        where = f"id:{self.engine.number(ONE)}"
        status, printed, complaint = pidscope("lookup", "-q", "17", "--in", where)
        _equal(f"17 ({complaint})", (status, printed), (0, str(self.seventeen())))

    def restart(self) -> None:
        """A restarted one is the new one."""
        old = self.seventeen()
        self.engine.restart(ONE)
        if self.seventeen() == old:
            raise EngineFailed("it was not restarted")
        self._by_id()
        self.init()

    def ended(self) -> None:
        """One that has ended has no number, with a reason and no exit status 0."""
        self.engine.start(GONE, SEVENTEEN)
        number = self.engine.number(GONE)
        ns = inum(self.engine.init(GONE))
        self.seventeen(GONE)
        self.engine.end(GONE)
        awaited("its end", lambda: not members(ns) or None)
        for where in (GONE, f"id:{number}"):
            status, printed, _ = pidscope("lookup", "-q", "17", "--in", where)
            if status == 0 or printed:
                raise Differs(f"exit {status}, {printed!r} for {where}, which has ended")
        self.engine.remove(GONE)


QUESTIONS: dict[str, Callable[[Asked], None]] = {
    "name": Asked.name,
    "init": Asked.init,
    "17 in it": Asked.into,
    "17 out of it": Asked.out,
    "exec": Asked.exec,
    "shared": Asked.shared,
    "host's": Asked.host,
    "paused": Asked.pause,
    "restarted": Asked.restart,
    "ended": Asked.ended,
}


def answers(engine: Engine) -> dict[str, str]:
    """Return for each question ``ok``, ``-`` for what the engine cannot do, or what differs."""
    asked = Asked(engine)
    engine.prepare()
    asked.clean()
    engine.start(ONE, SEVENTEEN)
    try:
        return {name: answer(asked, ask) for name, ask in QUESTIONS.items()}
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


def _process(process: int) -> Answer:
    for found in said("ps")["processes"]:
        if found["pid"] == process:
            answer: Answer = found
            return answer
    raise Differs(f"ps omits {process}")


def _namespace(ns: int) -> Answer:
    for found in said("ns")["namespaces"]:
        if found["ns"] == ns:
            answer: Answer = found
            return answer
    raise Differs(f"ns omits pid:[{ns}]")


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Differs(f"{what} is {found}, not {expected}")


def _brief(container: Answer | None) -> str:
    if container is None:
        return "none"
    return f"{container['runtime']} {container['name'] or container['id']}"
