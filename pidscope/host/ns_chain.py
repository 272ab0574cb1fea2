"""The PID namespaces around a task, as the kernel and the task's ancestors show them."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Callable

from pidscope.errors import ProcError
from pidscope.host.proc_files import (
    DENIED,
    expect,
    open_directory,
    open_file,
    read_inum,
    read_status,
)
from pidscope.snapshot import Status

_NS_GET_PARENT = 0xB702  # include/uapi/linux/nsfs.h, since 4.9
_MOST_LEVELS = 33  # MAX_PID_NS_LEVEL and the initial one


def ns_chain(root: str, number: int, mount_ns: Callable[[], int | None]) -> list[tuple[int, int]]:
    """Return (inum, inum of its parent) from the task's own PID namespace outwards.

    The mount's namespace has 0 for its parent. The chain ends early at a namespace with a parent
    that cannot be known. ``NS_GET_PARENT`` shows only what is inside the reader's own namespace
    (``pidns_get_parent()``, kernel/pid_namespace.c). Outside it the task's ancestors show it: the
    namespace of a parent is its child's or one around that, so an ancestor that is as deep as the
    namespace looked for is in it.
    """
    inums: list[int] = []
    depth = 0
    for place, directory in _lineage(root, number):
        depth = depth or place
        if place == depth - len(inums):
            inums += _inums_outwards(directory, place)
        if len(inums) == depth - 1:
            shown = mount_ns()
            inums += [] if shown is None else [shown]
        if not inums or len(inums) >= depth - 1:
            break
    outer = [*inums[1:], 0] if len(inums) == depth else inums[1:]
    return list(zip(inums, outer))


def _lineage(root: str, number: int) -> Iterator[tuple[int, int]]:
    """Yield how deep a task's namespace is, and its open directory, then its ancestors'.

    The number in PPid may belong to another process by the time it is opened; but not if PPid is
    the same after that: children are only given to older processes, and a process that has got a
    freed number is younger.
    """
    path = f"{root}/{number}"
    directory = open_directory(path)
    while directory is not None:
        try:
            status = _status(path, directory)
            if status is None:
                return
            yield len(status.ns_pid), directory
            outer = f"{root}/{status.ppid}"
            parent = open_directory(outer) if status.ppid else None
            again = _status(path, directory)
        finally:
            os.close(directory)
        if parent is not None and (again is None or again.ppid != status.ppid):
            os.close(parent)
            return
        path, directory = outer, parent


def _status(path: str, directory: int) -> Status | None:
    """Return a status; None: also of a file without the kernel's form, which shows no parent."""
    try:
        return read_status(path, directory)
    except ProcError:
        return None


def children_ns_parents(root: str, number: int) -> dict[int, int]:
    """Return the parent of the namespace of a task's children, and of those around it, by inum.

    As far as the kernel shows them: no task need be left in them.
    """
    directory = open_directory(f"{root}/{number}")
    if directory is None:
        return {}
    try:
        inums = _inums_outwards(directory, _MOST_LEVELS, "ns/pid_for_children")
    finally:
        os.close(directory)
    return dict(zip(inums, inums[1:]))


def _inums_outwards(directory: int, depth: int, link: str = "ns/pid") -> list[int]:
    """Return the inum of a task's namespace and those around it, ``depth`` of them or fewer.

    Fewer: it may not be read, or the kernel does not show this process its parent.
    """
    inum = read_inum(link, directory)
    inums = [] if inum is None else [inum]
    fd = None if inum is None or depth == 1 else open_file(link, os.O_RDONLY, directory)
    return inums if fd is None else [*inums, *inums_of(fd, depth)[1:]]


def inums_of(fd: int, depth: int = _MOST_LEVELS) -> list[int]:
    """Return the inum of an open namespace and of those around it, ``depth`` of them or fewer.

    Closes ``fd``.
    """
    inums = [os.fstat(fd).st_ino]
    while True:
        parent = _parent_fd(fd) if len(inums) < depth else None
        os.close(fd)
        if parent is None:
            return inums
        inums.append(os.fstat(parent).st_ino)
        fd = parent


def _parent_fd(fd: int) -> int | None:
    """Open the parent of the namespace of ``fd``; None: the kernel does not let this process.

    ENOTTY: a kernel before 4.9.
    """
    try:
        return fcntl.ioctl(fd, _NS_GET_PARENT)
    except OSError as error:
        expect(error, DENIED | {errno.ENOTTY})
        return None
