"""Files of older versions of the format, read as if this pidscope had written them.

A reader of an older version turns such a file into the bytes of one of the current version. They go
into a file without a name, and everything that reads recordings reads that: what an older version
was like stands in its reader alone. A change of the format adds one, from the version before: what
it makes is looked at again, so that older files go from reader to reader.

Version 1 is the first one, so there is no older one yet. A test plants a version 0 with its reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Callable

from pidscope.history import frames
from pidscope.history.frames import version_of

Reader = Callable[[int], Iterator[bytes]]  # from a descriptor; raises OSError, RecordingError
READERS: Mapping[int | None, Reader] = MappingProxyType({})  # by the version that is read


def open_current(path: str, flags: int) -> int:
    """Open a file for reading; of one of an older version, what its reader makes of it.

    Returns a descriptor: of the file, or of one without a name. Raises OSError, RecordingError.
    """
    fd = os.open(path, flags)
    try:
        while READERS:
            reader = READERS.get(_version(fd))
            if reader is None:
                break
            made = _written(reader(fd))
            os.close(fd)
            fd = made
    except BaseException:
        os.close(fd)
        raise
    return fd


def _version(fd: int) -> int | None:
    """Return the version of a file; None: it is no recording, which is for others to say."""
    is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    return version_of(os.pread(fd, frames.HEAD_SIZE, 0)) if is_file else None


def _written(pieces: Iterator[bytes]) -> int:
    """Return a descriptor of a file without a name that has these bytes."""
    import tempfile  # of no use but here

    with tempfile.TemporaryFile() as file:
        file.writelines(pieces)
        file.flush()
        return os.dup(file.fileno())
