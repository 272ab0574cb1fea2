"""A file of a recording, opened: what readers of lives and of events share."""

from __future__ import annotations

import os
import stat
from typing import TypeVar

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.frames import Through, parse_head

_Opened = TypeVar("_Opened", bound="OpenedFile")
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is opened at once, and refused


class OpenedFile:
    """A descriptor and what the head says; closed at the latest when nothing needs it any more.

    Args:
        path: the file's.
        fd: of it, opened with `FLAGS`; belongs to this one from here on.
        magic: of its kind of recording.

    Raises OSError; RecordingError: it is no such recording, or a newer pidscope's.

    Attributes:
        path: the file's.
        size: its bytes.
    """

    _fd = -1

    def __init__(self, path: str, fd: int, magic: bytes) -> None:
        self.path = path
        self._fd = fd
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RecordingError("not a recording of pidscope")
            self._claimed: tuple[Through, int] | None = parse_head(
                os.pread(fd, frames.HEAD_SIZE, 0), magic
            )
            # After the head: a frame that is there now was written before this time or later.
            self.size = os.fstat(fd).st_size
        except RecordingError as error:
            self.close()
            raise RecordingError(f"{path}: {error}", error.hint) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it, once and for all."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        """Close it: files are let go of while windows, or a world that is played, may have them."""
        self.close()

    def __enter__(self: _Opened) -> _Opened:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
