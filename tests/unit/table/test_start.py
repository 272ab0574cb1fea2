"""The start: whatever happened while /proc was read, the table is exact where the window ends."""

from __future__ import annotations

import random
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope.errors import IllegalEvent
from pidscope.events import Event, PidAttached, PidDetached, PidNumbers, PidType, TidsExchanged
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.table.snapshot_rows import parents
from pidscope.table.start import cut_short, start, to_read_again
from pidscope.table.table import Table
from tests.unit import readers
from tests.unit.compare import expect_equal
from tests.unit.readers import drive
from tests.unit.reference import NS_PER_TICK, ROOT, Kernel

Shown = Callable[[int], bool]


def busy_kernel(rng: random.Random, acts: int = 60) -> Kernel:
    """A machine that has run for a while, and may be in the middle of an act."""
    kernel = Kernel(pid_max=rng.choice((14, 24, 40)))
    kernel.early_listing = rng.random() < 0.5
    kernel.pick_number = rng.choice((min, max, rng.choice))
    for _ in range(acts):
        act = kernel.random_act(rng)
        if act is not None:
            kernel.run(act)
    return kernel


def list_threads(kernel: Kernel, number: int, rng: random.Random, rate: float) -> list[int]:
    while True:
        position = len(kernel.records)
        kernel.finish()  # the fence
        tids = drive(readers.threads(kernel, number), kernel, rng, rate)
        if not cut_short(number, kernel.records[position:]):
            return tids
        rate /= 2


def read_all(
    kernel: Kernel, rng: random.Random, rate: float, shown: Shown
) -> tuple[Snapshot, list[Event]]:
    """Read every process as a walk does; what is torn by its rules is read again.

    ``shown``: whom the task iterator shows, of the processes.
    """
    position = p0 = len(kernel.records)
    kernel.finish()  # the fence
    listed = drive(readers.numbers(kernel), kernel, rng, rate)
    rows = drive(readers.seen(kernel), kernel, rng, rate)
    leaders = {row.tid for row in rows if row.tid == row.birth.tgid and shown(row.tid)}
    seen = {number: [row for row in rows if row.birth.tgid == number] for number in leaders}
    readings: dict[int, list[TaskReading]] = {}
    ns_parents: dict[int, int] = {}
    todo = set(listed) - seen.keys()
    while True:
        kernel.finish()  # what was told of in the round before has happened
        for number in sorted(todo):
            readings[number] = []
            seen.pop(number, None)
            tids = list_threads(kernel, number, rng, rate)
            for tid in {number, *tids}:
                reading = drive(readers.task_reading(kernel, tid), kernel, rng, rate)
                if reading is None or reading.status.ns_tgid[0] != number:
                    continue
                readings[number].append(reading)
                if reading.ns is not None and reading.ns not in ns_parents:
                    chain = drive(readers.ns_chain(kernel, tid), kernel, rng, rate)
                    ns_parents.update(chain)
        part, position = kernel.records[position:], len(kernel.records)
        todo = to_read_again(part) & (readings.keys() | seen.keys())
        if not todo:
            break
        rate /= 2
    tasks = tuple(task for process in readings.values() for task in process)
    window = kernel.records[p0:position]
    return Snapshot(tasks, ns_parents, tuple(row for one in seen.values() for row in one)), window


def nobody(number: int) -> bool:
    """There is no task iterator."""
    return False


def everybody(number: int) -> bool:
    return True


def some(number: int) -> bool:
    """Process 1 and others are left out, and are read in /proc."""
    return number % 3 != 1


SHOWN: tuple[Shown, ...] = (nobody, everybody, some)


def started(seed: int, shown: Shown = nobody) -> tuple[Table, Kernel, list[Event]]:
    """One start under activity; the reference stands where the window ends."""
    rng = random.Random(seed)
    kernel = busy_kernel(rng)
    snapshot, window = read_all(kernel, rng, rng.choice((0.1, 0.3, 0.5)), shown)
    kernel.settle()
    return start(snapshot, window, ROOT, NS_PER_TICK), kernel, window


@settings(max_examples=900)
@given(st.integers(0, 1 << 40), st.sampled_from(SHOWN))
def test_the_table_is_exact_at_the_end_of_the_window(seed: int, shown: Shown) -> None:
    table, kernel, _ = started(seed, shown)
    expect_equal(table, kernel, partial=True)


@settings(max_examples=300)
@given(st.integers(0, 1 << 40), st.sampled_from(SHOWN))
def test_it_stays_exact_afterwards(seed: int, shown: Shown) -> None:
    """A start that is right by luck at one moment would be found out by what follows."""
    table, kernel, _ = started(seed, shown)
    rng = random.Random(seed + 1)
    applied = len(kernel.records)
    for _ in range(60):
        act = kernel.random_act(rng)
        if act is None:
            continue
        kernel.run(act)
        for event in kernel.records[applied:]:
            table.apply(event)
        applied = len(kernel.records)
        expect_equal(table, kernel, partial=True)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_histories_hold_what_they_are_for(shown: Shown) -> None:
    """Births, releases, changes, exchanges, namespaces, number reuse, held groups: all occur."""
    seen = {"reborn": 0, "exchange": 0, "deep": 0, "changed": 0, "held": 0, "new ns": 0}
    for seed in range(150 if shown is nobody else 600):  # the iterator is done sooner
        table, _, window = started(seed, shown)
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
        seen["held"] += sum(pid.partial for pid in held) if shown is nobody else len(held)
    assert all(count >= 5 for count in seen.values()), seen


def test_a_number_born_twice_without_its_release_is_refused() -> None:
    refused = 0
    for seed in range(200):
        rng = random.Random(seed)
        kernel = busy_kernel(rng)
        snapshot, window = read_all(kernel, rng, 0.5, SHOWN[seed % 3])
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
    kernel = Kernel()
    kernel.run(kernel.fork(kernel.init))
    (task,) = (one for one in kernel.threads() if one is not kernel.init)
    p0 = len(kernel.records)
    assert task.pid is not None
    before = drive(readers.task_reading(kernel, 2), kernel, random.Random(0), 0)
    kernel.run(kernel.fork(kernel.init))
    other = kernel.find(3)
    assert other.pid is not None and before is not None
    kernel.run(kernel.setpgid(other, other.pid))
    kernel.run(kernel.setpgid(task, other.pid))
    init = drive(readers.task_reading(kernel, 1), kernel, random.Random(0), 0)
    after = drive(readers.task_reading(kernel, 2), kernel, random.Random(0), 0)
    assert init is not None and after is not None
    window = kernel.records[p0:]
    snapshot = Snapshot((init, after))
    expect_equal(start(snapshot, window, ROOT, NS_PER_TICK), kernel)
    with pytest.raises(IllegalEvent, match="no group or session"):
        start(snapshot, window[:-1], ROOT, NS_PER_TICK)


def _reading(kernel: Kernel, number: int) -> TaskReading:
    found = drive(readers.task_reading(kernel, number), kernel, random.Random(0), 0)
    assert found is not None
    return found


def _held_from_inside() -> Kernel:
    """2 is a session; 3/1, the init of a namespace, led the group 3 that 4 is still in."""
    kernel = Kernel()
    kernel.run(kernel.fork(kernel.init))
    outside = kernel.find(2)
    kernel.run(kernel.setsid(outside))
    kernel.run(kernel.unshare(outside))
    kernel.run(kernel.fork(outside))
    kernel.run(kernel.setns(outside, None))
    kernel.run(kernel.fork(outside))
    inner, guest = kernel.find(3), kernel.find(4)
    assert inner.pid is not None
    kernel.run(kernel.setpgid(inner, inner.pid))
    kernel.run(kernel.setpgid(guest, inner.pid))
    kernel.run(kernel.exit(inner))
    kernel.run(kernel.release(inner))
    return kernel


def test_a_group_of_a_namespace_without_tasks_is_partial() -> None:
    """Only who was released before it was read, and a birth, ever told of that group."""
    kernel = _held_from_inside()
    p0 = len(kernel.records)
    guest = kernel.find(4)
    kernel.run(kernel.fork(guest))
    kernel.run(kernel.exit(guest))
    kernel.run(kernel.release(guest))
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
    kernel = Kernel()
    kernel.run(kernel.fork(kernel.init))
    outside = kernel.find(2)
    kernel.run(kernel.unshare(outside))
    kernel.run(kernel.fork(outside))
    kernel.run(kernel.unshare(kernel.find(3)))
    kernel.run(kernel.fork(kernel.find(3)))
    kernel.run(kernel.setns(outside, None))
    kernel.run(kernel.fork(outside))
    middle, inner, guest = kernel.find(3), kernel.find(4), kernel.find(5)
    assert inner.pid is not None and inner.pid.ns.level == 2
    kernel.run(kernel.setpgid(inner, inner.pid))
    kernel.run(kernel.setpgid(guest, inner.pid))
    for task in (inner, middle):
        kernel.run(kernel.exit(task))
        kernel.run(kernel.release(task))
    table = start(_iterated(kernel), [], ROOT, NS_PER_TICK)
    (held,) = table.held()
    assert (held.numbers, held.partial) == ((4,), True)
    expect_equal(table, kernel, partial=True)


def test_a_row_in_the_middle_of_an_exchange_is_dropped() -> None:
    """It has one task's number and the other's struct pid; its process is read again."""
    kernel = Kernel()
    kernel.run(kernel.fork(kernel.init))
    kernel.run(kernel.fork(kernel.find(2), thread=True))
    snapshot = _iterated(kernel)
    torn = [row._replace(pid=PidNumbers((2,), ROOT)) for row in snapshot.seen if row.tid == 3]
    rows = [row for row in snapshot.seen if row.tid != 3]
    table = start(Snapshot((), {}, (*rows, *torn)), [], ROOT, NS_PER_TICK)
    assert table.task(3) is None and table.task(2) is not None
    assert len(table.init_struct_pid.groups) == 2  # not a second process 2


def test_a_namespaces_parent_is_told_by_who_was_there_before_the_window() -> None:
    """Its inum may be another's by the end, further inwards or not."""
    row = _iterated(Kernel()).seen[0]
    old = row._replace(tid=5, pid=PidNumbers((5, 2, 1), 77), birth=row.birth._replace(ns_parent=70))
    new = row._replace(tid=6, pid=PidNumbers((6, 2, 1), 77), birth=row.birth._replace(ns_parent=71))
    for order in ((old, new), (new, old)):
        assert parents(Snapshot((), {70: ROOT}, order), {6}) == {70: ROOT, 77: 70}


def _iterated(kernel: Kernel) -> Snapshot:
    rows = drive(readers.seen(kernel), kernel, random.Random(0), 0)
    return Snapshot((), {}, tuple(rows))


def _held_by_two() -> Kernel:
    """4/2 led a group that 3, outside, and 5/3 are still in."""
    kernel = Kernel()
    kernel.run(kernel.unshare(kernel.init))
    kernel.run(kernel.fork(kernel.init))
    kernel.run(kernel.setns(kernel.init, None))
    kernel.run(kernel.setsid(kernel.init))
    kernel.run(kernel.fork(kernel.init))
    inner, guest = kernel.find(2), kernel.find(3)
    kernel.run(kernel.setsid(inner))
    kernel.run(kernel.fork(inner))
    leader = kernel.find(4)
    assert leader.pid is not None
    kernel.run(kernel.setpgid(leader, leader.pid))
    kernel.run(kernel.fork(leader))
    guest.process.pids[PidType.SID] = inner.pid  # else setpgid() would not let it in
    kernel.run(kernel.setpgid(guest, leader.pid))
    kernel.run(kernel.exit(leader))
    kernel.run(kernel.release(leader))
    return kernel


def test_a_held_group_is_known_as_deep_as_any_member_sees_it() -> None:
    kernel = _held_by_two()
    inner = kernel.find(2).pid
    assert inner is not None
    rows = tuple(_reading(kernel, number) for number in (1, 2, 3, 5))
    for order in (rows, rows[::-1]):
        table = start(Snapshot(order, {inner.ns.inum: ROOT}), [], ROOT, NS_PER_TICK)
        (held,) = table.held()
        assert held.numbers == (4, 2) and held.partial
        assert len(held.groups) == 2


def test_a_torn_line_is_no_link_if_its_change_is_in_the_window() -> None:
    """The outer number is still the old group's, the inner one already the new one's."""
    kernel = _held_by_two()
    member = kernel.find(5)
    assert member.pid is not None and member.pid.numbers == (5, 3)
    inner, p0 = member.pid.ns, len(kernel.records)
    kernel.run(kernel.setpgid(member, member.pid))
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
