"""The verdicts: one file of /proc against the versions of the table that it may show.

For each number: p0 is the ring's position, a fence follows, the file is opened by number and read,
p1 is the position, and the stream is drained up to p1. What was reserved before p0 has happened
before the read (the fence), and what the read could see had its record reserved before p1 (hooks
run at the entry). So the file must agree with the version at p0 or with ones made by events in
(p0, p1]: those are the *admissible* ones, and the window is this file's alone.

The NS lines are not atomic: the kernel reads one pointer after the other, without a lock. But one
reader sees the pointers of one task in the order of time, so there must be a non-decreasing
assignment of admissible versions to the printed numbers in printed order. Taking for each number
the earliest version that fits finds one if there is one.

A version is what one *task* is attached to, since the reader finds the task first and then
follows its pointers. Two acts of the kernel are several versions, because they change several
pointers one after the other:

- release: ``__unhash_process()`` (kernel/exit.c) clears PID, then, for a leader, TGID, PGID, SID;
- exchange: a reader that got in by the number may be with either of the two tasks. It may even
  have got the other's directory: /proc finds the task by its number and then asks the task for its
  struct pid (``proc_pid_make_inode()``, fs/proc/base.c). Such a file is not the number's, and is
  left unjudged.

A 0 in a number list is right only where the kernel prints one: the struct pid has no number in
that namespace, or the pointer is cleared by a release in the window.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pidscope.events import Event, PidDetached, PidType, TidsExchanged
from pidscope.snapshot import Status
from pidscope.table.pid import Pid, Task
from pidscope.table.table import Table


class Verdict(enum.Enum):
    """What became of one number's comparison; the last three are bugs, in pidscope or beneath."""

    AGREE = "agree"
    MOVED = "moved"  # agrees only through a version made inside the window
    HELD = "held"  # no task of its own, rightly absent; its numbers are taken by others
    UNJUDGED = "unjudged"  # suspect, or a number the table says it does not know
    GONE = "gone"  # absent on both sides: listed, and released before it was opened
    MISSING = "missing"  # in /proc, not in the table
    GHOST = "ghost"  # in the table all the time, not in /proc
    WRONG = "wrong"  # no assignment, or a stable fact differs


BUGS = frozenset({Verdict.MISSING, Verdict.GHOST, Verdict.WRONG})


class Judgement(NamedTuple):
    """A verdict on one number of the initial namespace, with what was expected and read."""

    number: int
    verdict: Verdict
    reason: str = ""
    expected: str = ""
    seen: str = ""


class Version(NamedTuple):
    """What one task is attached to; None once the pointer was cleared."""

    tgid: Pid | None
    pid: Pid | None
    pgid: Pid | None
    sid: Pid | None


_RELEASE_ORDER = (PidType.TGID, PidType.PGID, PidType.SID)
_FIELD = {PidType.PID: "pid", PidType.TGID: "tgid", PidType.PGID: "pgid", PidType.SID: "sid"}


def _version(task: Task) -> Version:
    group = task.group
    return Version(group.tgid, task.pid, group.pgid, group.sid)


class Window:
    """The versions of the tasks that are found under one number, from p0 on.

    Make it when the table stands at p0, call `applied` after each event that is applied up to p1.
    """

    def __init__(self, table: Table, number: int) -> None:
        self._table = table
        self.number = number
        self.absent = False  # there was a version without a task under the number
        self.exchanged: set[int] = set()  # the numbers whose task became this one's, and back
        self.histories: dict[Task, list[Version]] = {}
        self.rows: dict[Task, Pid] = {}  # the struct pid by which a reader gets to the task
        self.start_ticks: set[int | None] = set()  # an exec can change a task's
        self._look()

    @property
    def held(self) -> bool:
        """Whether the number was taken all the time, but only as a group or session."""
        pid = self._table.root.pids.get(self.number)
        return not self.histories and pid is not None and bool(pid.groups or pid.sessions)

    @property
    def watched(self) -> frozenset[int]:
        """The tasks whose birth or release can make a version."""
        tasks = {task.pid.nr for task in self.histories if task.pid is not None}
        leaders = {task.group.tgid.nr for task in self.histories if task.group.tgid is not None}
        return frozenset({self.number} | tasks | leaders)

    def _look(self) -> None:
        row = self._table.root.pids.get(self.number)
        if row is None or row.task is None:
            self.absent = True
        else:
            self._track(row.task, row, _version(row.task))

    def _track(self, task: Task, row: Pid, version: Version) -> None:
        if task not in self.histories:
            self.histories[task] = [version]
            self.rows[task] = row
            self.start_ticks.add(self._table.start_ticks(task))

    def applied(self, event: Event) -> None:
        """Take note of what one event, just applied to the table, made of the tasks in view."""
        if isinstance(event, TidsExchanged) and self.number in (event.tid, event.leader):
            self._swapped(event)
        for task, history in self.histories.items():
            version = _version(task)
            if version == history[-1]:
                continue
            if isinstance(event, PidDetached):
                history.extend(_released(history[-1], version))
            else:
                history.append(version)
        self._look()

    def _swapped(self, event: TidsExchanged) -> None:
        """Both tasks may be the reader's; before, each had the other's struct pid."""
        self.exchanged.update({event.tid, event.leader} - {self.number})
        left, right = self._table.task(event.leader), self._table.task(event.tid)
        row = self._table.root.pids.get(self.number)
        if left is None or right is None or row is None:
            return
        for task, other in ((left, right), (right, left)):
            self._track(task, row, _version(task)._replace(pid=other.pid))


def _released(before: Version, after: Version) -> Iterator[Version]:
    """The steps of ``__unhash_process()``: PID first; a thread keeps what its process has."""
    before = before._replace(pid=None)
    yield before
    if after.tgid is None:
        for pid_type in _RELEASE_ORDER:
            before = before._replace(**{_FIELD[pid_type]: None})
            yield before


class _Observation(NamedTuple):
    """One printed number: which pointer it was read through, at which level."""

    what: str
    pointer: str  # a field of Version
    level: int
    seen: int


def _observations(status: Status) -> Iterator[_Observation]:
    yield _Observation("Tgid", "tgid", 0, status.tgid)
    for line, pointer, numbers in (
        ("NStgid", "tgid", status.ns_tgid),
        ("NSpid", "pid", status.ns_pid),
        ("NSpgid", "pgid", status.ns_pgid),
        ("NSsid", "sid", status.ns_sid),
    ):
        for level, seen in enumerate(numbers):
            yield _Observation(line, pointer, level, seen)


def judge_status(window: Window, status: Status | None) -> Judgement:
    """Judge one reading of ``/proc/N/status``; None is a failed open or read."""
    number = window.number
    if status is None:
        return _judge_absent(window)
    if status.pid in window.exchanged:
        return Judgement(number, Verdict.UNJUDGED, "the other's of an exchange")
    if not window.histories:
        return Judgement(number, Verdict.MISSING, "in /proc, not in the table", "", _show(status))
    if status.pid != number:  # of the struct pid that was opened, not of a task
        return Judgement(number, Verdict.WRONG, "Pid", str(number), str(status.pid))
    judgements = [
        _judge_history(number, status, history, window.rows[task])
        for task, history in window.histories.items()
    ]
    return next((j for j in judgements if j.verdict is not Verdict.WRONG), judgements[0])


def _judge_absent(window: Window) -> Judgement:
    if window.absent:
        return Judgement(window.number, Verdict.HELD if window.held else Verdict.GONE)
    if window.exchanged:
        return Judgement(window.number, Verdict.UNJUDGED, "the other's of an exchange")
    rows = ", ".join(map(repr, window.rows.values()))
    return Judgement(window.number, Verdict.GHOST, "in the table, not in /proc", rows, "")


def _judge_history(number: int, status: Status, history: list[Version], row: Pid) -> Judgement:
    levels = {len(status.ns_tgid), len(status.ns_pid), len(status.ns_pgid), len(status.ns_sid)}
    if levels != {row.level + 1}:
        return Judgement(number, Verdict.WRONG, "level", f"{row.level + 1} numbers", _show(status))
    at, unknown = 0, False
    for observation in _observations(status):
        while True:
            expected = _nr_at(history[at], observation, row)
            if expected is None:
                unknown = True
            if expected is None or expected == observation.seen:
                break
            at += 1
            if at == len(history):
                return _wrong(number, observation, history, row, status)
    if unknown:
        return Judgement(number, Verdict.UNJUDGED, "a partial struct pid")
    return Judgement(number, Verdict.MOVED if at else Verdict.AGREE)


def _nr_at(version: Version, observation: _Observation, row: Pid) -> int | None:
    """``pid_nr_ns()`` through one pointer, in the namespace that the row has at that level."""
    pid: Pid | None = getattr(version, observation.pointer)
    if pid is None:
        return 0
    ns = row.ns.at(observation.level)
    assert ns is not None
    return pid.nr_in(ns)


def _wrong(
    number: int, observation: _Observation, history: list[Version], row: Pid, status: Status
) -> Judgement:
    admissible = [_nr_at(version, observation, row) for version in history]
    return Judgement(
        number,
        Verdict.WRONG,
        f"{observation.what} at level {observation.level}",
        f"{observation.what}[{observation.level}] in {admissible}",
        _show(status),
    )


def _show(status: Status) -> str:
    return (
        f"Tgid {status.tgid} Pid {status.pid} NStgid {status.ns_tgid} NSpid {status.ns_pid} "
        f"NSpgid {status.ns_pgid} NSsid {status.ns_sid}"
    )


def judge_stable(
    window: Window, ppid: int | None, start_ticks: int | None, ns: int | None
) -> Judgement:
    """Judge what does not change while a task lives: start, namespace, its parent if it stayed.

    ``window`` must have been drained past the reading of all of them. None: vanished meanwhile,
    or, of ``ppid``, that exits cannot be seen.
    The start does change in one case, before there is a record of it: ``de_thread()`` writes it,
    then exchanges. So before a bug found here is believed, a fence and a drain have to follow.
    """
    number, tasks = window.number, list(window.histories)
    inums = {row.ns.inum for row in window.rows.values()}
    if ns is not None and ns not in inums:
        return Judgement(number, Verdict.WRONG, "ns/pid", f"{inums}", str(ns))
    if start_ticks is not None and start_ticks not in window.start_ticks:
        ticks = window.start_ticks
        return Judgement(number, Verdict.WRONG, "start ticks", f"{ticks}", str(start_ticks))
    parents = {_parent(task) for task in tasks}
    if not (ppid is None or None in parents or ppid in parents or window.absent):
        return Judgement(number, Verdict.WRONG, "PPid", f"{parents}", str(ppid))
    return Judgement(number, Verdict.AGREE)


def _parent(task: Task) -> int | None:
    """The parent's number if it must still be the one at birth, else None.

    Children are given to another process only when a thread of their parent exits
    (``forget_original_parent()``, kernel/exit.c), and `TaskExited` comes before that.
    """
    parent = task.group.parent
    if parent is None or parent.tgid is None or parent.exits != task.group.parent_exits:
        return None
    return parent.tgid.nr


@dataclass
class Tally:
    """The sum of the verdicts, and whether the proof is complete.

    ``complete``: the last snapshot was judged whole, compared at least as many tasks as lived from
    its beginning to its end, and nothing was suspect.
    """

    snapshots: int = 0
    compared: int = 0
    counts: Counter[Verdict] = field(default_factory=Counter)
    bugs: list[Judgement] = field(default_factory=list)
    complete: bool = False

    def add(self, judgement: Judgement) -> None:
        """Count one judgement, keeping it if it is a bug."""
        self.counts[judgement.verdict] += 1
        if judgement.verdict in BUGS:
            self.bugs.append(judgement)
        if judgement.verdict not in (Verdict.GONE, Verdict.HELD, Verdict.UNJUDGED):
            self.compared += 1

    def take_bugs(self) -> list[Judgement]:
        """Give the bugs since the last time, and keep only their number: a long run has room."""
        bugs, self.bugs = self.bugs, []
        return bugs

    @property
    def disagreed(self) -> bool:
        """Whether there ever was a bug."""
        return any(self.counts[verdict] for verdict in BUGS)

    @property
    def good(self) -> bool:
        """Whether it all agreed, and was proved to."""
        return self.complete and not self.disagreed
