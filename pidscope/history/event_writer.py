"""Writing an events recording: pieces of what a watch learned, each with its place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pidscope.errors import UsageError
from pidscope.history import frames
from pidscope.history.compression import best, compress
from pidscope.history.event_file import About
from pidscope.history.frames import EVENTS_MAGIC, Through, pack_frame
from pidscope.history.recorded_world import Piece
from pidscope.history.segment import SegmentWriter

_PIECE = 4 << 20  # bytes of one frame, less than a reader takes
_JSON = 1 << 19


class EventWriter:
    """A new events recording.

    Args:
        path: must not exist; it is its owner's alone.
        head: what holds for the whole file.
        through: when it begins.

    Raises UsageError: it exists, or cannot be made.
    """

    def __init__(self, path: str, head: Mapping[str, Any], through: Through) -> None:
        path = os.path.abspath(path)  # noqa: PTH100 (pathlib takes a while to import)
        try:
            whole = {"type": "head", **head}
            self._file = SegmentWriter(path, whole, through, EVENTS_MAGIC)
        except FileExistsError:
            raise UsageError(
                f"{path} exists", "give another name: a recording is never overwritten"
            ) from None
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        self._place = 0
        self.records = 0

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._file.size

    def add(self, piece: Piece, through: Through) -> None:
        """Append what was learned up to now; raises OSError."""
        meta = About(self._place, self.records, piece.records, through.boottime_ns).pack()
        kept = compress(best(), piece.content)
        frame = pack_frame(frames.EVENTS, best(), meta, kept, len(piece.content))
        self._file.add_frame(frame)
        self._file.reached(through)
        self._place += 1
        self.records += piece.records

    def add_object(self, value: Mapping[str, Any]) -> None:
        """Append what is no events; raises OSError."""
        self._file.add_json(value)

    def add_list(self, kind: str, name: str, items: Sequence[Any], **more: Any) -> None:
        """Append what is no events: a list, in objects that a reader takes; raises OSError."""
        for part in _parts(items):
            self._file.add_json({"type": kind, name: part, **more})

    def close(self) -> None:
        """Bring it to the disk, and close it; raises OSError."""
        self._file.sync()
        self._file.close()


def _parts(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the items in lists that are not too long, at least one."""
    part: list[Any] = []
    size = 0
    for item in items:
        more = len(json.dumps(item))
        if part and size + more > _JSON:
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    yield part
