"""The ring of an events recording: its records, each at the position that it had."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from pidscope.errors import RecordingError
from pidscope.history.timeline import RING_HEADER, parse_record
from pidscope.wire.layout import RecordType

_NONE = memoryview(bytes(RING_HEADER))  # no record has this length
# The records of `pidscope.wire.hooks.STEPS`.
_STEPS = frozenset(
    {
        RecordType.ALLOCATED,
        RecordType.ALLOCATED_DEEP,
        RecordType.FREED,
        RecordType.FREED_DEEP,
        RecordType.CREATED,
        RecordType.TRANSFERRED,
        RecordType.RENAMED,
    }
)


class ReplayedRing:
    """A `pidscope.session.world.RecordRing`.

    Args:
        consumed: the position of the first record.
        position: gives the end of the stream as it was kept.
        hides_steps: records of intermediate events are passed over.
    """

    def __init__(self, consumed: int, position: Callable[[], int], hides_steps: bool) -> None:
        self.consumed = consumed
        self._position = position
        self._claimed = consumed
        self._hides_steps = hides_steps
        self._runs: deque[tuple[int, memoryview]] = deque()  # with the position of each

    def add(self, position: int, memory: memoryview) -> None:
        """Append records that lie from ``position`` on."""
        if memory:
            self._runs.append((position, memory))

    @property
    def position(self) -> int:
        """The end of the stream."""
        self._claimed = max(self.consumed, self._position())
        return self._claimed

    def drain(self, until: int) -> Iterator[memoryview]:
        """Yield each record that begins before ``until`` and was not yielded yet.

        Raises RecordingError.
        """
        while self.consumed < until:
            run = self._run()
            if run is None:
                self.consumed = max(until, self._claimed)  # nothing was kept of that
                return
            position, memory = run
            self.consumed = max(self.consumed, position)
            if self.consumed >= until:
                return
            offset = self.consumed - position
            record, behind = parse_record(memory, offset)
            self.consumed += behind - offset
            if not (self._hides_steps and len(record) and record[0] in _STEPS):
                yield record

    def stretch(self, until: int) -> memoryview:
        """The records that begin before ``until``, as they lie in the ring."""
        run = None if self._hides_steps else self._run()
        if run is None or run[0] > self.consumed:
            return _NONE[:]
        begin = self.consumed - run[0]
        found = run[1][begin : max(begin, begin + until - self.consumed)]
        return found[: len(found) & ~3] if len(found) > RING_HEADER else _NONE[:]

    def go_to(self, position: int) -> None:
        """Pass over what lies before a position."""
        self.consumed = max(self.consumed, position)

    def advance(self, size: int) -> None:
        """Give back so many bytes of what comes next."""
        self.consumed += size

    def _run(self) -> tuple[int, memoryview] | None:
        """Return the run in which the next record is, or begins; None: no more is known yet."""
        while self._runs:
            position, memory = self._runs[0]
            if position + len(memory) > self.consumed:
                return self._runs[0]
            self._runs.popleft()
        return None


def expect_whole(memory: memoryview) -> None:
    """Raise RecordingError if these are not whole records."""
    at = 0
    while at < len(memory):
        before = at
        _, at = parse_record(memory, at)
        if at <= before:
            raise RecordingError("a record of no length")
