"""Writing one file, to be shared: it is sealed at its end, and has no second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pidscope.errors import UsageError
from pidscope.history.frames import Through
from pidscope.history.segment import SegmentWriter


class FileKeeper:
    """One file.

    Args:
        path: must not exist.

    Raises UsageError: it exists, or cannot be made.
    """

    rotates = False

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 (pathlib takes a while to import)
        self._writer: SegmentWriter | None = None
        if os.path.lexists(path):
            raise UsageError(
                f"{path} exists", "give another name: a recording is never overwritten"
            )

    def begin(self, head: Mapping[str, Any], through: Through) -> SegmentWriter:
        """Begin the file; later: keep what the clocks showed after a step."""
        if self._writer is None:
            try:
                self._writer = SegmentWriter(self._path, head, through)
            except OSError as error:
                raise UsageError(f"{self._path}: {error.strerror}") from None
        else:
            self._writer.add_json({"type": "clock", "clock": head["clock"]})
        return self._writer

    def close(self) -> None:
        """Seal it; raises OSError."""
        if self._writer is not None:
            self._writer.seal(self._path)
