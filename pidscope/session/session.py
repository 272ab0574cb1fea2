"""One watch over a world, a live kernel's or the model's: start, drain, losses, and repairs.

The session owns the order of things: which position is taken before which fence, and what is
drained when. What follows from it is argued in `pidscope.table.start` and
`pidscope.verify.verdicts`. It opens no file and reads no clock: what it knows comes through
`pidscope.session.world.World`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from pidscope.errors import HostError, IllegalEvent, ProcError
from pidscope.events import Event, Lost, Repaired
from pidscope.gc_pause import gc_paused
from pidscope.session.fast_path import FastPath
from pidscope.session.fast_path_hooks import HookFastPath
from pidscope.session.read_tasks import ReadTasks
from pidscope.session.stream import Stream
from pidscope.session.world import World
from pidscope.snapshot import Snapshot
from pidscope.table.start import start
from pidscope.table.table import Table
from pidscope.verify.grammar import KEPT, Fault, Faults, Grammar
from pidscope.verify.verdicts import (
    BUGS,
    Judgement,
    Tally,
    Verdict,
    Window,
    judge_stable,
    judge_status,
)
from pidscope.wire.hooks import hooks_of

ATTEMPTS = 100
_MOMENTS = 20

Listener = Callable[[Event, "Session"], None]


class Session:
    """A table that is kept equal to the kernel's.

    Args:
        world: the session reads its ring from the beginning.
        listener: is called with each event, `Lost` included, before the table has it; those of
            the start's window come once the table stands behind them all. Unless ``tells_all`` it
            may get losses and repairs only, which is cheaper.

    After a loss the table is ``suspect`` until a `repair` succeeds, which the listener gets as
    `Repaired`.
    """

    proves = True  # it can be shown to be complete

    def __init__(self, world: World, listener: Listener | None = None) -> None:
        self.world = world
        self.stream = Stream(world)
        self._procfs = world.procfs
        self._listener = listener
        self.tells_all = listener is not None
        self._fast_path: FastPath[Any] | None = None  # until the first start
        self.table: Table | None = None
        self.starts = 0
        self.iterator_refused = ""  # why a start had to read all in /proc
        self.skipped: Mapping[str, int] = {}  # runs of hooks that the kernel skipped
        self.suspect = True
        self._suspect_since_ns = 0
        self._lost_before = 0  # the last exact start
        self.broken: list[str] = []  # the latest illegal events, though none was lost
        self.breaks = 0  # how many there were
        self.unread: dict[int, str] = {}  # files of the last snapshot that could not be judged
        self.faults = Faults()  # what hooks did not report, though none was lost
        self._grammar = Grammar(world.sees, world.steps)
        self._forks_before: tuple[int, int] | None = None  # /proc/stat's and ours, of one moment

    def watch(self, tap: Callable[[World], World]) -> None:
        """Learn from here on through ``tap`` what the world has; to be called before `begin`."""
        self.world = tap(self.world)
        self.stream.watch(self.world)
        self._procfs = self.world.procfs

    # The start, and every repair

    def begin(self) -> None:
        """Make the table exact from here on, as `pidscope.table.start` argues.

        Raises:
            HostError: records are lost, or threads end, faster than /proc can be read.
        """
        for _ in range(ATTEMPTS):
            if self.repair():
                return
        raise HostError(
            f"no exact start in {ATTEMPTS} attempts: {self.stream.lost} records lost so far"
            + "".join(f"; {reason}" for reason in self.broken[-1:]),
            "the host forks faster than this process can read",
        )

    def repair(self) -> bool:
        """Try once to make the table exact from here on; False: records were lost meanwhile.

        Raises HostError as `begin`.
        """
        self._doubt()
        self.pump()  # what lies before the start still counts, and may hold losses
        for event in self._rebuild(self.stream.lost):
            self._report(event)
        if not self.suspect:
            self._exact()
        return not self.suspect

    @gc_paused()
    def _rebuild(self, lost: int) -> list[Event]:
        """Read all tasks and make a table of them, if no more records than ``lost`` are lost.

        Returns the events of the start's window.
        """
        self.world.fence()
        reading = ReadTasks(self.world, self.stream)
        snapshot, window = reading.read_all(), reading.window
        self.iterator_refused = self.iterator_refused or reading.refused
        if self.stream.lost == lost:
            self.suspect = not self._start(snapshot, window)
        return window

    def _start(self, snapshot: Snapshot, window: list[Event]) -> bool:
        try:
            world = self.world
            self.table = start(
                snapshot,
                window,
                world.root_ns,
                world.ns_per_tick,
                self.table,
                world.start_offset_ns,
            )
        except IllegalEvent as error:
            self._break_off(error)
            return False
        return True

    def _new_fast_path(self) -> FastPath[Any]:
        """What applies the plain records to this table."""
        assert self.table is not None
        return HookFastPath(self.table, self._grammar, self.faults)

    def _doubt(self) -> None:
        """From here on nothing is judged, until a start has succeeded."""
        if not self.suspect:
            self._suspect_since_ns = self.world.now_ns()
        self.suspect = True

    def _exact(self) -> None:
        """A start has succeeded; the first one repairs nothing."""
        assert self.table is not None
        if self.starts:
            now_ns, tasks = self.world.now_ns(), sum(1 for _ in self.table.tasks())
            lost = self.stream.lost - self._lost_before
            self._report(Repaired(now_ns, tasks, now_ns - self._suspect_since_ns, lost))
        self.starts += 1
        self._lost_before = self.stream.lost
        self._grammar = Grammar(self.world.sees, self.world.steps)
        self._fast_path = self._new_fast_path()
        self._forks_before = self._forks_at_rest()

    # The stream

    def pump(self, until: int | None = None, window: Window | None = None) -> None:
        """Apply the stream to the table up to a position, by default to its end.

        ``window`` gets each event. A loss or an illegal event makes the table suspect; nothing
        after it is applied.
        """
        stream = self.stream
        until = stream.position if until is None else until
        while stream.consumed < until:
            if self._may_take_fast_path():
                self._apply_plain(until, window)
                records = stream.records(min(until, stream.consumed + 1))
            else:
                records = stream.records(until)
            for event in records:
                self._happened(event, window)
        for event in stream.unrecorded():
            self._happened(event, window)

    def _may_take_fast_path(self) -> bool:
        """Whether no listener wants each event, and the table may have them."""
        return not (self.suspect or self.tells_all)

    def _apply_plain(self, until: int, window: Window | None) -> None:
        assert self._fast_path is not None
        self.stream.apply_plain(until, self._fast_path, window.watched if window else frozenset())

    def _happened(self, event: Event, window: Window | None) -> None:
        self._report(event)
        if isinstance(event, Lost):
            self._doubt()
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
            self._break_off(error)
            return
        if window is not None:
            window.applied(event)

    def _break_off(self, error: IllegalEvent) -> None:
        self._doubt()
        self.breaks += 1
        self.broken.append(str(error))
        del self.broken[:-KEPT]

    def _report(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event, self)

    # The judge's readings

    def check(self, number: int) -> Judgement:
        """Compare one number of the initial namespace with /proc (`pidscope.verify.verdicts`)."""
        self.pump()
        try:
            judgement = None if self.suspect else self._compare(number)
        except ProcError as error:  # it is there: neither a ghost nor gone
            self.unread[number] = str(error)
            judgement = Judgement(number, Verdict.UNJUDGED, str(error))
        if judgement is None or self.suspect:
            return Judgement(number, Verdict.UNJUDGED, "suspect")
        return judgement

    def _compare(self, number: int) -> Judgement:
        assert self.table is not None
        window = Window(self.table, number)
        self.world.fence()
        status = self._procfs.judged_status(number)
        self.pump(self.stream.position, window)
        judgement = judge_status(window, status)
        if status is None or judgement.verdict in BUGS:
            return judgement
        ticks, ns = self._procfs.start_ticks(number), self._procfs.pid_ns(number)
        self.pump(self.stream.position, window)
        ppid = status.ppid if self.world.sees("sched_process_exit") else None
        stable = judge_stable(window, ppid, ticks, ns)
        if stable.verdict in BUGS:
            # de_thread() gives the start time away before there is a record of the exchange.
            self.world.fence()
            self.pump(self.stream.position, window)
            stable = judge_stable(window, ppid, ticks, ns)
        return stable if stable.verdict in BUGS else judgement

    def check_all(self, tally: Tally) -> None:
        """Judge every number that /proc lists or the table knows; repair first what is suspect.

        ``tally.complete`` becomes whether this snapshot was judged whole.
        """
        tally.complete = False
        self.unread.clear()
        if self.suspect and not self.repair():
            return
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
        """The latest faults that are not explained by runs which the kernel skipped."""
        return self.faults.latest(self.skipped)

    def look_for_skipped(self) -> None:
        """Make the table suspect if the kernel skipped a run of a hook that makes state.

        A skipped run is a lost record, though nothing in the stream shows it. The kernel skips a
        program that is running on that CPU already, for a task that was preempted in it. No task is
        preempted in the hooks that make state, which run under tasklist_lock; so if a run of
        theirs is skipped after all, the table has to be built anew.
        """
        before, self.skipped = self.skipped, self.world.skipped
        if any(
            self.skipped.get(hook.name, 0) != before.get(hook.name, 0)
            for hook in hooks_of(self.world.way)
            if hook.makes_state
        ):
            self._doubt()

    def forks(self) -> tuple[int, int] | None:
        """Births since the last start, as /proc/stat counts them and as the stream has them.

        None: there was no moment at which both could be read, at the start or now.
        """
        now, before = self._forks_at_rest(), self._forks_before
        return (now[0] - before[0], now[1] - before[1]) if now and before else None

    def _forks_at_rest(self) -> tuple[int, int] | None:
        """Both counts, of a moment at which no task was being born.

        A birth's record and ``total_forks`` are written under one hold of tasklist_lock. The fence
        has waited for the births whose record came before; none came until the count was read.
        """
        for _ in range(_MOMENTS):
            self.pump()
            position = self.stream.position
            self.world.fence()
            forks = self._procfs.forks()
            if forks is None:  # it is not there, and will not be
                return None
            if position == self.stream.position:
                self.pump(position)
                return forks, self.stream.births
        return None

    def hooks(self) -> tuple[dict[str, dict[str, int]], bool]:
        """Each hook's runs, how many of them the records account for, and whether at rest.

        At rest: no record was reserved, or lost, between the two readings of the position, and the
        fence has waited for the runs that had been counted but had not come to their record.
        """
        for _ in range(ATTEMPTS):
            position, lost = self.stream.position, self.world.lost
            hits = self.world.hits()
            self.world.fence()
            at_rest = position == self.stream.position and lost == self.world.lost
            if at_rest:
                break
        self.pump(position)
        return {
            name: {"hits": hits[name], "accounted": self.stream.accounted[name]} for name in hits
        }, at_rest
