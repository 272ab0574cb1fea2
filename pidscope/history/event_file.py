"""Reading an events recording: its pieces in order, and where one is missing."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.frames import EVENTS_MAGIC, Frame
from pidscope.history.opened_file import FLAGS, OpenedFile
from pidscope.history.segment import read_content, walk
from pidscope.history.timeline import END, MAX_JSON, parse_entries

# Its place, the records before it, its records, zero, when it was written (CLOCK_BOOTTIME).
_META = struct.Struct("<QQIIQ")


class About(NamedTuple):
    """What a piece says of itself, which is whole even if the piece is not."""

    place: int  # among the pieces, from 0 on
    before: int  # records in the pieces before
    records: int
    taken_ns: int

    def pack(self) -> bytes:
        """Return the meta of its frame."""
        return _META.pack(self.place, self.before, self.records, 0, self.taken_ns)


class Gap(NamedTuple):
    """Something is missing here."""

    records: int  # at the least
    why: str


class EventFile(OpenedFile):
    """An events recording, opened; it may still be written.

    Raises OSError; RecordingError: it is none, or a newer pidscope's.

    Attributes:
        damaged: a line for each part that was found damaged so far.
        through: up to when it has everything; None: that is damaged.
    """

    def __init__(self, path: str) -> None:
        self.damaged: list[str] = []
        super().__init__(path, os.open(path, FLAGS), EVENTS_MAGIC)
        self.through = None if self._claimed is None else self._claimed[0]

    @cached_property
    def head(self) -> dict[str, Any]:
        """What holds for the whole file; raises RecordingError: it is damaged, or cut off."""
        first = next(self._frames(), None)
        value = self._json(first) if first is not None and first.kind == frames.JSON else None
        if value is None or value.get("type") != "head":
            raise RecordingError(f"{self.path}: its first part is damaged or missing")
        return value

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return what is no events and has this ``type``, in order."""
        found = (self._json(it) for it in self._frames() if it.kind == frames.JSON)
        return [it for it in found if it is not None and it.get("type") == kind]

    def pieces(self) -> Iterator[bytes | Gap]:
        """Yield the entries of each piece, and a gap where some are missing.

        One that has no end, since its recorder was killed or goes on, ends with a gap; what is
        behind its last piece says `pidscope.history.replayed_world`.
        """
        place = records = 0
        why = "its end is missing"
        for frame in self._frames():
            about = self._about(frame)
            if about is None or about.place < place:
                continue
            try:
                content = read_content(self._fd, frame)
            except RecordingError as error:
                self._note(frame, str(error))
                continue
            if about.place > place:
                yield Gap(max(1, about.before - records), "a part is damaged or missing")
            yield content
            place, records = about.place + 1, about.before + about.records
        last = self._last
        yield Gap(1 if last is None else max(1, last.before + last.records - records), why)

    @property
    def _last(self) -> About | None:
        abouts = (self._about(it) for it in self._frames())
        return max(filter(None, abouts), default=None)

    @property
    def records(self) -> int:
        """How many records its pieces hold, damaged ones, too."""
        last = self._last
        return 0 if last is None else last.before + last.records

    def gaps(self) -> Iterator[str]:
        """Yield why parts are missing; all pieces are read. Raises RecordingError."""
        ended = False
        for piece in self.pieces():
            if isinstance(piece, Gap):
                if not ended:
                    yield piece.why
            else:
                ended = any(entry.kind == END for entry in parse_entries(piece))

    def _frames(self) -> Iterator[Frame]:
        at = frames.HEAD_SIZE
        for frame in walk(self._fd, self.size):
            if frame.offset != at:
                self._note_at(at, "no frame begins here")
            at = frame.end
            yield frame
        if at != self.size:
            self._note_at(at, "cut off")

    def _about(self, frame: Frame) -> About | None:
        if frame.kind != frames.EVENTS or len(frame.meta) != _META.size:
            return None
        place, before, records, _, taken_ns = _META.unpack(frame.meta)
        return About(place, before, records, taken_ns)

    def _json(self, frame: Frame) -> dict[str, Any] | None:
        try:
            content = read_content(self._fd, frame) if frame.raw <= MAX_JSON else b""
            value = json.loads(content)
        except RecordingError as error:
            self._note(frame, str(error))
            return None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._note(frame, "no JSON object, or too long")
            return None
        return value

    def _note(self, frame: Frame, reason: str) -> None:
        self._note_at(frame.offset, reason)

    def _note_at(self, offset: int, reason: str) -> None:
        line = f"{self.path}:{offset}: {reason}"
        if line not in self.damaged:
            self.damaged.append(line)
