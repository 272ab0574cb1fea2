"""The start: whatever happened while /proc was read, the table is exact where the window ends."""

from __future__ import annotations

import random
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope.errors import IllegalEvent
from pidscope.events import Event, PidAttached, PidDetached, PidNumbers, TidsExchanged
from pidscope.model.proc import NS_PER_TICK
from pidscope.session.read_tasks import ReadTasks
from pidscope.session.stream import Stream
from pidscope.simulated.iterator import iterate
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.table.snapshot_rows import parents
from pidscope.table.start import cut_short, start, to_read_again
from pidscope.table.table import Table
from tests.unit.acting import numbers
from tests.unit.compare import expect_equal
from tests.unit.stepped_kernel import ROOT, SteppedKernel, SteppedWorld, spaces, undisturbed

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
@given(st.integers(0, 1 << 40), st.sampled_from(HIDDEN))
def test_the_table_is_exact_at_the_end_of_the_window(seed: int, hidden: Hidden) -> None:
    table, kernel, _ = started(seed, hidden)
    expect_equal(table, kernel, partial=True, midway=kernel.act is not None)


@settings(max_examples=300)
@given(st.integers(0, 1 << 40), st.sampled_from(HIDDEN))
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
    seen = {"reborn": 0, "exchange": 0, "deep": 0, "changed": 0, "held": 0, "new ns": 0}
    for seed in range(150 if hidden is None else 600):  # the iterator is done sooner
        table, _, window = started(seed, hidden)
        gone: set[int] = set()
        for event in window:
            if isinstance(event, PidDetached):
                gone.add(event.tid)
            elif isinstance(event, TidsExchanged):
                seen["exchange"] += 1
            elif isinstance(event, PidAttached) and event.birth is None:
                seen["changed"] += 1
            elif isinstance(event, PidAttached):
                seen["reborn"] += event.tid in gone
                seen["deep"] += event.pid.level >= 2
                seen["new ns"] += event.pid.numbers[-1] == 1
        held = list(table.held())
        seen["held"] += sum(pid.partial for pid in held) if hidden is None else len(held)
    assert all(count >= 5 for count in seen.values()), seen


def test_a_number_born_twice_without_its_release_is_refused() -> None:
    refused = 0
    for seed in range(200):
        rng = random.Random(seed)
        snapshot, window = read_all(busy_world(rng), rng, 0.5, HIDDEN[seed % 3])
        births = [e.tid for e in window if isinstance(e, PidAttached) and e.birth]
        twice = {tid for tid in births if births.count(tid) > 1}
        if not twice:
            continue
        kept = [e for e in window if not (isinstance(e, PidDetached) and e.tid in twice)]
        try:
            start(snapshot, kept, ROOT, NS_PER_TICK)
        except IllegalEvent:
            refused += 1
    assert refused >= 10, refused


def test_a_group_nobody_tells_of_is_refused() -> None:
    """A row whose group was born in the window, but whose own change is missing."""
    kernel = SteppedKernel()
    task = kernel.born(kernel.init)
    p0 = len(kernel.records)
    other = kernel.born(kernel.init)
    kernel.run(kernel.setpgid(other, other.thread_pid), kernel.setpgid(task, other.thread_pid))
    window = kernel.records[p0:]
    snapshot = Snapshot((_reading(kernel, 1), _reading(kernel, 2)))
    expect_equal(start(snapshot, window, ROOT, NS_PER_TICK), kernel)
    with pytest.raises(IllegalEvent, match="no group or session"):
        start(snapshot, window[:-1], ROOT, NS_PER_TICK)


def _reading(kernel: SteppedKernel, number: int) -> TaskReading:
    found = kernel.procfs.read(number)
    assert found is not None
    return found


def _held_from_inside() -> SteppedKernel:
    """2 is a session; 3/1, the init of a namespace, led the group 3 that 4 is still in."""
    kernel = SteppedKernel()
    outside = kernel.born(kernel.init)
    kernel.run(kernel.setsid(outside))
    inner = kernel.contained(outside)
    guest = kernel.born(outside)
    kernel.run(kernel.setpgid(inner, inner.thread_pid), kernel.setpgid(guest, inner.thread_pid))
    kernel.end(inner)
    return kernel


def test_a_group_of_a_namespace_without_tasks_is_partial() -> None:
    """Only who was released before it was read, and a birth, ever told of that group."""
    kernel = _held_from_inside()
    p0 = len(kernel.records)
    guest = kernel.find(4)
    kernel.run(kernel.fork(guest))
    kernel.end(guest)
    snapshot = Snapshot((_reading(kernel, 1), _reading(kernel, 2)))
    table = start(snapshot, kernel.records[p0:], ROOT, NS_PER_TICK)
    (held,) = table.held()
    assert (held.numbers, held.partial) == ((3,), True)
    expect_equal(table, kernel, partial=True)


def test_a_group_of_a_namespace_without_tasks_is_whole_if_the_iterator_tells() -> None:
    kernel = _held_from_inside()
    table = start(_iterated(kernel), [], ROOT, NS_PER_TICK)
    (held,) = table.held()
    assert (held.numbers, held.partial) == ((3, 1), False)
    expect_equal(table, kernel)


def test_deeper_than_that_nobody_tells_where_it_is() -> None:
    kernel = SteppedKernel()
    outside = kernel.born(kernel.init)
    middle = kernel.contained(outside)
    inner = kernel.contained(middle)
    guest = kernel.born(outside)
    assert len(spaces(inner)) == 3
    kernel.run(kernel.setpgid(inner, inner.thread_pid), kernel.setpgid(guest, inner.thread_pid))
    kernel.end(inner)
    kernel.run(kernel.exit(middle))  # which waits for the group to end
    table = start(_iterated(kernel), [], ROOT, NS_PER_TICK)
    (held,) = table.held()
    assert (held.numbers, held.partial) == ((4,), True)
    expect_equal(table, kernel, partial=True)


def test_a_row_in_the_middle_of_an_exchange_is_dropped() -> None:
    """It has one task's number and the other's struct pid; its process is read again."""
    kernel = SteppedKernel()
    kernel.born(kernel.born(kernel.init), thread=True)
    snapshot = _iterated(kernel)
    torn = [row._replace(pid=PidNumbers((2,), ROOT)) for row in snapshot.seen if row.tid == 3]
    rows = [row for row in snapshot.seen if row.tid != 3]
    table = start(Snapshot((), {}, (*rows, *torn)), [], ROOT, NS_PER_TICK)
    assert table.task(3) is None and table.task(2) is not None
    assert len(table.init_struct_pid.groups) == 2  # not a second process 2


def test_a_namespaces_parent_is_told_by_who_was_there_before_the_window() -> None:
    """Its inum may be another's by the end, further inwards or not."""
    row = _iterated(SteppedKernel()).seen[0]
    old = row._replace(tid=5, pid=PidNumbers((5, 2, 1), 77), birth=row.birth._replace(ns_parent=70))
    new = row._replace(tid=6, pid=PidNumbers((6, 2, 1), 77), birth=row.birth._replace(ns_parent=71))
    for order in ((old, new), (new, old)):
        assert parents(Snapshot((), {70: ROOT}, order), {6}) == {70: ROOT, 77: 70}


def _iterated(kernel: SteppedKernel) -> Snapshot:
    return Snapshot((), {}, tuple(undisturbed(iterate(kernel))))


def _held_by_two() -> SteppedKernel:
    """4/2 led a group that 3, outside, and 5/3 are still in."""
    kernel = SteppedKernel()
    kernel.run(kernel.setsid(kernel.init))
    inner, guest = kernel.contained(kernel.init), kernel.born(kernel.init)
    leader = kernel.born(inner)
    kernel.run(
        kernel.setpgid(leader, leader.thread_pid),
        kernel.fork(leader),
        kernel.setpgid(guest, leader.thread_pid),
    )
    kernel.end(leader)
    return kernel


def test_a_held_group_is_known_as_deep_as_any_member_sees_it() -> None:
    kernel = _held_by_two()
    inner = spaces(kernel.find(2))[-1]
    rows = tuple(_reading(kernel, number) for number in (1, 2, 3, 5))
    for order in (rows, rows[::-1]):
        table = start(Snapshot(order, {inner.inum: ROOT}), [], ROOT, NS_PER_TICK)
        (held,) = table.held()
        assert held.numbers == (4, 2) and held.partial
        assert len(held.groups) == 2


def test_a_torn_line_is_no_link_if_its_change_is_in_the_window() -> None:
    """The outer number is still the old group's, the inner one already the new one's."""
    kernel = _held_by_two()
    member = kernel.find(5)
    assert numbers(member) == (5, 3)
    inner, p0 = spaces(member)[-1], len(kernel.records)
    kernel.run(kernel.setpgid(member, member.thread_pid))
    *others, last = (_reading(kernel, number) for number in (1, 2, 3, 5))
    torn = last._replace(status=last.status._replace(ns_pgid=(4, 3)))
    snapshot = Snapshot((*others, torn), {inner.inum: ROOT})
    table = start(snapshot, kernel.records[p0:], ROOT, NS_PER_TICK)
    expect_equal(table, kernel, partial=True)
    (held,) = table.held()
    assert held.numbers == (4,)


def test_a_lost_thread_asks_for_a_listing_and_an_exchange_for_a_reading() -> None:
    events: list[Event] = [
        PidDetached(0, 1, 10, 10, 0),
        PidDetached(0, 1, 21, 20, 0),
        TidsExchanged(0, 1, 31, 30, 0, 0),
    ]
    assert [number for number in (10, 20, 30) if cut_short(number, events)] == [20]
    assert to_read_again(events) == {30}
