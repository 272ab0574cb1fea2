"""From a number in one PID namespace to whoever has it, and to its numbers in the others.

Pure. A number is taken by a task, or (its process gone) by a group or a session that is still
called by it; the kernel gives it to nobody else until all of them are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pidscope.escape import escape
from pidscope.query.process import Level, Process, rfc3339

if TYPE_CHECKING:
    from pidscope.query.ended import Life


class Numbered(NamedTuple):
    """The number of a struct pid in one namespace; ``ns`` None: it may not be read."""

    ns: int | None
    number: int


class Held(NamedTuple):
    """A number without a task of its own, and who is in the group and the session of that name.

    ``levels``: its numbers as its members' namespaces tell them; further inwards it may have more.
    """

    levels: tuple[Numbered, ...]
    group: tuple[int, ...]  # processes, by number in the outermost namespace
    session: tuple[int, ...]


class Taken(NamedTuple):
    """Who has a number: a task, or nobody but a group or a session, or (both None) nobody."""

    number: int
    task: Process | None = None
    held: Held | None = None


class Answer(NamedTuple):
    """What is known of one number in one namespace.

    ``ended`` are those who had it before, the latest first; None: nothing was recording.
    """

    ns: int | None  # where it counts
    to: int | None  # the inum to which it is translated
    taken: Taken
    ended: tuple[Life, ...] | None = None

    @property
    def levels(self) -> tuple[Numbered, ...]:
        """The numbers of whoever has it now, outermost first; none: nobody has."""
        task, held = self.taken.task, self.taken.held
        if task is not None:
            return tids(task)
        return () if held is None else held.levels

    @property
    def translated(self) -> int | None:
        """The number of who has it now in ``to``: 0 if there is none, None if not known."""
        if not self.levels:
            return 0
        number = number_in(self.levels, self.to)
        # Further inwards than its members can tell, what they hold may have a number all the same.
        return number or (None if self.taken.task is None else number)


class Numbers:
    """The tasks that have a number in one namespace, by that number.

    Args:
        processes: tasks, a process at least by its leader.
        ns: inum of the namespace; None: the outermost one.
    """

    def __init__(self, processes: Iterable[Process], ns: int | None) -> None:
        self._ns = ns
        self._tasks: dict[int, Process] = {}
        self._leaders: list[Process] = []
        self._groups: dict[int, list[Process]] = {}
        self._sessions: dict[int, list[Process]] = {}
        for process in processes:
            self.add(process)

    def add(self, process: Process) -> None:
        """Know of one more task; it may have no number here."""
        level = level_in(process, self._ns)
        if level is None:
            return
        self._tasks[level["tid"]] = process
        if process["tid"] == process["pid"]:
            self._leaders.append(process)
            self._groups.setdefault(level["pgid"], []).append(process)
            self._sessions.setdefault(level["sid"], []).append(process)

    def processes(self) -> list[int]:
        """Those that have a number here, by their number in the outermost namespace."""
        return [process["pid"] for process in self._leaders]

    def who(self, number: int) -> Taken:
        """Who has ``number``."""
        task = self._tasks.get(number)
        return Taken(number, task, self._held(number) if task is None else None)

    def _held(self, number: int) -> Held | None:
        group, session = self._groups.get(number, []), self._sessions.get(number, [])
        if not (group or session):
            return None
        names = [
            tuple(Numbered(level["ns"], level["pgid"]) for level in process["levels"])
            for process in group
        ] + [
            tuple(Numbered(level["ns"], level["sid"]) for level in process["levels"])
            for process in session
        ]
        levels = max((tuple(it for it in name if it.number) for name in names), key=_depth)
        return Held(levels, _pids(group), _pids(session))


def level_in(process: Process, ns: int | None) -> Level | None:
    """Return what the namespace calls a task; None: it has no number there, or none is known."""
    levels = process["levels"]
    if ns is None:
        return levels[0]
    return next((level for level in levels if level["ns"] == ns), None)


def tids(process: Process) -> tuple[Numbered, ...]:
    """Return the numbers of a task, outermost first."""
    return tuple(Numbered(level["ns"], level["tid"]) for level in process["levels"])


def number_in(levels: Sequence[Numbered], ns: int | None) -> int | None:
    """Return the number at the level of ``ns``: 0 if there is none, None if that is not known."""
    if ns is None:
        return levels[0].number
    for level in levels:
        if level.ns == ns:
            return level.number
    return None if any(level.ns is None for level in levels) else 0


def _depth(levels: tuple[Numbered, ...]) -> int:
    return len(levels)


def _pids(processes: Iterable[Process]) -> tuple[int, ...]:
    return tuple(process["pid"] for process in processes)


def answer_json(answer: Answer, boot_time: int) -> dict[str, Any]:
    """Return one entry of the document; ``boot_time`` is in seconds since the epoch."""
    task, held, ended = answer.taken.task, answer.taken.held, answer.ended
    return {
        "number": answer.taken.number,
        "ns": answer.ns,
        "to": {"ns": answer.to, "number": answer.translated if answer.levels else None},
        "process": task,
        "held": None if held is None else _held_json(held),
        "ended": None if ended is None else _lives_json(answer, ended, boot_time),
    }


def _held_json(held: Held) -> dict[str, Any]:
    levels = [level._asdict() for level in held.levels]
    return {"levels": levels, "group": list(held.group), "session": list(held.session)}


def _lives_json(answer: Answer, lives: Iterable[Life], boot_time: int) -> list[dict[str, Any]]:
    taken = answer.taken.task is not None
    return [
        {
            "pid": life.tgids[0],
            "tid": life.numbers[0],
            "comm": escape(life.comm),
            "start_time": None if life.start_ns is None else rfc3339(boot_time, life.start_ns),
            "start_ns": None if life.start_ns is None else str(life.start_ns),
            "exited_time": rfc3339(boot_time, life.exited_ns),
            "exited_ns": str(life.exited_ns),
            "released_ns": str(life.released_ns),
            "exit_status": None if signal_of(life) else life.exit_code >> 8 & 0xFF,
            "signal": signal_of(life) or None,
            "given_out_again": taken or place > 0,
            "levels": [
                {"ns": ns, "tid": tid, "pid": pid}
                for ns, tid, pid in zip(life.inums, life.numbers, life.tgids)
            ],
        }
        for place, life in enumerate(lives)
    ]


def signal_of(life: Life) -> int:
    """Return the signal that ended it, 0: none did."""
    return life.exit_code & 0x7F
