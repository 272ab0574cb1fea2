"""The reader of slots against a planted writer that performs every order it is permitted.

The memory is a model: each load of the reader and each store of a writer is one step, and between
any two steps of one side the other may make as many as it likes. A writer's steps are those of
bpf/lives.c: move the cursor, mark the slot, store the two halves of the record in either order,
store the sequence. The reader may load what it copies in any order. Barriers keep its phases apart;
faults planted below take them away one by one, and each is found.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable, Iterator

import pytest

from pidscope.wire.slots import SlotReader

WRITING = (1 << 64) - 1
ROW = struct.Struct("=2Q")
Steps = Iterator[None]


class Shared:
    """The cursor and the slots; ``elsewhere`` is called before each load of the reader."""

    def __init__(self, capacity: int, backwards: bool = False) -> None:
        self.capacity = capacity
        self.backwards = backwards
        self.next = 0
        self.sequences = [0] * capacity
        self.halves = [[0, 0] for _ in range(capacity)]
        self.dropped: set[int] = set()
        self.elsewhere: Callable[[], None] = lambda: None

    def write(self, backwards: bool = False) -> Steps:
        """One record, step by step; both halves are its place."""
        place = self.next
        self.next += 1
        yield
        slot = place % self.capacity
        found = self.sequences[slot]
        yield
        if not self.claimed(slot, found, place):
            self.dropped.add(place)
            return
        yield
        for half in (1, 0) if backwards else (0, 1):
            self.halves[slot][half] = place
            yield
        self.sequences[slot] = place + 1
        yield

    def claimed(self, slot: int, found: int, place: int) -> bool:
        """The compare-and-exchange."""
        if found > place or self.sequences[slot] != found:
            return False
        self.sequences[slot] = WRITING
        return True

    # The reader's loads

    def cursor(self) -> int:
        self.elsewhere()
        return self.next

    def are(self, slot: int, sequences: memoryview) -> bool:
        return all([self.sequence(slot + at) == each for at, each in enumerate(sequences)])

    def sequence(self, slot: int) -> int:
        self.elsewhere()
        return self.sequences[slot]

    def copy(self, slot: int, count: int) -> bytes:
        loads = [(at, half) for at in range(slot, slot + count) for half in (0, 1)]
        loaded = {}
        for at, half in reversed(loads) if self.backwards else loads:
            self.elsewhere()
            loaded[at, half] = self.halves[at][half]
        return b"".join(ROW.pack(loaded[at, 0], loaded[at, 1]) for at in range(slot, slot + count))

    def barrier(self) -> None: ...


def run_all(steps: Steps) -> None:
    for _ in steps:
        pass


def rows_of(runs: list[bytes]) -> list[tuple[int, int]]:
    return [row for run in runs for row in ROW.iter_unpack(run)]


def torn(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [row for row in rows if row[0] != row[1]]


# Every interleaving of two records in one slot with one reading


def every_schedule(loads: int, steps: int) -> Iterator[tuple[int, ...]]:
    """How many steps of the writer come before each load of the reader; the rest comes behind."""
    for bars in itertools.combinations(range(loads + steps), loads):
        yield tuple(b - a - 1 for a, b in zip((-1, *bars), bars))


_LOADS, _STEPS = 5, 12  # cursor, sequence, two halves, cursor; six steps a record


def play(memory: Shared, orders: tuple[bool, ...], schedule: tuple[int, ...]) -> list[bytes]:
    """One `take` from place 0, while a writer makes so many records; then let it finish."""
    writer = itertools.chain.from_iterable(memory.write(order) for order in orders)
    waits = iter(schedule)

    def elsewhere() -> None:
        for _ in range(next(waits, 0)):
            next(writer, None)

    memory.elsewhere = elsewhere
    reader = SlotReader(memory, memory.capacity, ROW.size, position=0)
    taken = reader.take()
    memory.elsewhere = lambda: None
    run_all(writer)
    late = reader.take()
    assert reader.taken + reader.lost + reader.unfinished == reader.position == len(orders)
    assert len(rows_of(taken + late)) == reader.taken
    assert not reader.unfinished  # this writer finishes all it begins
    return taken + late


ORDERS = list(itertools.product((False, True), repeat=2))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("orders", ORDERS)
def test_no_interleaving_gives_a_torn_row(orders: tuple[bool, ...], backwards: bool) -> None:
    taken = set()
    for schedule in every_schedule(_LOADS, _STEPS):
        rows = rows_of(play(Shared(1, backwards), orders, schedule))
        assert not torn(rows), schedule
        assert [a for a, _ in rows] in ([0, 1], [1])  # the last one is never lost
        taken.add(len(rows))
    assert taken == {1, 2}  # it was overwritten in some, and taken in others


class SequenceFirst(Shared):
    """The writer stores the sequence before the record."""

    def write(self, backwards: bool = False) -> Steps:
        place = self.next
        self.next += 1
        yield
        self.sequences[place % self.capacity] = place + 1
        yield
        for half in (1, 0) if backwards else (0, 1):
            self.halves[place % self.capacity][half] = place
            yield


class CursorLast(Shared):
    """The writer stores the next record before it moves the cursor: the move was not ordered."""

    def write(self, backwards: bool = False) -> Steps:
        place = self.next
        for half in (1, 0) if backwards else (0, 1):
            self.halves[place % self.capacity][half] = place
            yield
        self.next += 1
        yield
        self.sequences[place % self.capacity] = place + 1
        yield


class CopiedFirst(Shared):
    """The reader copies before it looks at the sequences: without the first barrier."""

    def are(self, slot: int, sequences: memoryview) -> bool:
        self.early = super().copy(slot, len(sequences))
        return super().are(slot, sequences)

    def copy(self, slot: int, count: int) -> bytes:
        return self.early


class CopiedLast(Shared):
    """The reader copies behind its second look at the cursor: without the second barrier."""

    def copy(self, slot: int, count: int) -> bytes:
        self.early = super().cursor()
        return super().copy(slot, count)

    def cursor(self) -> int:
        early, self.early = getattr(self, "early", None), None
        return super().cursor() if early is None else early


@pytest.mark.parametrize("planted", [SequenceFirst, CursorLast, CopiedFirst, CopiedLast])
def test_each_order_is_needed(planted: type[Shared]) -> None:
    assert any(
        torn(rows_of(play(planted(1), orders, schedule)))
        for schedule in every_schedule(_LOADS, _STEPS)
        for orders in ORDERS
    )


# Several writers, of which any may stop for laps in the middle of a record


class Unclaimed(Shared):
    """Writers do not wait for each other."""

    def claimed(self, slot: int, found: int, place: int) -> bool:
        self.sequences[slot] = WRITING
        return True


def crowd(memory: Shared, seed: int, records: int = 12, writers: int = 3) -> list[int]:
    """Play several writers and a reader at random; return the torn rows' first halves."""
    chance = random.Random(seed)
    left = records
    busy: list[Steps] = []

    def step() -> bool:
        nonlocal left
        while len(busy) < writers and left:
            left -= 1
            busy.append(memory.write(chance.random() < 0.5))
        if not busy:
            return False
        # The first is slow: the others may lap it while it is in the middle of its record.
        one = busy[0] if chance.random() < 0.1 else chance.choice(busy)
        if next(one, StopIteration) is StopIteration:
            busy.remove(one)
        return True

    def elsewhere() -> None:
        while chance.random() < 0.5 and step():
            pass

    memory.elsewhere = elsewhere
    reader = SlotReader(memory, memory.capacity, ROW.size, position=0)
    rows: list[tuple[int, int]] = []
    while step():
        if chance.random() < 0.3:
            rows += rows_of(reader.take())
    memory.elsewhere = lambda: None
    rows += rows_of(reader.take())
    places = [a for a, b in rows if a == b]
    assert len(places) == len(set(places)), "taken twice"
    assert reader.taken == len(rows)
    assert reader.taken + reader.lost + reader.unfinished == reader.position == records
    kept = set(range(max(0, records - memory.capacity), records)) - memory.dropped
    assert kept <= {place for row in rows for place in row}, "whole, and not taken"
    return [a for a, b in rows if a != b]


@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_writers_that_stop_in_the_middle_tear_no_row(capacity: int) -> None:
    dropped = 0
    for seed in range(1_500):
        memory = Shared(capacity, backwards=bool(seed % 2))
        assert not crowd(memory, seed), seed
        dropped += len(memory.dropped)
    assert dropped  # some writers found another in their slot


def test_writers_that_do_not_wait_for_each_other_do() -> None:
    def is_torn(seed: int) -> bool:
        try:
            return bool(crowd(Unclaimed(1), seed))
        except AssertionError:  # lost, which is another fault
            return False

    assert any(is_torn(seed) for seed in range(1_500))


# What is lost is counted


@pytest.mark.parametrize("written", [0, 3, 8, 9, 100])
def test_a_writer_that_laps_its_reader_is_counted(written: int) -> None:
    memory = Shared(8)
    reader = SlotReader(memory, 8, ROW.size)
    for _ in range(written):
        run_all(memory.write())
    rows = rows_of(reader.take())
    assert rows == [(place, place) for place in range(max(0, written - 8), written)]
    assert reader.lost == max(0, written - 8)
    assert reader.take() == []


def test_a_stopped_writer_stops_no_reader_and_its_row_comes_late() -> None:
    memory = Shared(8)
    reader = SlotReader(memory, 8, ROW.size)
    stopped = memory.write()
    for _ in range(4):
        next(stopped)
    run_all(memory.write())
    assert rows_of(reader.take()) == [(1, 1)]
    assert (reader.unfinished, reader.lost) == (1, 0)
    run_all(stopped)
    assert rows_of(reader.take()) == [(0, 0)]
    assert (reader.unfinished, reader.lost) == (0, 0)


def test_a_writer_that_stops_for_a_lap_loses_the_one_that_finds_it() -> None:
    memory = Shared(8)
    reader = SlotReader(memory, 8, ROW.size)
    stopped = memory.write()
    for _ in range(4):
        next(stopped)
    for _ in range(8):
        run_all(memory.write())
    assert memory.dropped == {8}
    rows = rows_of(reader.take())
    assert [a for a, _ in rows] == list(range(1, 8))
    assert (reader.lost, reader.unfinished) == (1, 1)  # its own, and the one that gave up
    run_all(stopped)
    for _ in range(8):
        run_all(memory.write())
    assert [a for a, _ in rows_of(reader.take())] == list(range(9, 17))
    assert (reader.lost, reader.unfinished, reader.position) == (2, 0, 17)


def test_a_reader_begins_with_what_comes_next() -> None:
    memory = Shared(8)
    run_all(memory.write())
    reader = SlotReader(memory, 8, ROW.size)
    run_all(memory.write())
    assert rows_of(reader.take()) == [(1, 1)]
