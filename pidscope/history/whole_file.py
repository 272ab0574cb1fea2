"""Writing a file that is whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

_OURS = 0o600


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Make a file of its owner's alone, which gets its name once it is whole and on the disk.

    The name itself is on the disk once its directory is. Raises OSError.
    """
    private = f"{path}.{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(private, flags, _OURS)
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        os.rename(private, path)  # noqa: PTH104 (pathlib takes a while to import)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(private)  # noqa: PTH108
        raise
