"""The start: whatever happened while /proc was read, the table is exact where the window ends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Optional

import pytest
from hypothesis import given, settings, strategies

from pidscope.errors import IllegalEvent
from pidscope.events import Event, PidAttached, PidDetached, PidNumbers, TidsExchanged
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.session.read_tasks import ReadTasks
from pidscope.session.stream import Stream
from pidscope.simulated.iterator import iterate
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.table.snapshot_rows import parents
from pidscope.table.start import cut_short, start, to_read_again
from pidscope.table.table import Table
from tests.unit.acting import numbers
from tests.unit.compare import expect_equal
from tests.unit.machine import Acts, inum
from tests.unit.stepped_kernel import ROOT, SteppedKernel, SteppedWorld, spaces, undisturbed

SEEDS = strategies.integers(0, 1 << 40)
Hidden = Optional[frozenset[int]]
HIDDEN: tuple[Hidden, ...] = (None, frozenset(), frozenset(range(1, 99, 3)))
"""The processes that the task iterator leaves out; None: there is no iterator."""


def busy_world(rng: random.Random, acts: int = 60) -> SteppedWorld:
    """A machine that has run for a while."""
    kernel = SteppedKernel(pid_max=rng.choice((14, 24, 40)))
    kernel.pick_number = rng.choice((min, max, rng.choice))
    kernel.act_at_random(rng, acts)
    world = SteppedWorld(kernel)
    world.procfs.is_early = rng.random() < 0.5
    return world


def read_all(
    world: SteppedWorld, rng: random.Random, rate: float, hidden: Hidden
) -> tuple[Snapshot, list[Event]]:
    """Read every process as a session does, while others act; all that is told is done then."""
    world.iterates, world.hidden = hidden is not None, hidden or ()
    stream = Stream(world)
    stream.skip()
    world.others_act(rng, 15, rate)
    world.fence()
    reading = ReadTasks(world, stream)
    snapshot = reading.read_all()
    world.between = lambda: None
    world.kernel.settle()
    return snapshot, reading.window


def started(seed: int, hidden: Hidden = None) -> tuple[Table, SteppedKernel, list[Event]]:
    """One start under activity; the kernel stands where the window ends."""
    rng = random.Random(seed)
    world = busy_world(rng)
    snapshot, window = read_all(world, rng, rng.choice((0.1, 0.3, 0.5)), hidden)
    return start(snapshot, window, ROOT, NS_PER_TICK), world.kernel, window


@settings(max_examples=900)
@given(SEEDS, strategies.sampled_from(HIDDEN))
def test_the_table_is_exact_at_the_end_of_the_window(seed: int, hidden: Hidden) -> None:
    table, kernel, _ = started(seed, hidden)
    expect_equal(table, kernel, partial=True, midway=kernel.act is not None)


@settings(max_examples=300)
@given(SEEDS, strategies.sampled_from(HIDDEN))
def test_it_stays_exact_afterwards(seed: int, hidden: Hidden) -> None:
    """A start that is right by luck at one moment would be found out by what follows."""
    table, kernel, _ = started(seed, hidden)
    rng = random.Random(seed + 1)
    applied = len(kernel.records)
    for _ in range(60):
        kernel.run(kernel.random_act(rng))
        for event in kernel.records[applied:]:
            table.apply(event)
        applied = len(kernel.records)
        expect_equal(table, kernel, partial=True)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_histories_hold_what_they_are_for(hidden: Hidden) -> None:
    """Births, releases, changes, exchanges, namespaces, number reuse, held groups: all occur."""
    seen: Counter[str] = Counter()
    for seed in range(150 if hidden is None else 600):  # the iterator is done sooner
        table, _, window = started(seed, hidden)
        seen.update(_kinds(window))
        held = list(table.held())
        seen["held"] += sum(pid.partial for pid in held) if hidden is None else len(held)
    kinds = ("reborn", "exchange", "deep", "changed", "held", "new ns")
    assert all(seen[kind] >= 5 for kind in kinds), seen


def _kinds(window: list[Event]) -> Iterator[str]:
    """What the events of a window are, for a start."""
    gone: set[int] = set()
    for event in window:
        if isinstance(event, PidDetached):
            gone.add(event.tid)
        elif isinstance(event, TidsExchanged):
            yield "exchange"
        elif isinstance(event, PidAttached) and event.birth is None:
            yield "changed"
        elif isinstance(event, PidAttached):
            facts = {
                "reborn": event.tid in gone,
                "deep": event.pid.level >= 2,
                "new ns": event.pid.numbers[-1] == 1,
            }
            yield from (fact for fact, holds in facts.items() if holds)


def test_a_number_born_twice_without_its_release_is_refused() -> None:
    refused = 0
    for seed in range(200):
        rng = random.Random(seed)
        snapshot, window = read_all(busy_world(rng), rng, 0.5, HIDDEN[seed % 3])
        births = Counter(e.tid for e in window if isinstance(e, PidAttached) and e.birth)
        twice = {tid for tid, times in births.items() if times > 1}
        if twice:
            kept = [e for e in window if not (isinstance(e, PidDetached) and e.tid in twice)]
            try:
                start(snapshot, kept, ROOT, NS_PER_TICK)
            except IllegalEvent:
                refused += 1
    assert refused >= 10, refused


@pytest.fixture
def m() -> Acts:
    return Acts()


def _started(
    kernel: SteppedKernel, snapshot: Snapshot, window: Sequence[Event] = ()
) -> tuple[Table, list[tuple[tuple[int, ...], bool]]]:
    """The table, which equals the kernel, and its held pids: their numbers, and whether partial."""
    table = start(snapshot, window, ROOT, NS_PER_TICK)
    held = [(pid.numbers, pid.partial) for pid in table.held()]
    expect_equal(table, kernel, partial=any(partial for _, partial in held))
    return table, held


def _readings(kernel: SteppedKernel, *numbers: int) -> tuple[TaskReading, ...]:
    found = [kernel.procfs.read(number) for number in numbers]
    assert None not in found
    return tuple(found)  # type: ignore[arg-type]


def _iterated(kernel: SteppedKernel) -> Snapshot:
    return Snapshot((), {}, tuple(undisturbed(iterate(kernel))))


def test_a_group_nobody_tells_of_is_refused(m: Acts) -> None:
    """A row whose group was born in the window, but whose own change is missing."""
    task, p0 = m.fork(), len(m.kernel.records)
    other = m.group_leader()
    m.run(m.kernel.setpgid(task, other.thread_pid))
    snapshot, window = Snapshot(_readings(m.kernel, 1, 2)), m.kernel.records[p0:]
    assert _started(m.kernel, snapshot, window)[1] == []
    with pytest.raises(IllegalEvent, match="no group or session"):
        start(snapshot, window[:-1], ROOT, NS_PER_TICK)


def _hold_from_inside(m: Acts) -> TaskStruct:
    """2 is a session; 3/1, the init of a namespace, led the group 3 that 4 is still in: 4."""
    outside = m.session_leader()
    inner, guest = m.contain(outside), m.fork(outside)
    m.run(
        m.kernel.setpgid(inner, inner.thread_pid),
        m.kernel.setpgid(guest, inner.thread_pid),
    )
    m.end(inner)
    return guest


def test_a_group_of_a_namespace_without_tasks_is_partial(m: Acts) -> None:
    """Only who was released before it was read, and a birth, ever told of that group."""
    guest, p0 = _hold_from_inside(m), len(m.kernel.records)
    m.fork(guest)
    m.end(guest)
    snapshot = Snapshot(_readings(m.kernel, 1, 2))
    assert _started(m.kernel, snapshot, m.kernel.records[p0:])[1] == [((3,), True)]


def test_a_group_of_a_namespace_without_tasks_is_whole_if_the_iterator_tells(m: Acts) -> None:
    _hold_from_inside(m)
    assert _started(m.kernel, _iterated(m.kernel))[1] == [((3, 1), False)]


def test_deeper_than_that_nobody_tells_where_it_is(m: Acts) -> None:
    outside = m.fork()
    middle = m.contain(outside)
    inner, guest = m.contain(middle), m.fork(outside)
    assert len(spaces(inner)) == 3
    m.run(
        m.kernel.setpgid(inner, inner.thread_pid),
        m.kernel.setpgid(guest, inner.thread_pid),
    )
    m.end(inner)
    m.run(m.kernel.exit(middle))  # which waits for the group to end
    assert _started(m.kernel, _iterated(m.kernel))[1] == [((4,), True)]


def test_a_row_in_the_middle_of_an_exchange_is_dropped(m: Acts) -> None:
    """It has one task's number and the other's struct pid; its process is read again."""
    m.threaded()
    rows = {row.tid: row for row in _iterated(m.kernel).seen}
    rows[3] = rows[3]._replace(pid=PidNumbers((2,), ROOT))
    table = start(Snapshot((), {}, tuple(rows.values())), [], ROOT, NS_PER_TICK)
    assert table.task(3) is None and table.task(2) is not None
    assert len(table.init_struct_pid.groups) == 2  # not a second process 2


def test_a_namespaces_parent_is_told_by_who_was_there_before_the_window(m: Acts) -> None:
    """Its inum may be another's by the end, further inwards or not."""
    row = _iterated(m.kernel).seen[0]
    old = row._replace(tid=5, pid=PidNumbers((5, 2, 1), 77), birth=row.birth._replace(ns_parent=70))
    new = row._replace(tid=6, pid=PidNumbers((6, 2, 1), 77), birth=row.birth._replace(ns_parent=71))
    for order in ((old, new), (new, old)):
        assert parents(Snapshot((), {70: ROOT}, order), {6}) == {70: ROOT, 77: 70}


def _hold_by_two(m: Acts) -> dict[int, int]:
    """4/2 led a group that 3, outside, and 5/3 are still in; the parent of 5's namespace."""
    m.run(m.kernel.setsid(m.kernel.init))
    inner, guest = m.contain(), m.fork()
    leader = m.group_leader(inner)
    m.run(m.kernel.fork(leader), m.kernel.setpgid(guest, leader.thread_pid))
    m.end(leader)
    return {inum(inner): ROOT}


def test_a_held_group_is_known_as_deep_as_any_member_sees_it(m: Acts) -> None:
    above, rows = _hold_by_two(m), _readings(m.kernel, 1, 2, 3, 5)
    for order in (rows, rows[::-1]):
        table = start(Snapshot(order, above), [], ROOT, NS_PER_TICK)
        assert [(pid.numbers, pid.partial, len(pid.groups)) for pid in table.held()] == [
            ((4, 2), True, 2)
        ]


def test_a_torn_line_is_no_link_if_its_change_is_in_the_window(m: Acts) -> None:
    """The outer number is still the old group's, the inner one already the new one's."""
    above, p0, member = _hold_by_two(m), len(m.kernel.records), m.kernel.find(5)
    assert numbers(member) == (5, 3)
    m.run(m.kernel.setpgid(member, member.thread_pid))
    *others, last = _readings(m.kernel, 1, 2, 3, 5)
    torn = last._replace(status=last.status._replace(ns_pgid=(4, 3)))
    snapshot = Snapshot((*others, torn), above)
    assert _started(m.kernel, snapshot, m.kernel.records[p0:])[1] == [((4,), True)]


def test_a_lost_thread_asks_for_a_listing_and_an_exchange_for_a_reading() -> None:
    events: list[Event] = [
        PidDetached(0, 1, 10, 10, 0),
        PidDetached(0, 1, 21, 20, 0),
        TidsExchanged(0, 1, 31, 30, 0, 0),
    ]
    assert [number for number in (10, 20, 30) if cut_short(number, events)] == [20]
    assert to_read_again(events) == {30}
