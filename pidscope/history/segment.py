"""Writing one file of a recording: frames are appended as they come, and sealed when it is full.

An open file has short blocks, one for each time something was taken, uncompressed: what is written
each second costs a copy and a checksum. Sealing makes another file of it: full blocks, compressed,
an index, and a table of contents; it gets its name once it is on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.blocks import (
    PackedRows,
    PlainRows,
    Rows,
    Summary,
    merged,
    pack_rows,
    parse_summary,
    summary,
)
from pidscope.history.compression import STORED, best, compress, expand
from pidscope.history.frames import (
    Frame,
    Through,
    next_frame,
    pack_frame,
    pack_head,
    parse_frame,
    parse_head,
)
from pidscope.history.keys import Contents, Keys
from pidscope.history.lives import BLOCK
from pidscope.history.older import open_current
from pidscope.history.whole_file import whole_file
from pidscope.wire.lives import CLASSES, Class

TRAILER = b"pidscope:sealed\n"
_OURS = 0o600
_MAX_ROWS = 65_536  # of one block: a row's place in the index has 16 bits


class SegmentWriter:
    """A file that is being written.

    Args:
        path: must not exist; it is its owner's alone.
        head: what holds for the whole file, as JSON.
        through: the time that it begins at.
        magic: which says what it holds.

    Raises OSError.
    """

    def __init__(
        self,
        path: str,
        head: Mapping[str, Any],
        through: Through,
        magic: bytes = frames.MAGIC,
    ) -> None:
        self.path = path
        self.first = self.through = through
        self.rows = 0  # lives
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, _OURS)
        self.size = 0
        try:
            self.add_frame(pack_head(through, frames.HEAD_SIZE, magic))
            self.add_json(head)
        except BaseException:  # on a full disk: another attempt finds no file in its way
            self.close()
            os.unlink(path)  # noqa: PTH108
            raise

    def add_rows(self, of: Class, rows: bytes, taken_ns: int, alive: bool = False) -> None:
        """Append whole rows of lives, or of the tasks that were alive at ``taken_ns``."""
        step = _MAX_ROWS * of.size
        for at in range(0, len(rows), step):
            piece = rows[at : at + step]
            meta = summary(of, piece, taken_ns).pack()
            kind = frames.ALIVE if alive else frames.LIVES
            content = pack_rows(of, piece) if alive else piece
            codec = best() if alive else STORED
            kept = compress(codec, content)
            self.add_frame(pack_frame(kind, codec, meta, kept, len(content)))
            self.rows += 0 if alive else len(piece) // of.size

    def add_json(self, value: Mapping[str, Any]) -> None:
        """Append what is not rows; ``type`` says what it is."""
        self.add_frame(pack_json(value))

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._fd)

    def reached(self, through: Through) -> None:
        """Say that the file has everything up to this time, and that no snapshot is half there."""
        offset, data = frames.pack_through(through, self.size)
        os.pwrite(self._fd, data, offset)
        self.through = through

    def seal(self, path: str) -> None:
        """Write the same, sealed, to ``path``, and remove this file; raises OSError."""
        _seal(self._fd, self.size, self.through, path)
        if self.path != path:
            os.unlink(self.path)  # noqa: PTH108
        self.close()

    def close(self) -> None:
        """Close it as it is; it can be read."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def add_frame(self, data: bytes) -> None:
        """Write it whole, or, on a full disk, nothing: what is half written is cut off again."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.pwrite(self._fd, view, self.size + len(data) - len(view)) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)


def seal_left(path: str, through: Through, sealed: str) -> None:
    """Seal a file whose writer has died, and remove it; raises OSError."""
    fd = open_current(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _seal(fd, os.fstat(fd).st_size, through, sealed)
    finally:
        os.close(fd)
    os.unlink(path)  # noqa: PTH108


def _seal(fd: int, size: int, through: Through, path: str) -> None:
    """Write a sealed file under a private name, to the disk, and then give it its name."""
    with whole_file(path) as file:
        file.writelines(_sealed(fd, size, through))
    _sync_directory(path)


def _sync_directory(path: str) -> None:
    """Bring a new name to the disk."""
    directory = os.open(path.rpartition("/")[0] or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def pack_json(value: Mapping[str, Any]) -> bytes:
    """Return a frame of JSON, compressed where that makes it smaller."""
    data = json.dumps(value, separators=(",", ":")).encode()
    small = compress(best(), data)
    codec, kept = (best(), small) if len(small) < len(data) else (STORED, data)
    return pack_frame(frames.JSON, codec, b"", kept, len(data))


def walk(fd: int, size: int, start: int = frames.HEAD_SIZE) -> Iterator[Frame]:
    """Yield the heads of the frames that are whole, in order; what is damaged is passed by."""
    at = start
    while at < size:
        frame = parse_frame(os.pread(fd, frames.FRAME_SIZE + frames.MAX_META, at), at)
        if frame is None:
            frame = _after_damage(fd, at, size)
            if frame is None:
                return
        if frame.end > size:
            return
        yield frame
        at = frame.end


def _after_damage(fd: int, at: int, size: int) -> Frame | None:
    """Return the next undamaged frame behind a place that begins none."""
    piece, overlap = 1 << 20, frames.FRAME_SIZE + frames.MAX_META
    for start in range(at + 1, size, piece):
        frame = next_frame(os.pread(fd, piece + overlap, start), 0, start)
        if frame is not None:
            return frame
    return None


def read_content(fd: int, frame: Frame) -> bytes:
    """Return what a frame holds; raises OSError, RecordingError."""
    return frames.content(frame, os.pread(fd, frame.stored, frame.data_offset), expand)


def rows_of(frame: Frame, content: bytes) -> Rows:
    """Return the rows of a frame of lives, given what it holds; raises RecordingError."""
    about = parse_summary(frame.meta)
    kind = PlainRows if frame.codec == STORED else PackedRows
    return kind(CLASSES[about.of], content, about.rows)


def _sealed(fd: int, size: int, through: Through) -> Iterator[bytes]:
    """Yield the bytes of the sealed file; what is damaged becomes a gap in it."""
    claimed = parse_head(os.pread(fd, frames.HEAD_SIZE, 0))
    complete = size if claimed is None else claimed[1]
    yield pack_head(through, frames.SEALED)
    writer, at = _Sealing(), frames.HEAD_SIZE
    for frame in walk(fd, size):
        if frame.offset != at:
            yield writer.keep(_gap(0, through.boottime_ns))
        at = frame.end
        if frame.kind == frames.ALIVE and frame.end > complete:
            continue  # half a snapshot
        try:
            if frame.kind == frames.LIVES:
                content = read_content(fd, frame)
                rows = rows_of(frame, content)
                yield from writer.add(frame, rows, content)
            elif frame.kind in (frames.JSON, frames.ALIVE):
                yield writer.keep(_copied(fd, frame))
        except RecordingError:
            yield writer.keep(_lost_block(frame, through))
    yield from writer.finish()


def _copied(fd: int, frame: Frame) -> bytes:
    """Return a frame as it is; raises RecordingError: it is damaged."""
    read_content(fd, frame)
    stored = os.pread(fd, frame.stored, frame.data_offset)
    return pack_frame(frame.kind, frame.codec, frame.meta, stored, frame.raw)


def _lost_block(frame: Frame, through: Through) -> bytes:
    """Return the gap that a damaged frame leaves."""
    try:
        about = parse_summary(frame.meta)
    except RecordingError:
        return _gap(0, through.boottime_ns)
    first_ns = min(about.first_end_ns, about.taken_ns)  # a snapshot's rows are behind its time
    return _gap(first_ns, about.last_end_ns, count=about.rows)


def _gap(first_ns: int, last_ns: int, **more: int) -> bytes:
    times = {"first_ns": first_ns, "last_ns": last_ns}
    return pack_json({"type": "gap", **times, "reason": "a block was damaged", **more})


class _Sealing:
    """The frames of a sealed file, as they are made."""

    def __init__(self) -> None:
        self._at = frames.HEAD_SIZE
        self._offsets: list[int] = []
        self._keys = Keys()
        self._waiting: dict[Class, list[tuple[Summary, bytes]]] = {of: [] for of in CLASSES}
        self._codec = best()

    def keep(self, frame: bytes) -> bytes:
        """Note where a frame goes."""
        self._offsets.append(self._at)
        self._at += len(frame)
        return frame

    def add(self, frame: Frame, rows: Rows, content: bytes) -> Iterator[bytes]:
        """Take the rows of an open file's block; yield what is full.

        A block is made of whole ones, as many as fit, whose summaries are known.
        """
        about = parse_summary(frame.meta)
        of = rows.of
        if frame.codec != STORED:
            content = b"".join(map(rows.row, range(rows.count)))
        waiting = self._waiting[of]
        if waiting and sum(it.rows for it, _ in waiting) + about.rows > BLOCK:
            yield self._block(of)
        step = BLOCK * of.size
        for at in range(0, len(content) - step, step):
            piece = content[at : at + step]
            waiting.append((summary(of, piece, about.taken_ns), piece))
            yield self._block(of)
        if rows.count > BLOCK:
            content = content[(rows.count - 1) // BLOCK * step :]
            about = summary(of, content, about.taken_ns)
        waiting.append((about, content))

    def finish(self) -> Iterator[bytes]:
        """Yield the blocks that are not full, the index, and the table of contents."""
        for of, waiting in self._waiting.items():
            if waiting:
                yield self._block(of)
        where = list(self._offsets)
        firsts, offsets = [], []
        for first, page in self._keys.pages():
            frame = self._frame(frames.KEYS, b"", page)
            firsts.append(first)
            offsets.append(self._at)
            yield self.keep(frame)
        last = self._at
        yield self._frame(frames.END, b"", Contents(where, firsts, offsets).pack())
        yield last.to_bytes(8, "little") + TRAILER

    def _block(self, of: Class) -> bytes:
        summaries, pieces = zip(*self._waiting[of])
        self._waiting[of].clear()
        rows = b"".join(pieces)
        self._keys.add(of, rows, len(self._offsets))
        meta = merged(summaries).pack()
        return self.keep(self._frame(frames.LIVES, meta, pack_rows(of, rows)))

    def _frame(self, kind: int, meta: bytes, content: bytes) -> bytes:
        kept = compress(self._codec, content)
        return pack_frame(kind, self._codec, meta, kept, len(content))
