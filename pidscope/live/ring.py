"""The ring buffer's memory, read directly (kernel/bpf/ringbuf.c).

The map's fd can be mapped: one page that holds the consumer's position (ours to write), one that
holds the producer's, then the data twice in a row, so that no record is ever torn by the wrap.
Positions only grow; a place in the ring is a position modulo its size.

Memory order. The kernel fills a record, then clears its busy bit, and moves the producer's
position before that, under the ring's lock. Each position and each header is read here with one
aligned load (a ``memoryview`` cast to the word's size; ``struct`` would go byte by byte and
tear). x86-64 keeps loads in order; on arm64 the interpreter puts hundreds of instructions but no
barrier between two loads, so what must be ordered against the kernel's stores is separated by a
system call (the fence, or the read of /proc) everywhere it matters for a verdict, and a record
is only ever read after its header was seen without the busy bit.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from pidscope.errors import WireError

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

    @property
    def position(self) -> int:
        """The producer's position in bytes: every record reserved so far lies before it."""
        return self._producer[0]

    @property
    def consumed(self) -> int:
        """The position up to which records have been handed out."""
        return self._position

    def drop_until(self, position: int) -> None:
        """Give everything before ``position`` back to the kernel unread."""
        self._position = position
        self._consumer[0] = position

    def drain(self, until: int) -> Iterator[memoryview]:
        """Yield each record that begins before ``until``, waiting for those being written.

        A record's bytes are valid until the next one is asked for.
        """
        while self._position < until:
            offset = self._position & self._mask
            length = self._headers[offset >> 2]
            while length & BUSY:
                # Its writer holds it for the length of one copy, unless it was preempted.
                os.sched_yield()
                length = self._headers[offset >> 2]
            size = length & ~DISCARD
            if size > self._mask:
                raise WireError(f"ring buffer header {length:#x} at position {self._position}")
            if not length & DISCARD:
                with self._data[offset + HEADER : offset + HEADER + size] as record:
                    yield record
            self._position += (HEADER + size + 7) & ~7
            self._consumer[0] = self._position

    def close(self) -> None:
        """Unmap the ring."""
        for view in (
            self._headers,
            self._data,
            self._producer,
            self._mapped,
            self._consumer,
        ):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()
