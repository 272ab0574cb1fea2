"""A ring like BPF_MAP_TYPE_RINGBUF: positions are bytes, and it can be full."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = 8  # BPF_RINGBUF_HDR_SZ
RING_BYTES = 8 << 20

_LENGTH = struct.Struct("=I4x")


class SimulatedRing:
    """A `pidscope.session.world.RecordRing` that the model's hooks write to."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self.position = 0
        self.consumed = 0
        self._size = size
        self._unread = bytearray()

    def write(self, record: bytes) -> bool:
        """Append one record; False: it is full, and the record is lost."""
        whole = _whole(len(record))
        if self.position + whole - self.consumed > self._size:
            return False
        self._unread += _LENGTH.pack(len(record)) + record.ljust(whole - HEADER, b"\0")
        self.position += whole
        return True

    def drain(self, until: int) -> Iterator[bytes]:
        """Yield each record that begins before ``until`` and was not yielded yet."""
        while self.consumed < min(until, self.position):
            (length,) = _LENGTH.unpack_from(self._unread)
            record = bytes(self._unread[HEADER : HEADER + length])
            self.advance(_whole(length))
            yield record

    def stretch(self, until: int) -> memoryview:
        """The records that begin before ``until``, each with its header, as they lie in a ring."""
        return memoryview(bytes(self._unread[: until - self.consumed]))

    def advance(self, size: int) -> None:
        """Give back so much of what comes next."""
        del self._unread[:size]
        self.consumed += size


def _whole(size: int) -> int:
    return (HEADER + size + 7) & ~7
