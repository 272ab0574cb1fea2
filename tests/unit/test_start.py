"""The start: whatever happened while /proc was read, the table is exact where the window ends."""

from __future__ import annotations

import random

import pytest
import readers
from compare import expect_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import drive
from reference import NS_PER_TICK, ROOT, Kernel

from pidscope.errors import IllegalEvent
from pidscope.event import Event, PidAttached, PidDetached, PidType, TidsExchanged
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.start import cut_short, start, to_read_again
from pidscope.table import Table


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


def read_all(kernel: Kernel, rng: random.Random, rate: float) -> tuple[Snapshot, list[Event]]:
    """Read every process as the session does; what is torn by its rules is read again."""
    position = p0 = len(kernel.records)
    kernel.finish()  # the fence
    listed = drive(readers.numbers(kernel), kernel, rng, rate)
    readings: dict[int, list[TaskReading]] = {}
    ns_parents: dict[int, int] = {}
    todo = set(listed)
    while todo:
        kernel.finish()  # what was told of in the round before has happened
        for number in sorted(todo):
            readings[number] = []
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
        todo = to_read_again(part) & readings.keys()
        rate /= 2
    tasks = tuple(task for process in readings.values() for task in process)
    window = kernel.records[p0:position]
    return Snapshot(tasks, ns_parents), window


def started(seed: int) -> tuple[Table, Kernel, list[Event]]:
    """One start under activity; the reference stands where the window ends."""
    rng = random.Random(seed)
    kernel = busy_kernel(rng)
    snapshot, window = read_all(kernel, rng, rng.choice((0.1, 0.3, 0.5)))
    kernel.settle()
    return start(snapshot, window, ROOT, NS_PER_TICK), kernel, window


@settings(max_examples=500)
@given(st.integers(0, 1 << 40))
def test_the_table_is_exact_at_the_end_of_the_window(seed: int) -> None:
    table, kernel, _ = started(seed)
    expect_equal(table, kernel, partial=True)


@settings(max_examples=150)
@given(st.integers(0, 1 << 40))
def test_it_stays_exact_afterwards(seed: int) -> None:
    """A start that is right by luck at one moment would be found out by what follows."""
    table, kernel, _ = started(seed)
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


def test_the_histories_hold_what_they_are_for() -> None:
    """Births, releases, changes, exchanges, namespaces, number reuse, held groups: all occur."""
    seen = {"reborn": 0, "exchange": 0, "deep": 0, "changed": 0, "partial": 0, "new ns": 0}
    for seed in range(150):
        table, _, window = started(seed)
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
        seen["partial"] += sum(pid.partial for pid in table.held())
    assert all(count >= 5 for count in seen.values()), seen


def test_a_number_born_twice_without_its_release_is_refused() -> None:
    refused = 0
    for seed in range(200):
        rng = random.Random(seed)
        kernel = busy_kernel(rng)
        snapshot, window = read_all(kernel, rng, 0.5)
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


def test_a_held_group_is_known_as_deep_as_any_member_sees_it() -> None:
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
    rows = tuple(_reading(kernel, number) for number in (1, 2, 3, 5))
    for order in (rows, rows[::-1]):
        table = start(Snapshot(order, {inner.pid.ns.inum: ROOT}), [], ROOT, NS_PER_TICK)
        (held,) = table.held()
        assert held.numbers == (4, 2) and held.partial
        assert len(held.groups) == 2


def test_a_lost_thread_asks_for_a_listing_and_an_exchange_for_a_reading() -> None:
    events: list[Event] = [
        PidDetached(0, 1, 10, 10, 0),
        PidDetached(0, 1, 21, 20, 0),
        TidsExchanged(0, 1, 31, 30, 0, 0),
    ]
    assert [number for number in (10, 20, 30) if cut_short(number, events)] == [20]
    assert to_read_again(events) == {30}
