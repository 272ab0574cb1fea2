"""A watch by tracepoints: what can be known where no function can be hooked, and what is proved.

The other `pidscope.session.session.Session`: same questions, weaker answers. A fence orders nothing
here, since no tracepoint runs under ``tasklist_lock``; what is certain without one is argued in
`pidscope.table.tracepoint`, and only that is judged, so nothing is ever *complete*. But the task
iterator shows every task with its group and session in a moment, and whoever it shows that was
never told of is a birth that the stream lacks, unless it has not been woken yet (``by`` of its row
is 0): all others were told of before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from pidscope import events
from pidscope.errors import HostError
from pidscope.session.fast_path_tracepoints import TracepointFastPath
from pidscope.session.session import ATTEMPTS, Listener, Session
from pidscope.session.world import World
from pidscope.snapshot import TaskReading
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.grammar import KEPT, Fault
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.tracepoint import judge_seen
from pidscope.verify.verdicts import Judgement, Tally, Verdict, Window

_SWEEP_NS = 1_000_000_000
# An exec renames after the exchange and before it is told, by the number of a dead leader.
_ACTS = (
    events.PidAttached,
    events.TaskExecuted,
    events.TaskMoved,
)  # by one who has not begun to exit


class Observer(Session):
    """A table that follows what tracepoints tell, and looks at everything every second."""

    proves = False

    def __init__(self, world: World, listener: Listener | None = None) -> None:
        super().__init__(world, listener)
        self._seen: TracepointTable
        self._touched: set[int] = set()  # whom events told of since the last look
        self._unheard: deque[Judgement] = deque(maxlen=KEPT)  # whose birth was not told
        self._looked_ns = 0

    def _rebuild(self, lost: int) -> list[events.Event]:
        rows = self._look()
        window = list(self.stream.read(self.stream.position))
        if self.stream.lost == lost:
            self._build(rows, window)
        return window

    def _build(self, rows: list[events.TaskSeen], window: Iterable[events.Event]) -> None:
        world = self.world
        self._seen = self.table = table = TracepointTable(
            world.root_ns, world.ns_per_tick, self.table, world.start_offset_ns
        )
        table.start(rows, self._read_hidden({row.tid for row in rows}))
        for event in window:
            table.apply(event)
        self.suspect = False

    def _look(self) -> list[events.TaskSeen]:
        """Every task, leaders before threads, outer namespaces before inner ones."""
        self._looked_ns = self.world.now_ns()
        try:
            rows = self.world.tasks()
        except OSError as error:
            raise HostError(f"the task iterator failed: {error.strerror}") from error
        if rows is None:
            raise HostError("tracepoint mode needs the task iterator")
        return sorted(rows, key=lambda row: (row.tid != row.birth.tgid, len(row.pid.numbers)))

    def _read_hidden(self, shown: set[int]) -> list[TaskReading]:
        """A kernel may hide processes from iterators (seen: process 1); /proc shows them."""
        procfs, readings = self.world.procfs, []
        for number in procfs.numbers():
            if number not in shown:
                others = [tid for tid in procfs.threads(number) if tid != number]
                readings += [procfs.read(tid) for tid in (number, *others)]
        return [reading for reading in readings if reading is not None]

    # The stream

    def _new_fast_path(self) -> TracepointFastPath:
        return TracepointFastPath(self._seen, self._touched)

    def pump(self, until: int | None = None, window: Window | None = None) -> None:
        """Follow the stream; every second, look at everything besides."""
        super().pump(until, window)
        if until is None and not self.suspect and self._look_is_due():
            self._sweep()

    def _look_is_due(self) -> bool:
        return self.world.now_ns() - self._looked_ns >= _SWEEP_NS

    def _apply(self, event: events.Event, window: Window | None) -> None:
        self._touched.add(getattr(event, "tid", 0))
        if isinstance(event, _ACTS):
            self._seen.unsure.discard(event.by)
        if isinstance(event, events.TaskFreed):
            self._expect_exit(event)
        self._seen.apply(event)

    def _expect_exit(self, event: events.TaskFreed) -> None:
        task = self._seen.task(event.tid)
        leaving = event.tid in self._seen.leaving
        if task is not None and task.start_ns == event.start_ns and not leaving:
            self.faults.append(Fault("sched_process_exit", f"{event.tid} was freed"))

    def _sweep(self) -> None:
        """Look at everybody, and believe what is not contradicted by what was told meanwhile."""
        super().pump()
        self._touched.clear()
        self._seen.ended.clear()
        leaving = self._seen.leaving
        rows = self._look()
        super().pump()
        if self.suspect:
            return
        told = self._touched | self._seen.ended
        self._seen.release_unseen(leaving - told - {row.tid for row in rows})
        rows = [row for row in rows if row.tid not in told and row.birth.tgid not in told]
        for row in rows:
            if self._seen.knows(row) or self._can_be_unheard(row):
                self._seen.see(row)
        for row in rows:
            for pid_type in self._seen.see_links(row):
                pid = row.birth.pgid if pid_type is events.PidType.PGID else row.birth.sid
                self._tell(events.PidAttached(row.ts_ns, 0, row.tid, pid_type, pid))

    def _can_be_unheard(self, row: events.TaskSeen) -> bool:
        """Whether it is a task that nobody told of: then it is reported."""
        leader = self._seen.task(row.birth.tgid)
        exchange = (  # de_thread() makes the start the leader's first, then the numbers
            row.tid != row.pid.nr
            or {row.tid, row.birth.tgid} & self._seen.exited
            or (leader is not None and leader.start_ns == row.birth.start_ns)
        )
        if row.by == 0 or exchange:
            return False
        what = "runs, and its birth was not told"
        self.faults.append(Fault("task_newtask", f"{row.tid} runs"))
        self._unheard.append(Judgement(row.tid, Verdict.MISSING, what))
        return True

    # The judge

    def check_all(self, tally: Tally) -> None:
        """Judge what is certain of every number; the proof is never complete."""
        if not self.suspect:
            self._sweep()
        known = len(tally.bugs)
        super().check_all(tally)
        for judgement in self._unheard:
            tally.add(judgement)
        self._unheard.clear()
        if self.suspect:
            _take_back(tally, known)
        tally.complete = False

    def _compare(self, number: int) -> Judgement:
        before = self._seen.task(number)
        status = self.world.procfs.read_status(number)
        ticks = None if status is None else self.world.procfs.start_ticks(number)
        self.pump(self.stream.position)
        return judge_seen(self._seen, number, before, status, ticks)

    def _forks_at_rest(self) -> None:
        """No moment is known at which both counts could be compared."""

    def hooks(self) -> tuple[dict[str, dict[str, int]], bool]:
        """Each hook's runs, how many of them the records account for, and whether at rest.

        A run is counted before its record is written, so if all are accounted for at one time,
        none has vanished. If none is counted, written or lost from one reading to the next, nobody
        is in between, and what is not accounted for has.
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


def _take_back(tally: Tally, known: int) -> None:
    """Leave unjudged what was called a bug since there were ``known`` of them.

    Unlike a loss, a run that the kernel left out is only found at the end of a snapshot.
    """
    for bug in tally.bugs[known:]:
        tally.counts[bug.verdict] -= 1
        tally.counts[Verdict.UNJUDGED] += 1
        tally.compared -= 1
    del tally.bugs[known:]
