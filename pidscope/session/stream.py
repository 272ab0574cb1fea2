"""The stream: a world's records, decoded and counted, with each loss in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

from pidscope.events import Event, Lost, PidAttached, TaskFreed
from pidscope.session.fast_path import FastPath
from pidscope.session.world import World
from pidscope.verify.hook_counts import accounted
from pidscope.wire.decode import Record, decode

_STRETCH = 256 << 10  # bytes
_LONGEST = 4096  # bytes, more than any record has
_HEADER = 8  # before each record: its length, and where its pages are


class Stream:
    """Reads a world's ring from the beginning."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._mode = world.way
        self.events = 0
        self.lost = 0  # records that could not be written so far
        self.births = 0
        self.accounted: Counter[str] = Counter()  # hits of each hook that records stand for
        self.own: set[int] = set()  # tasks of this program's self-test that are yet to be freed

    def watch(self, world: World) -> None:
        """Read another world's ring: the same one, seen through something."""
        self._world = world

    @property
    def reader(self) -> int:
        """This process's number in the initial PID namespace; 0: it is not of this world."""
        return self._world.procfs.own_number() or 0

    @property
    def position(self) -> int:
        """The end of the stream: every record written so far lies before it."""
        return self._world.ring.position

    @property
    def consumed(self) -> int:
        """The position of the next record."""
        return self._world.ring.consumed

    def read(self, until: int) -> Iterator[Event]:
        """Yield what lies before position ``until``; raise WireError."""
        yield from self.records(until)
        yield from self.unrecorded()

    def records(self, until: int) -> Iterator[Event]:
        """Yield what lies before ``until``, and each loss before the first record after it."""
        for data in self._world.ring.drain(until):
            record = decode(data)
            behind = (record.lost - self.lost) & 0xFFFFFFFF
            if 0 < behind < 1 << 31:  # else the map has shown it already
                self.lost += behind
                yield Lost(record.event.ts_ns, self.lost)
            self._count(record)
            if self.own and isinstance(record.event, TaskFreed) and record.event.tid in self.own:
                self.own.discard(record.event.tid)
                self.events -= 1
                continue
            yield record.event
            if record.then is not None:
                yield record.then

    def unrecorded(self) -> Iterator[Event]:
        """Yield the loss that no record has shown yet: the last record may be the lost one."""
        if self._world.lost != self.lost:
            self.lost = self._world.lost
            yield Lost(self._next_ns(), self.lost)

    def _next_ns(self) -> int:
        """Return the time of the next record, or the present if it is yet to be written.

        So a loss carries no later time than what is printed below it.
        """
        now_ns, ring = self._world.now_ns(), self._world.ring
        with ring.stretch(min(ring.position, self.consumed + _LONGEST)) as memory:
            if len(memory) <= _HEADER:
                return now_ns
            length = memory[:4].cast("I")[0]
            whole = length <= len(memory) - _HEADER  # else it is being written, or discarded
            return decode(memory[_HEADER : _HEADER + length]).event.ts_ns if whole else now_ns

    def apply_plain(self, until: int, fast_path: FastPath[Any], watched: frozenset[int]) -> None:
        """Let ``fast_path`` apply what lies before ``until``, up to what is not plain.

        It gets the ring in parts, so that their room is given back while the ring fills.
        """
        ring, plain = self._world.ring, True
        while plain and self.consumed < until:
            with ring.stretch(min(until, self.consumed + _STRETCH)) as memory:
                applied = fast_path.apply(memory, self.lost & 0xFFFFFFFF, watched)
            ring.advance(applied.size)
            self.events += applied.events
            self.births += applied.births
            self.accounted.update(applied.accounted)
            plain = applied.events > 0

    def skip(self, look: Callable[[Event], None] | None = None) -> set[str]:
        """Read to the end and only count; returns the hooks that reported something.

        ``look`` gets each event. What was skipped is not among the ``events`` and ``births``.
        """
        before, counts = self.accounted.copy(), (self.events, self.births)
        for event in self.read(self.position):
            if look is not None:
                look(event)
        self.events, self.births = counts
        return {name for name in self.accounted if self.accounted[name] != before[name]}

    def _count(self, record: Record) -> None:
        event = record.event
        self.events += 1 if record.then is None else 2
        self.births += isinstance(event, PidAttached) and event.birth is not None
        hook, hits = accounted(event, self._mode)
        self.accounted[hook] += hits
