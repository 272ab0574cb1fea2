"""A watch by tracepoints: what can be known where no function can be hooked, and what is proved.

The other `pidscope.session.session.Session`: same questions, weaker answers. A fence orders nothing
here, because no tracepoint runs under ``tasklist_lock``; what is certain without one is argued in
`pidscope.table.tracepoint`, and only that is judged, so nothing is ever *complete*. But the task
iterator shows every task with its group and session in a moment. A task that it shows and that no
record reported is a birth that the stream lacks, unless the task has not been woken yet (``by`` of
its row is 0): all others were reported before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pidscope import events
from pidscope.errors import HostError
from pidscope.session.believed import Believed
from pidscope.session.fast_path_tracepoints import TracepointFastPath
from pidscope.session.session import ATTEMPTS, Listener, Session
from pidscope.session.world import World
from pidscope.snapshot import TaskReading
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.grammar import KEPT, Fault
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.tracepoint import judge_tracepoint_table
from pidscope.verify.verdicts import Judgement, Tally, Verdict, Window

_SWEEP_NS = 1_000_000_000
# What a task does only before it begins to exit. Not a rename: an exec renames after the exchange
# and before its own record, under the number of a dead leader.
_ACTS = (events.PidAttached, events.TaskExecuted, events.TaskMoved)

_Read = TypeVar("_Read")


class TracepointSession(Session):
    """A table kept by what tracepoints report, and by a reading of all tasks every second."""

    proves = False

    def __init__(self, world: World, listener: Listener | None = None) -> None:
        super().__init__(world, listener)
        self._tracepoint_table: TracepointTable
        self._touched: set[int] = set()  # tasks that events reported since the last sweep
        self._unreported: deque[Judgement] = deque(
            maxlen=KEPT
        )  # tasks whose birth was not reported
        self._read_ns = 0
        self._believed = Believed()

    def _rebuild(self, lost: int) -> list[events.Event]:
        rows = self._read_tasks()
        window = list(self.stream.read(self.stream.position))
        if self.stream.lost == lost:
            self._build(rows, window)
        return window

    def _build(self, rows: list[events.TaskSeen], window: Iterable[events.Event]) -> None:
        world = self.world
        self._tracepoint_table = self.table = table = TracepointTable(
            world.root_ns, world.ns_per_tick, self.table, world.start_offset_ns
        )
        self._believed = Believed()
        table.start(rows, self._read_hidden({row.tid for row in rows}))
        for event in window:
            table.apply(event)
        self.suspect = False

    def _read_tasks(self) -> list[events.TaskSeen]:
        """Every task, leaders before threads, outer namespaces before inner ones."""
        return _in_order(self._iterate(self.world.tasks))

    def _iterate(self, read: Callable[[], _Read | None]) -> _Read:
        self._read_ns = self.world.now_ns()
        try:
            tasks = read()
        except OSError as error:
            raise HostError(f"the task iterator failed: {error.strerror}") from error
        if tasks is None:
            raise HostError("tracepoint mode needs the task iterator")
        return tasks

    def _read_hidden(self, shown: set[int]) -> list[TaskReading]:
        """A kernel may hide processes from iterators (observed: process 1); /proc shows them."""
        procfs, readings = self.world.procfs, []
        for number in procfs.numbers():
            if number not in shown:
                others = [tid for tid in procfs.threads(number) if tid != number]
                readings += [procfs.read(tid) for tid in (number, *others)]
        return [reading for reading in readings if reading is not None]

    # The stream

    def _new_fast_path(self) -> TracepointFastPath:
        return TracepointFastPath(self._tracepoint_table, self._touched)

    def pump(self, until: int | None = None, window: Window | None = None) -> None:
        """Apply the stream; every second, sweep also."""
        super().pump(until, window)
        if until is None and not self.suspect and self._sweep_is_due():
            self._sweep()

    def _sweep_is_due(self) -> bool:
        return self.world.now_ns() - self._read_ns >= _SWEEP_NS

    def _apply(self, event: events.Event, window: Window | None) -> None:
        self._touched.add(getattr(event, "tid", 0))
        if isinstance(event, _ACTS):
            self._tracepoint_table.unsure.discard(event.by)
        if isinstance(event, events.TaskFreed):
            self._expect_exit(event)
        self._tracepoint_table.apply(event)

    def _expect_exit(self, event: events.TaskFreed) -> None:
        task = self._tracepoint_table.task(event.tid)
        leaving = event.tid in self._tracepoint_table.leaving
        if task is not None and task.start_ns == event.start_ns and not leaving:
            self.faults.append(Fault("sched_process_exit", f"{event.tid} was freed"))

    def _sweep(self) -> None:
        """Read all tasks, and believe what no record of the meantime contradicts."""
        super().pump()
        table, believed = self._tracepoint_table, self._believed
        events_since = bool(self._touched or table.ended or table.unlinked)
        for changed in (self._touched, table.ended, table.unlinked):
            believed.doubt(changed)
            changed.clear()
        leaving = table.leaving
        written = self._iterate(self.world.task_records)
        super().pump()
        if self.suspect:
            return
        reported = self._touched | table.ended
        if not events_since and not reported and believed.are_all(written):
            return
        rows = believed.others(written)
        table.release_absent(leaving - reported - believed.shown)
        self._take(
            [row for row in _in_order(rows) if not {row.tid, row.birth.tgid} & reported],
            self.world.now_ns(),
        )

    def _take(self, rows: list[events.TaskSeen], now_ns: int) -> None:
        table = self._tracepoint_table
        for row in rows:
            if table.knows(row) or self._is_unreported(row):
                table.see(row)
        for row in rows:
            for pid_type in table.see_links(row):
                pid = row.birth.pgid if pid_type is events.PidType.PGID else row.birth.sid
                self._report(events.PidAttached(now_ns, 0, row.tid, pid_type, pid))
        self._believed.believe(row for row in rows if table.knows(row))

    def _is_unreported(self, row: events.TaskSeen) -> bool:
        """Whether it is a task whose birth no record reported: then that is a fault."""
        leader = self._tracepoint_table.task(row.birth.tgid)
        exchange = (  # de_thread() makes the start the leader's first, then the numbers
            row.tid != row.pid.nr
            or {row.tid, row.birth.tgid} & self._tracepoint_table.exited
            or (leader is not None and leader.start_ns == row.birth.start_ns)
        )
        if row.by == 0 or exchange:
            return False
        what = "runs, and its birth was not told"
        self.faults.append(Fault("task_newtask", f"{row.tid} runs"))
        self._unreported.append(Judgement(row.tid, Verdict.MISSING, what))
        return True

    # The judge

    def check_all(self, tally: Tally) -> None:
        """Judge what is certain of every number; the proof is never complete."""
        if not self.suspect:
            self._sweep()
        known = len(tally.bugs)
        super().check_all(tally)
        for judgement in self._unreported:
            tally.add(judgement)
        self._unreported.clear()
        if self.suspect:
            _take_back(tally, known)
        tally.complete = False

    def _compare(self, number: int) -> Judgement:
        before = self._tracepoint_table.task(number)
        status = self.world.procfs.judged_status(number)
        ticks = None if status is None else self.world.procfs.start_ticks(number)
        self.pump(self.stream.position)
        return judge_tracepoint_table(self._tracepoint_table, number, before, status, ticks)

    def _forks_at_rest(self) -> None:
        """No moment is known at which both counts could be compared."""

    def hooks(self) -> tuple[dict[str, dict[str, int]], bool]:
        """Each hook's runs, how many of them the records account for, and whether at rest.

        A run is counted before its record is written, so if all are accounted for at one time,
        none has vanished. If none is counted, written or lost from one reading to the next, no run
        is between its count and its record, and the runs that are not accounted for have vanished.
        """
        for _ in range(ATTEMPTS):
            before = self._written()
            super().pump()
            hits, accounted = before[0], self.stream.accounted
            counts = {n: {"hits": hits[n], "accounted": accounted[n]} for n in hits}
            if hooks_agree(counts, self.stream.lost):
                return counts, True
        return counts, before == self._written()

    def _written(self) -> tuple[Mapping[str, int], int, int]:
        return self.world.hits(), self.stream.position, self.world.lost


def _in_order(rows: Iterable[events.TaskSeen]) -> list[events.TaskSeen]:
    """Leaders before threads, outer namespaces before inner ones."""
    return sorted(rows, key=lambda row: (row.tid != row.birth.tgid, len(row.pid.numbers)))


def _take_back(tally: Tally, known: int) -> None:
    """Leave unjudged what was called a bug since there were ``known`` of them.

    Unlike a loss, a run that the kernel skipped is only found at the end of a snapshot.
    """
    for bug in tally.bugs[known:]:
        tally.counts[bug.verdict] -= 1
        tally.counts[Verdict.UNJUDGED] += 1
        tally.compared -= 1
    del tally.bugs[known:]
