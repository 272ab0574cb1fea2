"""A ring like BPF_MAP_TYPE_RINGBUF: positions are bytes, and it can be full."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

HEADER = 8  # BPF_RINGBUF_HDR_SZ
RING_BYTES = 8 << 20


class SimulatedRing:
    """A `pidscope.world.RecordRing` that the model's hooks write to."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self.position = 0
        self._size = size
        self._consumed = 0
        self._records: deque[tuple[int, bytes]] = deque()

    def write(self, record: bytes) -> bool:
        """Append one record; False: it is full, and the record is lost."""
        end = self.position + ((HEADER + len(record) + 7) & ~7)
        if end - self._consumed > self._size:
            return False
        self._records.append((self.position, record))
        self.position = end
        return True

    def drain(self, until: int) -> Iterator[bytes]:
        """Yield each record that begins before ``until`` and was not yielded yet."""
        while self._records and self._records[0][0] < until:
            _, record = self._records.popleft()
            self._consumed = self._records[0][0] if self._records else self.position
            yield record
