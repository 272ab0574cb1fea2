"""Reading one file of a recording, whether it is sealed or still being written."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pidscope.errors import RecordingError, WireError
from pidscope.history import frames
from pidscope.history.blocks import Rows, Summary, parse_summary
from pidscope.history.frames import Frame, Through, parse_frame
from pidscope.history.keys import Contents, find_in_page, key_of, page_range, parse_contents
from pidscope.history.older import open_current
from pidscope.history.opened_file import FLAGS, OpenedFile
from pidscope.history.segment import TRAILER, read_content, rows_of, walk
from pidscope.wire.lives import Life

_END = 8 + len(TRAILER)
_MAX_JSON = 1 << 20
_KEPT_BYTES = 12 << 20
_PAGES = 4  # of the index, of 24 KiB


class Damage(NamedTuple):
    """A part of a file that cannot be read."""

    path: str
    offset: int
    reason: str
    about: Summary | None  # of what rows it holds; None: other things, or not known


class BlockCache:
    """The blocks of one or several files that were read last, by their bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], tuple[Rows, int]] = OrderedDict()
        self._bytes = 0

    def get(self, path: str, frame: Frame, read: Callable[[Frame], Rows | None]) -> Rows | None:
        """Return the rows of a block; None: it is damaged."""
        key = path, frame.offset
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found[0]
        rows = read(frame)
        if rows is None:
            return None  # a file that is opened again has to note it, too
        self._kept[key] = rows, frame.raw
        self._bytes += frame.raw
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1][1]
        return rows


class SegmentFile(OpenedFile):
    """A file of a recording, opened.

    Args:
        path: the file.
        blocks: keeps the blocks that were read; several files may share it.

    Raises OSError; RecordingError: it is no recording, or a newer pidscope's.

    Attributes:
        damaged: what was found damaged so far.
    """

    def __init__(self, path: str, blocks: BlockCache | None = None) -> None:
        self.damaged: list[Damage] = []
        self._is_cut = False
        self._blocks = blocks or BlockCache()
        self._pages: OrderedDict[int, bytes | None] = OrderedDict()  # by the frame's offset
        super().__init__(path, open_current(path, FLAGS), frames.MAGIC)

    @cached_property
    def through(self) -> Through:
        """Up to when it has everything; less than its head says if its end is missing."""
        if self._claimed is None:
            return self._last_taken()
        if self.contents is None:
            self.frames  # noqa: B018 - which finds out
        return min(self._last_taken(), self._claimed[0]) if self._is_cut else self._claimed[0]

    @cached_property
    def contents(self) -> Contents | None:
        """Its table of contents; None: it is not sealed, or the table is damaged."""
        trailer = os.pread(self._fd, _END, max(0, self.size - _END))
        if trailer[8:] != TRAILER:
            return None
        offset = int.from_bytes(trailer[:8], "little")
        if offset >= self.size:
            return None
        frame = parse_frame(os.pread(self._fd, frames.FRAME_SIZE + frames.MAX_META, offset), offset)
        if frame is None or frame.kind != frames.END:
            return None
        try:
            return parse_contents(read_content(self._fd, frame))
        except RecordingError as error:
            self._note(frame, str(error))
            return None

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The heads of its frames but those of the index, in order."""
        return tuple(self._frames())

    def _frames(self) -> Iterator[Frame]:
        if self.contents is None:
            yield from self._walked()
            return
        for offset in self.contents.frames:
            found = self._frame(offset)
            if found is None:
                self._note_none(offset)
            yield found or Frame(offset, 0, 0, b"", 0, 0, 0)  # the index counts frames

    def _walked(self) -> Iterator[Frame]:
        """Yield the frames of a file that is not sealed, or whose table of contents is damaged."""
        kept = (frames.JSON, frames.LIVES, frames.ALIVE)
        through, size = self._claimed or (Through(0, 0), 0)
        at, taken_ns = frames.HEAD_SIZE, 0
        for frame in walk(self._fd, self.size):
            if frame.offset != at:
                self._note_none(at)
            at = frame.end
            is_half = frame.kind == frames.ALIVE and 0 < size < at  # of a snapshot, perhaps
            if frame.kind in kept and not is_half:
                taken_ns = max(taken_ns, _taken_ns(frame))
                yield frame
        if at < size:
            self._is_cut = size != frames.SEALED
            lost = Summary(0, 0, 0, taken_ns + 1, through.boottime_ns, through.boottime_ns, 0, 0)
            about = lost if self._is_cut else None  # a sealed file has its lives last
            self.damaged.append(Damage(self.path, at, "its end is missing", about))

    def _frame(self, offset: int) -> Frame | None:
        return parse_frame(os.pread(self._fd, frames.FRAME_SIZE + frames.MAX_META, offset), offset)

    @cached_property
    def head(self) -> dict[str, Any]:
        """What holds for the whole file; empty: that is damaged."""
        return next((it for it in self._parsed() if it.get("type") == "head"), {})

    def json(self) -> Sequence[dict[str, Any]]:
        """Return what is no rows, in order."""
        return self._objects

    @cached_property
    def _objects(self) -> tuple[dict[str, Any], ...]:
        return tuple(self._parsed())

    def _parsed(self) -> Iterator[dict[str, Any]]:
        for frame in self.frames:
            if frame.kind == frames.JSON:
                content = self.content(frame)
                value = _parsed(content) if content is not None else None
                if isinstance(value, dict):
                    yield value
                elif content is not None:
                    self._note(frame, "no JSON object, or too long")

    def blocks(self, kind: int) -> Iterator[tuple[Frame, Summary]]:
        """Yield the blocks of rows of one kind, LIVES or ALIVE, with what each says of itself."""
        for frame in self.frames:
            if frame.kind == kind:
                try:
                    yield frame, parse_summary(frame.meta)
                except RecordingError as error:
                    self._note(frame, str(error))

    def rows(self, frame: Frame) -> Rows | None:
        """Return the rows of a block; None: it is damaged. The latest few are kept."""
        return self._blocks.get(self.path, frame, self._rows)

    def _rows(self, frame: Frame) -> Rows | None:
        content = self.content(frame)
        try:
            return None if content is None else rows_of(frame, content)
        except RecordingError as error:
            self._note(frame, str(error))
            return None

    def content(self, frame: Frame) -> bytes | None:
        """Return what a frame holds; None: it is damaged."""
        try:
            return read_content(self._fd, frame)
        except RecordingError as error:
            self._note(frame, str(error))
            return None

    def having(self, ns: int, number: int) -> Iterator[Life]:
        """Yield the lives that had a number in a namespace, the earliest end first."""
        if self.contents is not None and self.contents.pages:
            yield from self._by_index(self.contents, ns, number)
            return
        for frame, _ in self.blocks(frames.LIVES):
            rows = self.rows(frame)
            if rows is not None:
                for at in rows.having(ns, number):
                    yield from self.life(frame, rows, at)

    def _by_index(self, contents: Contents, ns: int, number: int) -> Iterator[Life]:
        found: dict[int, list[int]] = {}
        for at in page_range(contents.firsts, key_of(ns, number)):
            content = self._page(contents.pages[at])
            if content is not None:
                for place in find_in_page(content, key_of(ns, number)):
                    found.setdefault(place.frame, []).append(place.row)
        for index in sorted(found):
            frame = self.frames[index] if index < len(self.frames) else None
            rows = None if frame is None else self.rows(frame)
            if frame is not None and rows is not None:
                for row in sorted(found[index]):
                    if row < rows.count:
                        yield from self.life(frame, rows, row)

    def _page(self, offset: int) -> bytes | None:
        """Return a page of the index; None: it is damaged. Neighbours in a log share some."""
        if offset not in self._pages:
            frame = self._frame(offset)
            if frame is None:
                self._note_none(offset)
            self._pages[offset] = None if frame is None else self.content(frame)
            if len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        return self._pages[offset]

    def life(self, frame: Frame, rows: Rows, at: int) -> Iterator[Life]:
        """Yield a row of a block; none: it is damaged."""
        try:
            yield rows.life(at)
        except WireError as error:
            self._note(frame, str(error))

    def _last_taken(self) -> Through:
        """Return up to when it is complete by its blocks, since its head does not say."""
        taken = [
            about.taken_ns
            for kind in (frames.LIVES, frames.ALIVE)
            for _, about in self.blocks(kind)
        ]
        return Through(max(taken, default=0), 0)

    def _note_none(self, offset: int) -> None:
        damage = Damage(self.path, offset, "no frame begins here", None)
        if damage not in self.damaged:
            self.damaged.append(damage)

    def _note(self, frame: Frame, reason: str) -> None:
        try:
            about = parse_summary(frame.meta)
        except RecordingError:
            about = None
        damage = Damage(self.path, frame.offset, reason, about)
        if damage not in self.damaged:
            self.damaged.append(damage)


def _taken_ns(frame: Frame) -> int:
    try:
        return 0 if frame.kind == frames.JSON else parse_summary(frame.meta).taken_ns
    except RecordingError:
        return 0


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content) if len(content) <= _MAX_JSON else None
    except (ValueError, RecursionError):
        return None
