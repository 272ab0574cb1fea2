"""The ring buffer's memory, read directly (kernel/bpf/ringbuf.c).

The map's fd can be mapped: one page that holds the consumer's position (ours to write), one that
holds the producer's, then the data twice in a row, so that no record is ever torn by the wrap.
Positions only grow; a place in the ring is a position modulo its size.

Memory order. The kernel moves the producer's position under the ring's lock, then fills the record,
then clears its busy bit with an ``xchg`` (``bpf_ringbuf_commit()``), which orders all it wrote
before. So a reader has to load a header without the busy bit first, and what is behind it later.
Each position and each header is read here with one aligned load (a ``memoryview`` cast to the
word's size; ``struct`` would go byte by byte and tear). x86-64 keeps loads in order. Elsewhere
(arm64) nothing but the interpreter's hundreds of instructions keeps the second load from being done
first, which is no argument; so there headers are looked through in advance, and a barrier stands
between them and the records (`pidscope.live.memory_order`).
The same barrier stands before our own position is stored, which lets the kernel write there again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from pidscope.errors import WireError
from pidscope.live.memory_order import LOADS_IN_ORDER, barrier

BUSY = 1 << 31  # BPF_RINGBUF_BUSY_BIT
DISCARD = 1 << 30  # BPF_RINGBUF_DISCARD_BIT
HEADER = 8  # BPF_RINGBUF_HDR_SZ


class Ring:
    """The reader of one BPF_MAP_TYPE_RINGBUF.

    Args:
        fd: the map's file descriptor; it may be closed afterwards.
        size: the map's max_entries, in bytes.
    """

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._mask = size - 1
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED)
        self._producer_map = mmap.mmap(
            fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._mapped = memoryview(self._producer_map)
        self._producer = self._mapped[:page].cast("Q")
        self._data = self._mapped[page:]
        self._headers = self._data.cast("I")
        self._position = self._consumer[0]
        self._lent = memoryview(b"")

    @property
    def position(self) -> int:
        """The producer's position in bytes: every record reserved so far lies before it."""
        return self._producer[0]

    @property
    def consumed(self) -> int:
        """The position up to which records have been handed out."""
        return self._position

    def drain(self, until: int) -> Iterator[memoryview]:
        """Yield each record that begins before ``until``, waiting for those being written.

        A record's bytes are valid until the next one is asked for, or the ring is closed.
        """
        while self._position < until:
            offset = self._position & self._mask
            size = self._written(offset)
            if size & DISCARD:
                size &= ~DISCARD
            else:
                with self._data[offset + HEADER : offset + HEADER + size] as record:
                    self._lent = record
                    yield record
            self.advance(_whole(size))

    def stretch(self, until: int) -> memoryview:
        """The records that begin before ``until``, as they lie in the ring; release it.

        Each is a header of 8 bytes, the record, and up to 7 bytes more. One that is being written,
        or is discarded, has a header that is no record's size.
        """
        offset = self._position & self._mask
        end = offset + until - self._position
        if not LOADS_IN_ORDER:
            end = self._ready(offset, end)
            barrier()
        return self._data[offset:end]

    def advance(self, size: int) -> None:
        """Give back so much of what comes next, unread or not."""
        self._position += size
        if not LOADS_IN_ORDER:
            barrier()
        self._consumer[0] = self._position

    def _written(self, offset: int) -> int:
        """The length of a record, with `DISCARD`, once it is written."""
        length = self._headers[offset >> 2]
        while length & BUSY:
            # Its writer holds it for the length of one copy, unless it was preempted.
            os.sched_yield()
            length = self._headers[offset >> 2]
        if not LOADS_IN_ORDER:
            barrier()
        if length & ~DISCARD > self._mask:
            raise WireError(f"ring buffer header {length:#x} at position {self._position}")
        return length

    def _ready(self, offset: int, end: int) -> int:
        """The end of the records that are written, the first of which begins at ``offset``."""
        while offset < end:
            length = self._headers[offset >> 2]
            if length & ~DISCARD > self._mask:
                return offset  # busy, or nonsense: `drain` will find out
            offset += _whole(length & ~DISCARD)
        return offset

    def close(self) -> None:
        """Unmap the ring; a `drain` that an error has left unfinished does not keep it mapped."""
        for view in (
            self._lent,
            self._headers,
            self._data,
            self._producer,
            self._mapped,
            self._consumer,
        ):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()


def _whole(size: int) -> int:
    """What a record of ``size`` bytes takes in the ring."""
    return (HEADER + size + 7) & ~7
