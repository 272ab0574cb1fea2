"""The lives of a stretch of time, in the order in which they ended, from the files that have them.

In a file blocks stand in the order in which they were written, each class for itself, and rows
nearly in the order of their ends. So blocks are opened in the order of their earliest ends, which
their summaries have, and merged: a row is given once no block can have an earlier one. What is in
memory are the blocks that overlap, two or three.

A gap is given where it begins, before what ended behind that.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Union

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.answer import Gap
from pidscope.history.between import Asked, Piece
from pidscope.history.blocks import Rows, Summary
from pidscope.history.frames import Frame
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import damage_gap, stated_gap
from pidscope.wire.lives import Life

_MOST_BYTES = 64 << 20  # of blocks that overlap: a recorder's are a few MB
_NEVER = 1 << 64


class Ended(NamedTuple):
    """A life that has ended, and the file that has it."""

    boot_id: str
    file: SegmentFile
    life: Life


class _Block(NamedTuple):
    """A block that is not opened yet."""

    file: SegmentFile
    frame: Frame
    about: Summary


class _Cursor:
    """The rows of an opened block, by their ends."""

    def __init__(self, block: _Block, rows: Rows, ends: Sequence[int], order: list[int]) -> None:
        self.block, self.rows = block, rows
        self._ends, self._order = ends, order
        self._next = 0

    @property
    def end_ns(self) -> int:
        """When the next one ended."""
        return self._ends[self._order[self._next]]

    def pop(self) -> int:
        """Return the next row."""
        self._next += 1
        return self._order[self._next - 1]

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self._next < len(self._order)


_Step = Union[_Block, _Cursor, Gap]


def ended(pieces: Iterable[Piece], known_ns: int | None = None) -> Iterator[Ended | Gap]:
    """Yield the lives that ended in the time that was asked for, and the gaps in it.

    ``known_ns``: those, too, that ended behind it, as far as these files have them, and the gaps up
    to then: a snapshot is of that time, which has what was born in the time and lives on.

    Raises RecordingError: the blocks of a file are in no order.
    """
    for boot_id, run in groupby(pieces, key=lambda it: it.boot_id):
        yield from _Boot(boot_id, known_ns).items(run)


class _Boot:
    """The files of one boot, merged."""

    def __init__(self, boot_id: str, known_ns: int | None) -> None:
        self._boot_id, self._known_ns = boot_id, known_ns
        self._asked = Asked()
        self._heap: list[tuple[int, int, int, _Step]] = []  # time, serial, place of the piece
        self._serial = 0
        self._left: Counter[int] = Counter()  # what is in the heap, by the place of its piece
        self._damages: Counter[str] = Counter()  # that were given, by the file's path
        self._given: set[Gap] = set()
        self._bytes = 0

    def items(self, run: Iterable[Piece]) -> Iterator[Ended | Gap]:
        """Yield what ended; of the next file what is earlier than some of this one's."""
        previous = -1
        for piece in run:
            self._take(piece)
            while self._left[previous]:
                yield from self._step()
            previous = piece.at
        while self._heap:
            yield from self._step()

    def _take(self, piece: Piece) -> None:
        """Take in what a file has."""
        self._asked.add(piece)
        for gap in (*piece.before, *piece.behind):
            self._push(gap.first_ns, piece.at, gap)
        for value in piece.file.json():
            stated = stated_gap(value)
            if stated is not None:
                self._push_gap(Gap(self._boot_id, *stated), piece.at)
        for frame, about in piece.file.blocks(frames.LIVES):
            if self._may_have(about):
                self._push(about.first_end_ns, piece.at, _Block(piece.file, frame, about))
        self._push_damages(piece.file, piece.at)

    def _may_have(self, about: Summary) -> bool:
        last_ns = self._asked.last_ns if self._known_ns is None else _NEVER
        return about.last_end_ns >= self._asked.first_ns and about.first_end_ns <= last_ns

    def _push(self, time_ns: int, at: int, step: _Step) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (time_ns, self._serial, at, step))
        self._left[at] += 1

    def _push_gap(self, gap: Gap, at: int) -> None:
        if self._asked.touches(gap, self._known_ns):
            self._push(gap.first_ns, at, gap)

    def _push_damages(self, file: SegmentFile, at: int) -> None:
        """Take in what was found damaged since the last time."""
        known = self._damages[file.path]
        if known == len(file.damaged):
            return
        for damage in file.damaged[known:]:
            until_ns = file.through.boottime_ns
            self._push_gap(Gap(self._boot_id, *damage_gap(damage, until_ns)), at)
        self._damages[file.path] = len(file.damaged)

    def _step(self) -> Iterator[Ended | Gap]:
        """Take the earliest of all."""
        _, _, at, step = heapq.heappop(self._heap)
        self._left[at] -= 1
        if isinstance(step, Gap):
            if step not in self._given:
                self._given.add(step)
                yield step
        elif isinstance(step, _Block):
            self._open(step, at)
        else:
            yield from self._row(step, at)

    def _open(self, block: _Block, at: int) -> None:
        rows = block.file.rows(block.frame)
        self._push_damages(block.file, at)
        if rows is None:
            return
        ends = rows.ends()
        has = self._asked.has
        if self._known_ns is not None:
            first_ns = self._asked.first_ns
            order = [row for row, end_ns in enumerate(ends) if end_ns >= first_ns]
        else:
            order = [row for row, end_ns in enumerate(ends) if has(end_ns)]
        order.sort(key=ends.__getitem__)
        cursor = _Cursor(block, rows, ends, order)
        if cursor:
            self._bytes += block.frame.raw
            if self._bytes > _MOST_BYTES:
                raise RecordingError(f"{block.file.path}: its blocks are in no order")
            self._push(cursor.end_ns, at, cursor)

    def _row(self, cursor: _Cursor, at: int) -> Iterator[Ended | Gap]:
        file = cursor.block.file
        for life in file.life(cursor.block.frame, cursor.rows, cursor.pop()):
            yield Ended(self._boot_id, file, life)
        self._push_damages(file, at)
        if cursor:
            self._push(cursor.end_ns, at, cursor)
        else:
            self._bytes -= cursor.block.frame.raw
