"""From a number in one PID namespace to the task that has it, and to its numbers in the others.

Pure. A number is taken by a task, or (its process gone) by a group or a session that is still
called by it; the kernel gives it to no other task until all of them are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pidscope.errors import HostError, NotFound, NotKnown
from pidscope.query.place import ROOT, bracketed
from pidscope.query.process import Level, Process, is_complete
from pidscope.query.view import View

if TYPE_CHECKING:
    from pidscope.query.ended import History, Life

_UNRECORDED = """\
what had it before is not known: nothing was recording
pidscope record --ring records from now on"""


class Numbered(NamedTuple):
    """The number of a struct pid in one namespace; ``ns`` None: it may not be read."""

    ns: int | None
    number: int


class Held(NamedTuple):
    """A number that only a process group and a session have, and the processes in these.

    ``levels``: its numbers as its members' namespaces show them; further inwards it may have more.
    """

    levels: tuple[Numbered, ...]
    group: tuple[int, ...]  # processes, by number in the outermost namespace
    session: tuple[int, ...]


class Taken(NamedTuple):
    """What has a number: a task, or only a group or a session, or (both None) nothing."""

    number: int
    task: Process | None = None
    held: Held | None = None


class Answer(NamedTuple):
    """What is known of one number in one namespace.

    ``ended`` are the tasks that had it before, the latest first; None: nothing was recording.
    """

    ns: int | None  # where it counts
    to: int | None  # the inum to which it is translated
    taken: Taken
    ended: tuple[Life, ...] | None = None

    @property
    def levels(self) -> tuple[Numbered, ...]:
        """The numbers of what has it now, outermost first; none: nothing has it."""
        task, held = self.taken.task, self.taken.held
        if task is not None:
            return tids(task)
        return () if held is None else held.levels

    @property
    def level(self) -> Level | None:
        """What the namespace calls the task that has it now; None: no task, or it is not known."""
        return None if self.taken.task is None else level_in(self.taken.task, self.ns)

    @property
    def translated(self) -> int | None:
        """The number in ``to`` of what has it now: 0 if there is none, None if not known."""
        if not self.levels:
            return 0
        number = number_in(self.levels, self.to)
        # Further inwards than its members show, what they hold may have a number all the same.
        return number or (None if self.taken.task is None else number)


class NumberIndex:
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
        self._tasks[level.tid] = process
        if process.is_leader:
            self._leaders.append(process)
            self._groups.setdefault(level.pgid, []).append(process)
            self._sessions.setdefault(level.sid, []).append(process)

    def processes(self) -> list[int]:
        """The processes that have a number here, by their number in the outermost namespace."""
        return [process.pid for process in self._leaders]

    def what_has(self, number: int) -> Taken:
        """What has ``number``."""
        task = self._tasks.get(number)
        return Taken(number, task, self._held(number) if task is None else None)

    def _held(self, number: int) -> Held | None:
        group, session = self._groups.get(number, []), self._sessions.get(number, [])
        if not (group or session):
            return None
        names = [[Numbered(level.ns, level.pgid) for level in it.levels] for it in group]
        names += [[Numbered(level.ns, level.sid) for level in it.levels] for it in session]
        levels = max((tuple(it for it in name if it.number) for name in names), key=len)
        return Held(levels, tuple(it.pid for it in group), tuple(it.pid for it in session))


def level_in(process: Process, ns: int | None) -> Level | None:
    """Return what the namespace calls a task; None: it has no number there, or none is known."""
    if ns is None:
        return process.levels[0]
    return next((level for level in process.levels if level.ns == ns), None)


def tids(process: Process) -> tuple[Numbered, ...]:
    """Return the numbers of a task, outermost first."""
    return tuple(Numbered(level.ns, level.tid) for level in process.levels)


def number_in(levels: Sequence[Numbered], ns: int | None) -> int | None:
    """Return the number at the level of ``ns``: 0 if there is none, None if that is not known."""
    if ns is None:
        return levels[0].number
    for level in levels:
        if level.ns == ns:
            return level.number
    return None if any(level.ns is None for level in levels) else 0


def task_of(number: int, processes: Iterable[Process], ns: int | None, complete: bool) -> Process:
    """Return the task that has ``number`` in the namespace; ``complete``: no task is hidden.

    Raises:
        NotFound: no task has it. HostError: a task may have it that this user may not see.
    """
    taken = NumberIndex(processes, ns).what_has(number)
    if taken.task is not None:
        return taken.task
    text = f"no task has PID {number} in {bracketed(ns)}"
    if taken.held is not None:
        raise NotFound(text, f"it stays taken, as the {_held_by(taken.held)}")
    if not complete:
        raise HostError(f"{text} that this user may see", ROOT)
    raise NotFound(text, "pidscope ps --threads lists them")


def _held_by(held: Held) -> str:
    kinds = (("group", held.group), ("session", held.session))
    names = " and the ".join(name for name, members in kinds if members)
    return f"{names} of process {min((*held.group, *held.session))}"


# What `pidscope lookup` asks


class Namesake(NamedTuple):
    """A process with a number that was asked for, in a namespace that was not."""

    number: int
    ns: int
    process: Process


class Fault(NamedTuple):
    """Why some numbers have no answer, or only half of one; ``{}`` in the text stands for them."""

    exit_code: int
    text: str = ""  # empty: the table shows it
    hint: str = ""


class LookUp(NamedTuple):
    """What is answered."""

    processes: Sequence[Process]  # that were read, and threads that were looked for
    answers: Sequence[Answer]
    faults: Mapping[Fault, Sequence[int]]  # the numbers that have no answer, by the reason
    namesakes: Sequence[Namesake]
    unread: Sequence[Process]  # the tasks that were found, if something of them is unknown


def look_up(view: View, numbers: Sequence[int], quiet: bool, elsewhere: bool) -> LookUp:
    """Return what has each of ``numbers`` in the place of a view, and what had it.

    ``quiet``: no table shows what has a number; ``elsewhere``: namesakes are asked for, too.
    """
    ns, record, processes = view.place.ns, view.record, view.processes()
    known, hidden = NumberIndex(processes, ns), view.may_hide(processes, ns)
    hint = ROOT if hidden and not view.may_all_be_read(processes) else ""
    answers = []
    faults: dict[Fault, list[int]] = {}
    for number in numbers:
        taken = known.what_has(number)
        asked = record is not None and not (record.is_slow and taken.task is not None)
        lives = record.lives(ns or 0, number) if record is not None and asked else None
        answer = Answer(ns, view.to.ns, taken, lives)
        answers.append(answer)
        fault = _fault(answer, hidden, record, quiet)
        if fault is not None:
            fault = fault._replace(hint=hint) if fault.hint is ROOT else fault
            faults.setdefault(fault, []).append(number)
    namesakes = _namesakes(processes, frozenset(numbers), ns) if elsewhere else []
    found = [it.taken.task for it in answers if it.taken.task is not None]
    return LookUp(processes, answers, faults, namesakes, [] if is_complete(found) else found)


def _fault(answer: Answer, hidden: bool, record: History | None, quiet: bool) -> Fault | None:
    """Return why a number has no answer.

    ``hidden``: a task may have it that this user cannot read.
    """
    where = bracketed(answer.ns)
    if answer.taken.task is not None:
        return _untranslated(answer) if quiet else None
    if answer.taken.held is not None:
        text = f"no process has PID {{}} in {where}: a group or session has it"
        return Fault(NotFound.exit_code, text if quiet else "")
    if hidden:
        text = f"no visible process has PID {{}} in {where}"
        return Fault(HostError.exit_code, text, ROOT)
    now = f"no process has PID {{}} in {where} now"
    if quiet or answer.ended:
        return Fault(NotFound.exit_code, now if quiet else "")
    if record is None:
        return Fault(NotKnown.exit_code, now, _UNRECORDED)
    if record.missing:
        return Fault(NotKnown.exit_code, now, f"what had it before is not known: {record.missing}")
    return Fault(NotFound.exit_code, f"no process has PID {{}} in {where}, and none had it before")


def _untranslated(answer: Answer) -> Fault | None:
    where, to = bracketed(answer.ns), bracketed(answer.to)
    if answer.translated is None:
        return Fault(HostError.exit_code, f"what {{}} in {where} is in {to} may not be read", ROOT)
    if not answer.translated:
        return Fault(NotFound.exit_code, f"no number in {to} for {{}} in {where}")
    return None


def _namesakes(
    processes: Iterable[Process], numbers: Collection[int], ns: int | None
) -> list[Namesake]:
    """Return the processes that have one of ``numbers`` in another namespace than ``ns``.

    ``ns`` None: the outermost one, whose inum may not be read.
    """
    found = [
        Namesake(level.pid, level.ns, process)
        for process in processes
        for depth, level in enumerate(process.levels)
        if level.pid in numbers and level.ns is not None
        if (depth > 0 if ns is None else level.ns != ns)
    ]
    return sorted(found, key=lambda it: (it.number, it.ns))
