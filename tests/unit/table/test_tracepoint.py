"""Whatever the model does, a table that is told by tracepoints follows, late but never wrong."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from pidscope import events
from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.kernel import Kernel
from pidscope.model.proc import NS_PER_TICK
from pidscope.simulated.iterator import iterate
from pidscope.simulated.procfs import SimulatedProcFs
from pidscope.simulated.random_workload import random_play
from pidscope.snapshot import Status, TaskReading
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.tracepoint import judge_tracepoint_table
from pidscope.verify.verdicts import BUGS, Judgement, Verdict
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from tests.unit.compare import expect_equal
from tests.unit.stepped_kernel import ROOT, undisturbed
from tests.unit.tracing import Tracer, wrong_number

STEPS = 300


class Watched:
    """A model with a random workload, and a table that is told of it by tracepoints."""

    def __init__(self, seed: int, features: Features = TODAY) -> None:
        self.rng = random.Random(seed)
        self.kernel = Kernel(features)
        self.play = random_play(self.kernel, seed)
        self.procfs = SimulatedProcFs(self.kernel, undisturbed)
        for _ in range(self.rng.randrange(60)):
            self.play.step()
        self.tracer = Tracer(self.kernel, self._told, self.rng)
        self.kernel.listener = self.tracer.hooked
        self.start()

    def _told(self, event: events.Event, then: events.TaskSeen | None) -> None:
        record = decode(encode(event, then=then))
        self.table.apply(record.event)
        if record.then is not None:
            self.table.apply(record.then)

    def start(self) -> None:
        """Make a table of what there is, after the one before if there was one."""
        root, before = self.kernel.init_pid_ns.inum, getattr(self, "table", None)
        self.table = TracepointTable(root, NS_PER_TICK, before)
        self.table.start(self.rows(), [])

    def rows(self) -> list[events.TaskSeen]:
        """What the iterator shows, in the order in which it is to be taken."""
        rows = undisturbed(iterate(self.kernel))
        rows.sort(key=lambda row: (row.tid != row.birth.tgid, len(row.pid.numbers)))
        return rows

    def sweep(self) -> list[events.TaskSeen]:
        """Look at all; those whose birth was not told."""
        rows = [row for row in self.rows() if not self.tracer.is_new(row.tid)]
        unheard = [row for row in rows if not self.table.knows(row)]
        for row in rows:
            self.table.see(row)
        for row in rows:
            self.table.see_links(row)
        return unheard

    def judge_all(self) -> Iterator[Judgement]:
        """Compare with /proc as it is now."""
        for number in {*self.table.root.pids, *self.kernel.init_pid_ns.allocator.pids}:
            files = self.procfs.read_status(number), self.procfs.start_ticks(number)
            yield judge_tracepoint_table(self.table, number, self.table.task(number), *files)

    def bugs(self) -> list[Judgement]:
        return [judgement for judgement in self.judge_all() if judgement.verdict in BUGS]

    def run(self, steps: int) -> Iterator[None]:
        for _ in range(steps):
            self.play.step()
            yield


@pytest.mark.parametrize("features", [TODAY, LINUX_4_4, Features(exits_overlap=True)])
@pytest.mark.parametrize("seed", range(8))
def test_what_is_told_late_is_never_wrong(seed: int, features: Features) -> None:
    w = Watched(seed, features)
    judged = 0
    for _ in w.run(STEPS):
        if w.rng.random() < 0.3:
            assert w.bugs() == []
        if w.rng.random() < 0.1:
            assert w.sweep() == []
            assert w.bugs() == []
        if w.rng.random() < 0.05:
            w.tracer.settle()
            w.sweep()
            expect_equal(w.table, w.kernel)
            judged += sum(one.verdict is Verdict.AGREE for one in w.judge_all())
    assert judged > 10


@pytest.mark.parametrize("seed", range(10))
def test_a_start_in_the_middle_shows_everybody(seed: int) -> None:
    w = Watched(seed)
    for _ in w.run(300):
        if w.rng.random() < 0.05:
            w.start()
            expect_equal(w.table, w.kernel)


# It can fail


def _unless(
    kind: type[events.Event], chance: int = 3
) -> Callable[[events.Event], events.Event | None]:
    """A tracepoint that does not run, one time of some."""
    turns = itertools.cycle(range(chance))
    return lambda event: None if isinstance(event, kind) and next(turns) == 0 else event


def _found(w: Watched) -> set[object]:
    """What a run of it shows: verdicts, and whether a sweep met somebody nobody told of."""
    found: set[object] = set()
    for _ in w.run(STEPS):
        found.update(bug.verdict for bug in w.bugs())
        if w.rng.random() < 0.2:
            found.update("unheard" for _ in w.sweep())
    return found


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda event: event, None),
        (_unless(events.PidAttached), "unheard"),
        (_unless(events.TaskExited), Verdict.GHOST),
        (wrong_number, Verdict.WRONG),
    ],
)
def test_a_tracepoint_that_does_not_tell_is_found(
    change: Callable[[events.Event], events.Event | None], shown: object
) -> None:
    w = Watched(seed=3)
    w.tracer.change = change
    found = _found(w)
    assert shown in found if shown is not None else not found


def test_nothing_rests_on_the_ends_that_are_told() -> None:
    """They fail to come at all: whoever has exited and is shown no more goes all the same."""
    w = Watched(seed=5)
    w.tracer.change = _unless(events.TaskFreed, chance=1)
    for step, _ in enumerate(w.run(STEPS)):
        if step % 40 == 39:
            w.tracer.settle()
            for _ in range(2):  # a leader goes after its threads
                w.table.release_absent(w.table.leaving - {row.tid for row in w.rows()})
            assert w.sweep() == []
            expect_equal(w.table, w.kernel)


def test_who_may_have_exited_before_the_start_is_not_called_a_ghost() -> None:
    """Zombies of before: their exit was told to nobody."""
    doubted = set()
    for seed in range(6):
        w = Watched(seed)
        doubt = dict.fromkeys(w.table.unsure)
        for _ in w.run(100):
            assert w.bugs() == []
            w.table.unsure.clear()
            doubted.update(bug.verdict for bug in w.bugs() if bug.number in doubt)
            w.table.unsure.update(nr for nr in doubt if nr not in w.table.exited)
    assert Verdict.GHOST in doubted


# One at a time

FLAT = events.PidNumbers((5,), ROOT)
BIRTH = events.Birth(5, 1, 50, b"x", 0, FLAT, FLAT)


def row(
    tid: int, start_ns: int = 50, ns: int = ROOT, inner: tuple[int, ...] = (), **more: object
) -> events.TaskSeen:
    pid = events.PidNumbers((tid, *inner), ns)
    birth = BIRTH._replace(tgid=tid, start_ns=start_ns, pgid=pid, sid=pid)._replace(**more)  # type: ignore[arg-type]
    return events.TaskSeen(9, tid, tid, pid, birth)


def init_row(tid: int, **more: object) -> events.TaskSeen:
    """The init of a namespace in the initial one."""
    return row(tid, ns=77, inner=(1,), ns_parent=ROOT, **more)  # type: ignore[arg-type]


def born(seen: events.TaskSeen) -> events.PidAttached:
    return events.PidAttached(9, 1, seen.tid, events.PidType.PID, seen.pid, seen.birth)


def table_of(*rows: events.TaskSeen) -> TracepointTable:
    table = TracepointTable(ROOT, NS_PER_TICK)
    table.start(rows, [])
    return table


def numbers(table: TracepointTable) -> dict[int, tuple[int, ...]]:
    return {task.pid.nr: task.pid.numbers for task in table.tasks() if task.pid}


def test_an_old_end_does_not_end_the_next_of_its_number() -> None:
    table = table_of(row(5))
    table.apply(events.TaskExited(9, 5, 5, 5, 0))
    table.apply(born(row(5, start_ns=60)))
    assert 5 not in table.exited
    for start_ns, left in ((50, {5: (5,)}), (60, {})):
        table.apply(events.TaskFreed(9, 0, 5, 5, start_ns))
        assert numbers(table) == left


def test_a_member_that_is_told_of_before_its_namespaces_init_stays() -> None:
    table = table_of(row(1), init_row(7))
    table.apply(born(row(9, 90, ns=77, inner=(2,), ns_parent=ROOT)))  # of the next with this inum
    table.apply(born(init_row(8, start_ns=80)))
    assert numbers(table) == {1: (1,), 8: (8, 1), 9: (9, 2)}


def test_a_link_that_is_out_of_date_puts_out_no_task() -> None:
    """Group 7 was another one when it was read than the 7 that was told of since."""
    table = table_of(row(1), row(5), init_row(7))
    assert table.see_links(row(5, pgid=events.PidNumbers((7,), ROOT))) == []
    assert numbers(table) == {1: (1,), 5: (5,), 7: (7, 1)}
    now = row(5, pgid=events.PidNumbers((7, 1), 77))
    assert table.see_links(now) == [events.PidType.PGID]


def test_a_start_takes_links_to_those_who_come_later() -> None:
    deep = init_row(9)
    table = table_of(row(1), row(5, pgid=deep.pid), deep)
    task, leader = table.task(5), table.task(9)
    assert task is not None and leader is not None
    assert task.group.pgid is leader.pid


def test_an_exit_in_the_window_of_a_start_is_not_the_next_ones() -> None:
    """The row is of the second of its number; the window has the first one's exit before it."""
    table = table_of(row(5, start_ns=60))
    table.apply(events.TaskExited(9, 5, 5, 5, 0))
    table.apply(born(row(5, start_ns=60)))
    assert table.exited == set()


def test_in_a_time_namespace_a_hidden_task_is_itself() -> None:
    """Its start comes from /proc as its reader is shown it."""
    status = Status(b"init", "S", 0, 1, 1, (1,), (1,), (0,), (0,))
    table = TracepointTable(ROOT, NS_PER_TICK, None, 1000 * NS_PER_TICK)
    table.start([], [TaskReading(1, status, 1024, ROOT)])
    task = table.task(1)
    assert task is not None and table.start_ticks(task) == 1024
    assert task.group.pgid is task.group.sid is table.init_struct_pid


def test_a_thread_whose_own_process_is_out_of_date_waits_for_the_next_look() -> None:
    outer, inner = init_row(7), row(9, ns=88, inner=(2, 1), ns_parent=77)
    table = table_of(row(1), outer._replace(tid=8), inner)  # in the middle of an exchange
    table.apply(outer)
    thread, birth = events.PidNumbers((10, 3, 2), 88), inner.birth._replace(start_ns=99)
    table.apply(events.PidAttached(9, 9, 10, events.PidType.PID, thread, birth))
    assert 10 not in numbers(table)
