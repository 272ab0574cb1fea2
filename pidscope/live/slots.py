"""The life stream's maps, mapped: rows as bytes, without a look at any of them.

Two forms. *Slots* (5.12 and newer): `pidscope.wire.slots` has the argument, which asks four orders.

- The writer's: bpf/lives.c moves the cursor and marks the slot by atomic operations that return
  the old value, which are full barriers on every machine (arm64: LDADDAL, CASAL, SWPAL; x86-64:
  LOCK prefixes). The sequence is stored last, on x86-64 by a plain store, which passes no other,
  elsewhere by an exchange that returns the old value.
- The reader's: x86-64 does loads in their order. On arm64 the load of a sequence might be done
  after the copy's, and those after the second look at the cursor. `memory_order.load_barrier`
  stands between, and says which instructions make it one.

Each sequence and the cursor is read by one aligned load of 8 bytes: memoryviews cast to that
size compare and give items so (``struct`` would go byte by byte).

*Rings* (5.8 and newer): the ring puts its header of 8 bytes before each record, for which slots
have room, so that rows are alike in both. `pidscope.live.ring` has that argument. A record that
found no room is counted by its writer.
"""

from __future__ import annotations

import mmap
from array import array
from typing import Protocol

from pidscope.live.life_program import LifeProgram, Stream
from pidscope.live.memory_order import load_barrier
from pidscope.live.ring import Ring
from pidscope.wire.lives import Class
from pidscope.wire.slots import SlotReader

_WORD = 8


class MappedSlots:
    """A `pidscope.wire.slots.Memory` of three BPF_F_MMAPABLE arrays.

    Args:
        stream: the arrays' descriptors and sizes.
    """

    def __init__(self, stream: Stream) -> None:
        self._row = stream.of.size
        self._maps = (
            _mapped(stream.fd, stream.size),
            _mapped(stream.sequences_fd, stream.capacity * _WORD),
            _mapped(stream.cursor_fd, _WORD),
        )
        slots, sequences, cursor = self._maps
        self._bytes = memoryview(slots)
        self._sequences = memoryview(sequences).cast("Q")
        self._cursor = memoryview(cursor).cast("Q")

    def cursor(self) -> int:
        """The next place to be given out."""
        return self._cursor[0]

    def are(self, slot: int, sequences: memoryview) -> bool:
        """Whether the slots from ``slot`` on show these sequences."""
        return bool(self._sequences[slot : slot + len(sequences)] == sequences)

    def sequence(self, slot: int) -> int:
        """What one slot shows."""
        return self._sequences[slot]

    def copy(self, slot: int, count: int) -> bytes:
        """So many slots from ``slot`` on."""
        return self._bytes[slot * self._row : (slot + count) * self._row].tobytes()

    def barrier(self) -> None:
        """Keep loads before it before those behind it."""
        load_barrier()

    def close(self) -> None:
        """Unmap them."""
        for view in (self._cursor, self._sequences, self._bytes):
            view.release()
        for each in self._maps:
            each.close()


def _mapped(fd: int, size: int) -> mmap.mmap:
    whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    return mmap.mmap(fd, whole, mmap.MAP_SHARED, mmap.PROT_READ)


class Rows(Protocol):
    """One class of records, as its rows come."""

    of: Class

    @property
    def lost(self) -> int:
        """Records that were made and will never be taken."""

    @property
    def unfinished(self) -> int:
        """Records that have a place and are not written yet."""

    def take(self) -> list[bytes]:
        """Every row that came since: runs of whole rows."""

    def close(self) -> None:
        """Unmap it."""


class SlotRows:
    """Those that come by slots.

    Args:
        stream: where they come.
        all_there: those that were there before, too.
    """

    def __init__(self, stream: Stream, all_there: bool = False) -> None:
        self.of = stream.of
        self._memory = MappedSlots(stream)
        first = max(0, self._memory.cursor() - stream.capacity) if all_there else None
        self.overwritten = first or 0  # before the first that was there
        self._reader = SlotReader(self._memory, stream.capacity, stream.of.size, first)

    @property
    def lost(self) -> int:
        """Places that were overwritten before they were taken, or never finished."""
        return self._reader.lost

    @property
    def unfinished(self) -> int:
        """Places that have been given out and not been finished yet."""
        return self._reader.unfinished

    def take(self) -> list[bytes]:
        """Every row that came since."""
        return self._reader.take()

    def close(self) -> None:
        """Unmap them."""
        self._memory.close()


class RingRows:
    """Those that come by a ring."""

    def __init__(self, stream: Stream, program: LifeProgram) -> None:
        self.of = stream.of
        self._program = program
        self._ring = Ring(stream.fd, stream.size)

    @property
    def lost(self) -> int:
        """Records for which the ring had no room."""
        return self._program.lost()[self.of.name]

    @property
    def unfinished(self) -> int:
        """None is known: a record gets its place once it is filled."""
        return 0

    def take(self) -> list[bytes]:
        """Every row that is written, up to the first that is being written."""
        ring, size = self._ring, self.of.size
        with ring.stretch(ring.position) as stretch:
            count = len(stretch) // size
            with stretch[: count * size].cast("I") as words, words[:: size // 4] as lengths:
                finished = _leading(lengths, size - _WORD, count)
            rows = stretch[: finished * size].tobytes()
        ring.advance(finished * size)
        return [rows] if finished else []

    def close(self) -> None:
        """Unmap it."""
        self._ring.close()


def _leading(lengths: memoryview, length: int, count: int) -> int:
    """How many of the headers, from the first on, are of a written record of this length."""
    if lengths[:count] == memoryview(array("I", [length]) * count):
        return count
    return next(at for at in range(count) if lengths[at] != length)


class LifeReader:
    """All that a `LifeProgram` records, class by class."""

    def __init__(self, program: LifeProgram) -> None:
        self.rows: tuple[Rows, ...] = tuple(
            SlotRows(stream) if program.slots else RingRows(stream, program)
            for stream in program.streams
        )

    def take(self) -> list[tuple[Class, bytes]]:
        """What came since the last time: runs of rows, with their class."""
        return [(each.of, run) for each in self.rows for run in each.take()]

    @property
    def lost(self) -> int:
        """Records that were made and will never be taken."""
        return sum(each.lost for each in self.rows)

    @property
    def unfinished(self) -> int:
        """Records that have a place and are not written yet."""
        return sum(each.unfinished for each in self.rows)

    def close(self) -> None:
        """Unmap everything."""
        for each in self.rows:
            each.close()
