"""One watch over a world, a live kernel's or the model's: start, drain, losses, and repairs.

The session owns the order of things: which position is taken before which fence, and what is
drained when. What follows from it is argued in `pidscope.start` and `pidscope.verify`. It opens no
file and reads no clock: what it knows comes through `pidscope.world.World`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Callable

from pidscope.errors import HostError, IllegalEvent
from pidscope.event import Event, Lost, PidAttached, PidDetached
from pidscope.grammar import Fault, Grammar
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.start import cut_short, start, to_read_again
from pidscope.table import Table
from pidscope.verify import BUGS, Judgement, Tally, Verdict, Window, judge_stable, judge_status
from pidscope.wire import decode
from pidscope.world import World

_ATTEMPTS = 100
_MOMENTS = 20
_MAKE_STATE = ("attach_pid", "change_pid", "detach_pid", "exchange_tids")
_HOOK_OF = {
    "PidTransferred": "transfer_pid",
    "TidsExchanged": "exchange_tids",
    "PidAllocated": "alloc_pid",
    "PidFreed": "free_pid",
    "TaskCreated": "copy_process",
    "ForkFailed": "copy_process",
    "NamespaceCreated": "copy_pid_ns",
    "NamespaceDying": "zap_pid_ns_processes",
    "TaskExecuted": "sched_process_exec",
    "TaskRenamed": "task_rename",
    "TaskExited": "sched_process_exit",
    "TaskMoved": "cgroup_attach_task",
}


Listener = Callable[[Event, "Session"], None]


class Session:
    """A table that follows the kernel.

    Args:
        world: the session reads its ring from the beginning.
        listener: is called with each event, `Lost` included, before the table has it; those of
            the start's window come once the table stands behind them all.

    After a loss the table is ``suspect`` until `begin` has run again.
    """

    def __init__(self, world: World, listener: Listener | None = None) -> None:
        self.world = world
        self._ring = world.ring
        self._procfs = world.procfs
        self._listener = listener
        self.table: Table | None = None
        self.events = 0
        self.lost = 0
        self.starts = 0
        self.skipped: Mapping[str, int] = {}  # runs of hooks that the kernel left out
        self.suspect = True
        self.broken: list[str] = []  # events that could not follow, though none was lost
        self.faults: list[Fault] = []  # what hooks did not tell, though none was lost
        self._grammar = Grammar(world.sees)
        self._accounted: Counter[str] = Counter()
        self._births = 0
        self._forks_before: tuple[int, int] | None = None  # /proc/stat's and ours, of one moment

    # The start, and every repair

    def begin(self) -> None:
        """Make the table exact from here on, as `pidscope.start` argues.

        Raises:
            HostError: records are lost, or threads end, faster than /proc can be read.
        """
        for _ in range(_ATTEMPTS):
            self.suspect = True
            self.pump()  # what lies before the start still counts, and may tell of losses
            lost = self.lost
            self.world.fence()
            window: list[Event] = []
            snapshot = self._read_all(window)
            window.extend(self._stream(self._ring.position))
            if self.lost == lost:
                self.suspect = not self._start(snapshot, window)
            for event in window:
                self._tell(event)
            if not self.suspect:
                self.starts += 1
                self._grammar = Grammar(self.world.sees)
                self._forks_before = self._forks_at_rest()
                return
        raise HostError(
            f"no exact start in {_ATTEMPTS} attempts: {self.lost} records lost so far"
            + "".join(f"; {reason}" for reason in self.broken[-1:]),
            "the host forks faster than this process can read",
        )

    def _start(self, snapshot: Snapshot, window: list[Event]) -> bool:
        try:
            root, ns_per_tick = self.world.root_ns, self.world.ns_per_tick
            self.table = start(snapshot, window, root, ns_per_tick, self.table)
        except IllegalEvent as error:
            self.broken.append(str(error))
            return False
        return True

    def _read_all(self, window: list[Event]) -> Snapshot:
        readings: dict[int, list[TaskReading]] = {}
        ns_parents: dict[int, int] = {}
        todo = set(self._procfs.numbers())
        for _ in range(_ATTEMPTS):
            part: list[Event] = []
            for number in sorted(todo):
                tids = self._list_threads(number, part)
                readings[number] = self._read_process(number, tids, ns_parents)
                part.extend(self._stream(self._ring.position))
            window.extend(part)
            todo = to_read_again(part) & readings.keys()
            if not todo:
                tasks = tuple(task for process in readings.values() for task in process)
                return Snapshot(tasks, ns_parents)
        raise HostError(f"processes {sorted(todo)} exec faster than they can be read")

    def _list_threads(self, number: int, window: list[Event]) -> set[int]:
        for _ in range(_ATTEMPTS):
            window.extend(self._stream(self._ring.position))
            self.world.fence()
            tids = {number, *self._procfs.threads(number)}
            part = list(self._stream(self._ring.position))
            window.extend(part)
            if not cut_short(number, part):
                return tids
        raise HostError(f"threads of {number} end faster than they can be listed")

    def _read_process(
        self, number: int, tids: set[int], ns_parents: dict[int, int]
    ) -> list[TaskReading]:
        tasks = []
        for tid in tids:
            reading = self._procfs.read(tid)
            if reading is None or reading.status.ns_tgid[0] != number:
                continue  # gone, or born again as a thread of one that has a listing of its own
            tasks.append(reading)
            if reading.ns is not None and reading.ns not in ns_parents:
                ns_parents.update(self._procfs.ns_chain(tid))
        return tasks

    # The stream

    def _stream(self, until: int) -> Iterator[Event]:
        """Decode what lies before ``until``, with each loss in its place."""
        for data in self._ring.drain(until):
            record = decode(data)
            behind = (record.lost - self.lost) & 0xFFFFFFFF
            if 0 < behind < 1 << 31:  # else the map has told it already
                self.lost += behind
                yield Lost(record.event.ts_ns, self.lost)
            self._count(record.event)
            yield record.event
        if self.world.lost != self.lost:  # the last record may be the lost one
            self.lost = self.world.lost
            yield Lost(self.world.now_ns(), self.lost)

    def _count(self, event: Event) -> None:
        """Account for the runs of its hook that a record stands for, in ``_accounted``."""
        self.events += 1
        if isinstance(event, PidAttached):
            if event.birth is None:
                self._accounted["change_pid"] += 1
            else:  # a process is attached as PID, TGID, PGID and SID, a thread as PID alone
                self._births += 1
                self._accounted["attach_pid"] += 4 if event.birth.tgid == event.tid else 1
        elif isinstance(event, PidDetached):
            self._accounted["detach_pid"] += 4 if event.tgid == event.tid else 1
        else:
            self._accounted[_HOOK_OF[type(event).__name__]] += 1

    def pump(self, until: int | None = None, window: Window | None = None) -> None:
        """Let the table follow the stream up to a position, by default to its end.

        ``window`` is told of each event. A loss or an event that cannot follow makes the table
        suspect; nothing after it is applied.
        """
        for event in self._stream(self._ring.position if until is None else until):
            self._tell(event)
            if isinstance(event, Lost):
                self.suspect = True
            elif not self.suspect:
                self._apply(event, window)

    def _apply(self, event: Event, window: Window | None) -> None:
        assert self.table is not None
        fault = self._grammar.add(event)
        if fault is not None:
            self.faults.append(fault)
        try:
            self.table.apply(event)
        except IllegalEvent as error:
            self.suspect = True
            self.broken.append(str(error))
            return
        if window is not None:
            window.applied(event)

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event, self)

    # The judge's readings

    def check(self, number: int) -> Judgement:
        """Compare one number of the initial namespace with /proc, as `pidscope.verify` argues."""
        self.pump()
        judgement = None if self.suspect else self._compare(number)
        if judgement is None or self.suspect:
            return Judgement(number, Verdict.UNJUDGED, "suspect")
        return judgement

    def _compare(self, number: int) -> Judgement:
        assert self.table is not None
        window = Window(self.table, number)
        self.world.fence()
        status = self._procfs.read_status(number)
        self.pump(self._ring.position, window)
        judgement = judge_status(window, status)
        if status is None or judgement.verdict in BUGS:
            return judgement
        ticks, ns = self._procfs.start_ticks(number), self._procfs.pid_ns(number)
        self.pump(self._ring.position, window)
        ppid = status.ppid if self.world.sees("sched_process_exit") else None
        stable = judge_stable(window, ppid, ticks, ns)
        if stable.verdict in BUGS:
            # de_thread() gives the start time away before there is a record of the exchange.
            self.world.fence()
            self.pump(self._ring.position, window)
            stable = judge_stable(window, ppid, ticks, ns)
        return stable if stable.verdict in BUGS else judgement

    def check_all(self, tally: Tally) -> None:
        """Judge every number that /proc lists or the table knows; repair first what is suspect.

        ``tally.complete`` tells whether this snapshot was judged whole.
        """
        if self.suspect:
            self.begin()
        self.pump()
        assert self.table is not None
        listed = self._procfs.numbers()
        numbers = {tid for number in listed for tid in self._procfs.threads(number)}
        numbers.update(listed, self.table.root.pids)
        starts, compared, tasks = self.starts, tally.compared, list(self.table.tasks())
        for number in sorted(numbers):
            tally.add(self.check(number))
        self.pump()
        self.look_for_skipped()
        tally.snapshots += 1
        alive = sum(task.pid is not None for task in tasks)  # from the first reading to the last
        tally.complete = (
            not self.suspect
            and self.starts == starts
            and not self.broken
            and not self.ungrammatical
            and tally.compared - compared >= alive
        )

    @property
    def ungrammatical(self) -> list[Fault]:
        """The faults that are not explained by runs of their hook that the kernel left out."""
        left = Counter(self.skipped)
        unexplained = []
        for fault in self.faults:
            if left[fault.hook] > 0:
                left[fault.hook] -= 1
            else:
                unexplained.append(fault)
        return unexplained

    def look_for_skipped(self) -> None:
        """A run that the kernel left out is a record lost, though nothing in the stream tells.

        It leaves out a program that is running on that CPU already, for a task that was preempted
        in it. Nobody is preempted in the hooks that make state, which run under tasklist_lock; so
        if one of theirs is left out after all, the table has to be built anew.
        """
        before, self.skipped = self.skipped, self.world.skipped
        if any(self.skipped.get(name, 0) != before.get(name, 0) for name in _MAKE_STATE):
            self.suspect = True

    def forks(self) -> tuple[int, int] | None:
        """Births since the last start, as /proc/stat counts them and as the stream told of them.

        None: there was no moment at which both could be read, at the start or now.
        """
        now, before = self._forks_at_rest(), self._forks_before
        return (now[0] - before[0], now[1] - before[1]) if now and before else None

    def _forks_at_rest(self) -> tuple[int, int] | None:
        """Both counts, of a moment at which nobody was being born.

        A birth's record and ``total_forks`` are written under one hold of tasklist_lock. The fence
        has waited for whose record came before; none came until the count was read.
        """
        for _ in range(_MOMENTS):
            self.pump()
            position = self._ring.position
            self.world.fence()
            forks = self._procfs.forks()
            if position == self._ring.position:
                self.pump(position)
                return forks, self._births
        return None

    def hooks(self) -> tuple[dict[str, dict[str, int]], bool]:
        """Each hook's runs, how many of them the records account for, and whether at rest.

        At rest: no record was reserved between the two readings of the position, and the fence
        has waited for whoever had been counted but had not come to its record.
        """
        for _ in range(_ATTEMPTS):
            position = self._ring.position
            hits = self.world.hits()
            self.world.fence()
            at_rest = position == self._ring.position
            if at_rest:
                break
        self.pump(position)
        return {
            name: {"hits": hits[name], "accounted": self._accounted[name]} for name in hits
        }, at_rest
