"""The ring over a file that looks like the map: two pages of positions, then the data twice."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from pidscope.errors import WireError
from pidscope.live.ring import BUSY, DISCARD, HEADER, Ring

PAGE = mmap.PAGESIZE
SIZE = PAGE
A, B, C = (letter * 56 for letter in (b"a", b"b", b"c"))


class Memory:
    """The kernel's side of the ring."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.end = 0

    def write(self, *records: bytes, flags: int = 0) -> int:
        """Reserve and write each record; return where the header of the last one lies."""
        for data in records:
            at = self.end
            self._put(at, struct.pack("II", len(data) | flags, 0) + data)
            self.end = at + ((HEADER + len(data) + 7) & ~7)
            os.pwrite(self.fd, struct.pack("Q", self.end), PAGE)
        return at

    def header(self, at: int, value: int) -> None:
        self._put(at, struct.pack("I", value))

    def start_at(self, position: int) -> None:
        self.end = position
        for offset in (0, PAGE):
            os.pwrite(self.fd, struct.pack("Q", position), offset)

    def _put(self, at: int, data: bytes) -> None:
        """Twice in a row, and what runs over the end of the second goes to both beginnings."""
        for place, byte in enumerate(data):
            offset = (at + place) % SIZE
            for copy in (0, SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + offset)

    @property
    def consumer(self) -> int:
        return int(struct.unpack("Q", os.pread(self.fd, 8, 0))[0])


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    os.close(memory.fd)


@pytest.fixture(params=[True, False], ids=["loads in order", "loads in any order"], autouse=True)
def in_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both kinds of machines, whichever this is."""
    monkeypatch.setattr("pidscope.live.ring.LOADS_IN_ORDER", request.param)
    return bool(request.param)


def reading(memory: Memory) -> contextlib.closing[Ring]:
    """A ring that begins where the last reader stopped, or the memory starts."""
    return contextlib.closing(Ring(memory.fd, SIZE))


@pytest.fixture
def ring(memory: Memory) -> Iterator[Ring]:
    """A ring that begins at position 0."""
    with reading(memory) as ring:
        yield ring


def drained(ring: Ring, until: int) -> list[bytes]:
    return [bytes(record) for record in ring.drain(until)]


@pytest.mark.parametrize(
    ("lengths", "end"),
    [([56, 120, 184, 248], 640), ([1, 7, 8, 9, 13, 56], 160)],
    ids=["whole words", "rounded up to 8 bytes"],
)
def test_records_come_whole_and_in_order(
    memory: Memory, ring: Ring, lengths: list[int], end: int
) -> None:
    records = [bytes([n]) * length for n, length in enumerate(lengths)]
    memory.write(*records)
    assert ring.position == memory.end == end
    assert drained(ring, ring.position) == records
    assert ring.consumed == memory.consumer == memory.end
    assert drained(ring, ring.position) == []


@pytest.mark.parametrize("start", [SIZE - 64, SIZE - 8, 7 * SIZE - 128])
def test_a_record_across_the_wrap_is_whole(memory: Memory, start: int) -> None:
    records = [bytes(range(120)), b"after" * 8]
    memory.start_at(start)
    memory.write(*records)
    with reading(memory) as ring:
        assert drained(ring, ring.position) == records


def test_positions_only_grow_over_many_turns(memory: Memory, ring: Ring) -> None:
    for turn in range(500):
        record = turn.to_bytes(4, "little") * 14
        memory.write(record)
        assert drained(ring, ring.position) == [record]
        assert memory.consumer == ring.consumed == ring.position == (turn + 1) * 64


def test_only_what_begins_before_the_end_is_drained(memory: Memory, ring: Ring) -> None:
    memory.write(A, B, C)
    for until, records in [(0, []), (1, [A]), (64, []), (128, [B]), (192, [C])]:
        assert drained(ring, until) == records


def test_discarded_records_are_skipped(memory: Memory, ring: Ring) -> None:
    memory.write(A)
    memory.write(B, flags=DISCARD)
    memory.write(C)
    assert drained(ring, ring.position) == [A, C]


@pytest.mark.parametrize(
    ("flag", "records"), [(0, [A, B]), (DISCARD, [A])], ids=["written", "discarded"]
)
def test_a_record_being_written_is_waited_for(
    memory: Memory,
    ring: Ring,
    monkeypatch: pytest.MonkeyPatch,
    flag: int,
    records: list[bytes],
) -> None:
    """The writer clears the bit only once the reader waits."""
    memory.write(A)
    at = memory.write(B, flags=BUSY)
    waits = Mock(side_effect=lambda: memory.header(at, 56 | flag))
    monkeypatch.setattr("pidscope.live.ring.os.sched_yield", waits)
    assert drained(ring, ring.position) == records
    waits.assert_called_once_with()
    assert ring.consumed == memory.end


def test_a_header_that_cannot_be_is_an_error(memory: Memory, ring: Ring) -> None:
    at = memory.write(A)
    memory.header(at, SIZE)
    with pytest.raises(WireError, match="header 0x1000 at position 0"):
        drained(ring, ring.position)


def test_what_is_dropped_is_given_back(memory: Memory, ring: Ring) -> None:
    middle = memory.write(A, B)
    ring.advance(middle)
    assert (ring.consumed, memory.consumer) == (middle, middle)
    assert drained(ring, ring.position) == [B]


def test_a_reader_goes_on_where_the_last_one_stopped(memory: Memory) -> None:
    memory.write(A)
    with reading(memory) as ring:
        drained(ring, ring.position)
    memory.write(B)
    with reading(memory) as ring:
        assert drained(ring, ring.position) == [B]


def test_a_records_bytes_end_with_the_next_one(memory: Memory, ring: Ring) -> None:
    memory.write(A, B)
    records = ring.drain(ring.position)
    first = next(records)
    next(records)
    with pytest.raises(ValueError, match="released"):
        first[0]
    records.close()  # type: ignore[attr-defined]


# A stretch


def laid_out(*records: bytes) -> bytes:
    return b"".join(struct.pack("=II", len(r), 0) + r.ljust(-(-len(r) // 8) * 8) for r in records)


def test_a_stretch_is_what_lies_in_the_ring(memory: Memory, ring: Ring) -> None:
    records = [bytes([n]) * 56 for n in range(3)]
    ends = [memory.write(record) + 64 for record in records]
    with ring.stretch(ends[1]) as stretch:
        assert bytes(stretch) == laid_out(*records[:2])
    assert ring.consumed == memory.consumer == 0
    ring.advance(64)
    assert ring.consumed == memory.consumer == 64
    with ring.stretch(memory.end) as stretch:
        assert bytes(stretch) == laid_out(*records[1:])


def test_a_stretch_across_the_wrap_is_whole(memory: Memory) -> None:
    memory.start_at(3 * SIZE - 64)
    records = [bytes(range(56)), bytes(range(120))]
    memory.write(*records)
    with reading(memory) as ring, ring.stretch(memory.end) as stretch:
        assert bytes(stretch) == laid_out(*records)


def test_of_a_stretch_nothing_is_read_that_is_being_written(
    memory: Memory, ring: Ring, in_order: bool
) -> None:
    """Its header has no record's size; where loads come in any order it is not even shown."""
    memory.write(A)
    at = memory.write(B, flags=BUSY)
    with ring.stretch(memory.end) as stretch:
        if in_order:
            assert struct.unpack_from("=I", stretch, at) == (56 | BUSY,)
        else:
            assert bytes(stretch) == laid_out(A)


def test_a_barrier_stands_between_headers_and_records_and_before_the_position(
    memory: Memory, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.write(A)
    barriers = []
    monkeypatch.setattr("pidscope.live.ring.barrier", lambda: barriers.append(memory.consumer))
    with reading(memory) as ring:
        ring.stretch(memory.end).release()
        ring.advance(64)
        assert drained(ring, memory.end) == []
    assert barriers == ([] if in_order else [0, 0])
    memory.write(B)
    with reading(memory) as ring:
        assert drained(ring, memory.end) == [B]
    assert barriers == ([] if in_order else [0, 0, 64, 64])


def test_closes_while_a_drain_is_unfinished(memory: Memory) -> None:
    """As when the reader of the output goes away within a batch: the traceback holds the drain."""
    memory.write(b"one", b"two")
    with reading(memory) as ring:
        unfinished = ring.drain(ring.position)
        assert bytes(next(unfinished)) == b"one"
    unfinished.close()
