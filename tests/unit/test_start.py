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
from pidscope.event import Event, PidAttached, PidDetached, TidsExchanged
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.start import start, to_read_again
from pidscope.table import Table


def busy_kernel(rng: random.Random, acts: int = 60) -> Kernel:
    """A machine that has run for a while, and may be in the middle of an act."""
    kernel = Kernel(pid_max=rng.choice((14, 24, 40)))
    kernel.pick_number = rng.choice((min, max, rng.choice))
    for _ in range(acts):
        act = kernel.random_act(rng)
        if act is not None:
            kernel.run(act)
    return kernel


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
            tids = drive(readers.threads(kernel, number), kernel, rng, rate)
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


def test_to_read_again_names_lost_threads_and_exchanges() -> None:
    events: list[Event] = [
        PidDetached(0, 1, 10, 10, 0),
        PidDetached(0, 1, 21, 20, 0),
        TidsExchanged(0, 1, 31, 30, 0, 0),
    ]
    assert to_read_again(events) == {20, 30}
