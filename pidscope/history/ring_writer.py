"""Writing a ring: one file after the other, the oldest dropped for room or for age.

Nothing but this module removes files of a ring, and it removes none that is not named like one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, TypeVar

from pidscope.errors import HostError, RecordingError, UsageError
from pidscope.history.frames import Through
from pidscope.history.ring import Segment, list_leftovers, list_segments, segment_name
from pidscope.history.segment import SegmentWriter, seal_left
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import Class

LEAST_BYTES = 64 << 20
_OPEN_BYTES = 24 << 20  # of the file that is being written, at most
_WAITING_BYTES = 8 << 20  # what is kept in memory while the disk is full
_NO_ROOM = "the disk was full"
_T = TypeVar("_T")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Limits(NamedTuple):
    """What a ring may hold."""

    max_bytes: int
    max_age_ns: int | None = None


class RingWriter:
    """A ring, by its only writer.

    Args:
        directory: is made if it is not there, for its owner alone.
        limits: what it may hold.
        note: gets a line about what went wrong and was dealt with.

    Raises:
        UsageError: another process records into it, it may hold more than the disk has, or it is
            open to others. HostError: it cannot be made.
    """

    rotates = True

    def __init__(
        self, directory: str, limits: Limits, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.directory, self._limits, self._note = directory, limits, note
        if limits.max_bytes < LEAST_BYTES:
            raise UsageError(f"a ring needs {LEAST_BYTES >> 20} MiB at least")
        self._fd = _made(directory)
        try:
            _lock(self._fd, directory)
            self._expect_room()
            self._seal_left()
        except BaseException:
            os.close(self._fd)
            raise
        self._sequence = max((it.sequence for it in self._segments()), default=0)
        self._file: RingFile | None = None

    def begin(self, head: Mapping[str, Any], through: Through) -> RingFile:
        """Begin a file, and seal the one before; if there is no room for it, that one goes on."""
        path = f"{self.directory}/{segment_name(self._sequence + 1, through.realtime_ns)}"
        before = self._file
        try:
            writer = self._with_room(lambda: SegmentWriter(path, head, through))
        except OSError as error:
            if before is None or error.errno not in _FULL:
                raise
            before.go_on(through)
            before.add_json({"type": "clock", "clock": head.get("clock")})
            return before
        self._seal()
        self._sequence += 1
        self._file = RingFile(writer, self, None if before is None else before.unwritten(through))
        self.drop_old(through.realtime_ns)
        return self._file

    def close(self) -> None:
        """Seal what was begun, and let others write."""
        try:
            self._seal()
        finally:
            os.close(self._fd)

    def drop_old(self, now_ns: int) -> None:
        """Remove the oldest files that are beyond the limits; ``now_ns``: wall clock.

        Files that could not be sealed count, too, but the one that is being written does not.
        """
        written = None if self._file is None else self._file.writer.path
        others = [it for it in self._segments() if it.path != written]
        sizes = {it: _size(it) for it in others}
        room = self._limits.max_bytes - _OPEN_BYTES - sum(sizes.values())
        for it in others:
            age = self._limits.max_age_ns
            old = age is not None and it.last_ns is not None and now_ns - it.last_ns > age
            if room >= 0 and not old:
                return
            room += sizes[it]
            _remove(it.path)

    def drop_oldest(self) -> bool:
        """Remove the oldest sealed file, since the disk is full; return whether there was one."""
        for it in self._segments():
            if it.sealed:
                _remove(it.path)
                self._note(f"{self.directory}: the disk is full: the oldest file was removed")
                return True
        return False

    def _with_room(self, make: Callable[[], _T]) -> _T:
        while True:
            try:
                return make()
            except OSError as error:
                if error.errno not in _FULL or not self.drop_oldest():
                    raise

    def _seal(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        writer = file.writer
        name = segment_name(self._sequence, writer.first.realtime_ns, writer.through.realtime_ns)
        try:
            file.flush()
            self._with_room(lambda: writer.seal(f"{self.directory}/{name}"))
        except OSError as error:  # it stays as it is, and can be read
            writer.close()
            self._note(f"{writer.path} was not sealed: {error.strerror}")

    def _seal_left(self) -> None:
        """Seal the files of a writer that has died, and remove what is beside them."""
        for path in list_leftovers(self.directory):
            _remove(path)
        for it in self._segments():
            if it.sealed:
                continue
            try:
                with SegmentFile(it.path) as file:
                    through = file.through
                last_ns = max(through.realtime_ns, it.first_ns)
                name = segment_name(it.sequence, it.first_ns, last_ns)
                seal_left(it.path, through, f"{self.directory}/{name}")
            except (OSError, RecordingError) as error:  # one bad file never stops a start
                self._note(f"{it.path} is left as it is: {error}")

    def _expect_room(self) -> None:
        limit = self._limits.max_bytes
        disk = os.fstatvfs(self._fd)
        there = sum(map(_size, self._segments())) + disk.f_bavail * disk.f_frsize
        if limit > there:
            raise UsageError(
                f"{limit >> 20} MiB is more than there is for {self.directory}: {there >> 20} MiB",
                "give fewer with --max-bytes",
            )

    def _segments(self) -> list[Segment]:
        return list_segments(self.directory)


class RingFile:
    """The file of a ring that is being written: a `pidscope.history.recorder.File`.

    While the disk is full, what comes is kept in memory, so far as there is room, and the file does
    not claim to be complete. What is beyond that is a gap.
    """

    def __init__(
        self, writer: SegmentWriter, ring: RingWriter, gap: dict[str, Any] | None = None
    ) -> None:
        self.writer = writer
        self._first, self._rows_before, self._size_before = writer.first, 0, 0
        self._ring = ring
        self._waiting: list[Callable[[], None]] = []
        self._waiting_bytes = 0
        self._gap = gap

    def go_on(self, first: Through) -> None:
        """Count anew from here, since no other file could be begun."""
        self._first = first
        self._rows_before, self._size_before = self.writer.rows, self.writer.size

    def unwritten(self, end: Through) -> dict[str, Any] | None:
        """Return the gap that the file leaves to the next, which begins at ``end``."""
        if not self._waiting and self._gap is None:
            return None
        times = {"first_ns": self.through.boottime_ns, "last_ns": end.boottime_ns}
        return {"type": "gap", **times, "reason": _NO_ROOM}

    @property
    def first(self) -> Through:
        """When it begins."""
        return self._first

    @property
    def through(self) -> Through:
        """Up to when it has everything."""
        return self.writer.through

    @property
    def rows(self) -> int:
        """How many lives it has."""
        return self.writer.rows - self._rows_before

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.writer.size - self._size_before

    def add_rows(self, of: Class, rows: bytes, taken_ns: int, alive: bool = False) -> None:
        """Append rows."""
        write = self.writer.add_rows
        self._add(lambda: write(of, rows, taken_ns, alive), len(rows), taken_ns)

    def add_json(self, value: Mapping[str, Any]) -> None:
        """Append what is no rows."""
        self._add(lambda: self.writer.add_json(value), 1024, 0)

    def reached(self, through: Through) -> None:
        """Say that it has everything up to this time, if it has."""
        self.flush()
        if not self._waiting:
            self.writer.reached(through)

    def flush(self) -> None:
        """Write what waits for room, so far as there is some now."""
        while self._waiting and self._written(self._waiting[0]):
            self._waiting.pop(0)
        if not self._waiting:
            self._waiting_bytes = 0
            gap, self._gap = self._gap, None
            if gap is not None and not self._written(lambda: self.writer.add_json(gap)):
                self._gap = gap

    def _add(self, write: Callable[[], None], size: int, taken_ns: int) -> None:
        self.flush()
        if not self._waiting and self._written(write):
            return
        if self._waiting_bytes + size <= _WAITING_BYTES:
            self._waiting.append(write)
            self._waiting_bytes += size
            return
        begin = self.writer.through.boottime_ns
        gap = self._gap or {"type": "gap", "first_ns": begin, "reason": _NO_ROOM}
        self._gap = {**gap, "last_ns": max(taken_ns, gap.get("last_ns", begin))}

    def _written(self, write: Callable[[], None]) -> bool:
        """Whether there was room, for the price of the oldest files."""
        while True:
            try:
                write()
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                if not self._ring.drop_oldest():
                    return False
            else:
                return True


def _made(directory: str) -> int:
    """Make the directory if it is not there, and open it; raises HostError, UsageError."""
    try:
        with contextlib.suppress(FileExistsError):
            os.makedirs(directory, 0o700)  # noqa: PTH103 (pathlib takes a while to import)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from None
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(fd)
        raise UsageError(
            f"others may write to {directory}", "give a directory of your own (chmod 0700)"
        )
    return fd


def _lock(fd: int, directory: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another process records into {directory}") from None


def _size(segment: Segment) -> int:
    with contextlib.suppress(OSError):
        return os.stat(segment.path).st_size  # noqa: PTH116
    return 0


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
