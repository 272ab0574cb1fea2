"""Keeping a life stream: what is written when. The parts that read and write are given to it.

Once a second, what has ended since is written, and up to when the file has everything. Once a
minute, and at the beginning of each file, a snapshot of the tasks that live is written: so a
question about a time finds each task in one or the other (`pidscope.history.questions`).

The order matters. A snapshot is of the time before its walk began, and what has ended is taken and
written after the walk: a task that lived at that time either is in the walk or ended before the
walk came to it, and is written before the snapshot. Up to when a file is complete is the time
before what it rests on was taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from pidscope.history.frames import Through
from pidscope.wire.lives import Class

SNAPSHOT_NS = 60_000_000_000
_STEP_NS = 100_000_000  # of the wall clock against the boot's: more is no slewing
FULL = 131_072  # lives of a file
LARGE = 20 << 20  # bytes of a file: with many tasks its snapshots are most of it
_JSON = 1 << 19  # characters of one object: a reader takes 1 MiB
_OLD_NS = 3_600_000_000_000  # of a file

Runs = list[tuple[Class, bytes]]  # whole rows, with their class


class Clocks(NamedTuple):
    """The same moment on three clocks, in ns."""

    boottime_ns: int
    realtime_ns: int
    monotonic_ns: int


class Source(Protocol):
    """A kernel's lives."""

    def take(self) -> Runs:
        """Return what has ended since the last time."""

    def living(self) -> Runs:
        """Return every task that lives."""

    def lost(self) -> int:
        """Return how many records were lost so far."""

    def unfinished(self) -> bool:
        """Whether records are still being written that were begun before the last `take`."""

    @property
    def lags(self) -> bool:
        """Whether a record may come a moment after it was made."""

    def forget(self) -> None:
        """Forget what was given beside the rows: a new file begins."""


class File(Protocol):
    """A file that is being written: `pidscope.history.segment.SegmentWriter`."""

    @property
    def first(self) -> Through:
        """When it begins."""

    @property
    def through(self) -> Through:
        """Up to when it has everything."""

    @property
    def rows(self) -> int:
        """How many lives it has."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def add_rows(self, of: Class, rows: bytes, taken_ns: int, alive: bool = False) -> None:
        """Append rows."""

    def add_json(self, value: Mapping[str, Any]) -> None:
        """Append what is no rows."""

    def reached(self, through: Through) -> None:
        """Say that it has everything up to this time."""


class Keeper(Protocol):
    """Where files go: a ring, or one file."""

    @property
    def rotates(self) -> bool:
        """Whether a full or an old file is followed by another."""

    def begin(self, head: Mapping[str, Any], through: Through) -> File:
        """Begin a file, and seal the one before."""


class Recorder:
    """Writes what a source gives.

    Args:
        source: the lives.
        keeper: gets the files.
        clocks: reads the clocks.
        head: what holds for every file: host, boot, kernel, mode.
        more: gives what else is to be kept of some rows, such as the paths of their cgroups; None
            and empty ones are left out.
    """

    def __init__(
        self,
        source: Source,
        keeper: Keeper,
        clocks: Callable[[], Clocks],
        head: Mapping[str, Any],
        more: Callable[[Runs], Mapping[str, Any]] = lambda rows: {},
    ) -> None:
        self._source, self._keeper, self._clocks = source, keeper, clocks
        self._head, self._more = head, more
        self._began = self._previous = clocks()
        self._sure_ns = self._began.boottime_ns  # up to when all that was not lost is written
        self._lost = source.lost()
        self._offset_ns = _offset(self._began)
        self._snapshot_ns = 0
        self.lives = 0
        self._file = self._begin(self._began)

    def step(self) -> None:
        """Write what has come since the last step; raises OSError."""
        now = self._clocks()
        stepped = abs(_offset(now) - self._offset_ns) > _STEP_NS
        if stepped or (self._keeper.rotates and self._is_full(now)):
            self._write(self._before_step(now))
            self._previous = now
            self._file = self._begin(now)
        elif now.boottime_ns - self._snapshot_ns >= SNAPSHOT_NS:
            self._snapshot(now)
        else:
            self._write(now)

    def _before_step(self, now: Clocks) -> Clocks:
        """Return a time as the wall clock of the file shows it, if that has made a step since."""
        offset_ns = _offset(self._previous)
        if abs(_offset(now) - offset_ns) <= _STEP_NS:
            return now
        return now._replace(realtime_ns=now.boottime_ns + offset_ns)

    def finish(self) -> None:
        """Write what has come, and a last snapshot, so that all is known up to now."""
        self._snapshot(self._clocks())

    def _is_full(self, now: Clocks) -> bool:
        age_ns = now.boottime_ns - self._file.first.boottime_ns
        return age_ns >= _OLD_NS or self._file.rows >= FULL or self._file.size >= LARGE

    def _begin(self, now: Clocks) -> File:
        """Begin a file with its head and a snapshot."""
        self._source.forget()
        self._offset_ns = _offset(now)
        clock = {"clock": now._asdict(), "from_ns": self._began.boottime_ns}
        through = Through(now.boottime_ns, now.realtime_ns)
        self._file = self._keeper.begin({"type": "head", **self._head, **clock}, through)
        self._snapshot(now)
        return self._file

    def _snapshot(self, now: Clocks) -> None:
        living = self._source.living()
        self._write(now)
        for of, rows in living:
            self._file.add_rows(of, rows, now.boottime_ns, alive=True)
        self._file.reached(self._file.through)  # once more: now it is there, and not half
        self._keep_more(living)
        self._snapshot_ns = now.boottime_ns

    def _write(self, now: Clocks) -> None:
        """Write what has ended, and what was lost."""
        ended = self._source.take()
        for of, rows in ended:
            self._file.add_rows(of, rows, now.boottime_ns)
            self.lives += len(rows) // of.size
        self._keep_more(ended)
        lost = self._source.lost()
        if lost > self._lost:
            first_ns = min(self._file.through.boottime_ns, self._sure_ns)
            gap = {"first_ns": first_ns, "last_ns": self._clocks().boottime_ns}
            reason = {"reason": "records were lost", "count": lost - self._lost}
            self._file.add_json({"type": "gap", **gap, **reason})
            self._lost = lost
        done = self._previous if self._source.lags else now
        if not self._source.unfinished() and done.boottime_ns >= self._file.through.boottime_ns:
            self._file.reached(Through(done.boottime_ns, done.realtime_ns))
            self._sure_ns = done.boottime_ns
        self._previous = now

    def _keep_more(self, rows: Runs) -> None:
        more = {name: value for name, value in self._more(rows).items() if value}
        for name, value in more.items():
            for piece in _pieces(value) if isinstance(value, Mapping) else [value]:
                self._file.add_json({"type": name, name: piece})


def _pieces(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the same as objects that a reader takes."""
    piece: dict[str, Any] = {}
    size = 0
    for key, value in values.items():
        more = len(key) + len(json.dumps(value))
        if piece and size + more > _JSON:
            yield piece
            piece, size = {}, 0
        piece[key] = value
        size += more
    yield piece


def _offset(clocks: Clocks) -> int:
    return clocks.realtime_ns - clocks.boottime_ns
