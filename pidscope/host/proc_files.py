"""Files of /proc, each read at the cost of one open, one read, one close.

What vanished, or may not be read, is no error and comes back as None.
"""

from __future__ import annotations

import errno
import os
from io import FileIO

from pidscope.errors import ProcError
from pidscope.host.proc_parse import parse_status
from pidscope.snapshot import Status

GONE = frozenset({errno.ENOENT, errno.ESRCH})
DENIED = frozenset({errno.EACCES, errno.EPERM})  # EPERM: hidepid=1 (proc_pid_permission())
_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # of this process, not of the file
_MAX_STATUS = 1 << 20  # bytes: NGROUPS_MAX groups of 11 each are 720,896
_MAX_FILE = 64 << 20  # of other files: a mountinfo has a line a mount
LAST_LINE = b"\nNSsid:\t"  # of a status, of those that are parsed


def expect(error: OSError, errnos: frozenset[int]) -> None:
    """Raise ``error`` again unless it is one of ``errnos``."""
    if error.errno not in errnos:
        raise error


def open_file(
    path: str, flags: int, directory: int | None = None, none: frozenset[int] = GONE | DENIED
) -> int | None:
    """Return a descriptor; None: an errno of ``none``: vanished, or this user may not open it.

    It never waits: a FIFO mounted over a file would have open() wait for a writer.
    """
    try:
        return os.open(path, flags | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        if error.errno in none:
            return None
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> OSError | ProcError:
    """Return the error as the file's, unless it is this process's own."""
    own = error.errno in _OWN
    return error if own else ProcError(path, 1, "", f"cannot be read ({error.strerror})")


def open_directory(path: str) -> int | None:
    """Return the descriptor of a task's directory; None: vanished, or hidden."""
    return open_file(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def read_file(
    path: str,
    until: bytes = b"",
    directory: int | None = None,
    none: frozenset[int] = GONE | DENIED,
) -> bytes | None:
    """Return the file up to the line that begins with ``until``, or what one read gives.

    None: an errno of ``none``.

    A status file is longer than a page only where Groups is, so one read is the rule. Raises
    ProcError for what is mounted over it: a file that does not end, or does not answer.
    """
    fd = open_file(path, os.O_RDONLY | os.O_CLOEXEC, directory, none)
    if fd is None:
        return None
    try:
        data = os.read(fd, 4096)
        while until and not _has_line(data, until):
            more = os.read(fd, 65536)
            if not more:
                break
            data += more
            if len(data) > _MAX_STATUS:
                raise ProcError(path, 1, "", f"longer than {_MAX_STATUS} bytes")
        return data
    except OSError as error:
        if error.errno in none:
            return None
        raise _unreadable(path, error) from error
    finally:
        os.close(fd)


def read_whole(path: str | bytes) -> bytes | None:
    """Return a file whole; None: it is not there, or may not be read.

    Raises ProcError for one that does not end.
    """
    try:
        with open(path, "rb", buffering=0, opener=_opener) as file:
            data = _read_to_end(file)
    except OSError as error:
        expect(error, GONE | DENIED | {errno.ENODEV})  # ENODEV: its cgroup has been removed
        return None
    if len(data) > _MAX_FILE:
        raise ProcError(os.fsdecode(path), 1, "", f"longer than {_MAX_FILE} bytes")
    return data


def _read_to_end(file: FileIO) -> bytes:
    """Read in pieces: a sysctl allocates as much as is asked for (``proc_sys_call_handler()``)."""
    data = b""
    while len(data) <= _MAX_FILE:
        piece = file.read(max(65536, len(data)))
        if not piece:  # None: it would wait
            break
        data += piece
    return data


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_status(task: str, directory: int | None = None) -> Status | None:
    """Parse ``status`` of the task with this path, below its directory if that is open.

    None: it vanished, or hidepid hides it. Raises ProcError.
    """
    path = f"{task}/status"
    data = read_file(path if directory is None else "status", LAST_LINE, directory)
    return None if data is None else parse_status(data, path)


def read_boot_id() -> str:
    """Return this boot's random id; empty: it may not be read."""
    return (read_whole("/proc/sys/kernel/random/boot_id") or b"").decode().strip()


def _has_line(data: bytes, key: bytes) -> bool:
    """Return whether the line is there whole; the first line has no line feed before it."""
    start = 0 if data.startswith(key[1:]) else data.find(key)
    return start >= 0 and data.find(b"\n", start + 1) >= 0


def read_inum(path: str, directory: int | None = None) -> int | None:
    """Return INUM of a link to ``pid:[INUM]`` (``ns_get_name()``, fs/nsfs.c)."""
    try:
        link = os.readlink(path, dir_fd=directory)
    except OSError as error:
        if error.errno in GONE | DENIED:
            return None
        raise _unreadable(path, error) from error
    if not link:  # 5.10 gives this where 6.18 gives EACCES
        return None
    inum = link[5:-1]
    if link != f"pid:[{inum}]" or not (inum.isascii() and inum.isdigit()):
        raise ProcError(path, 1, link, "not a PID namespace")
    return int(inum)


def inum_of(path: str) -> int:
    """Return the inum of the namespace behind a link, of whatever type; raises OSError."""
    return os.stat(path).st_ino  # noqa: PTH116 (pathlib takes a while to import)
