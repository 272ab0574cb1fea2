"""The path of a cgroup of the default hierarchy, by its id, while it is there.

A cgroup's id is that of its directory's node in kernfs, by which open_by_handle_at() opens it: one
system call, whatever the number of cgroups (``kernfs_fh_to_dentry()``, fs/kernfs/mount.c; observed
on 5.10 to 7.3).
"""

from __future__ import annotations

import ctypes
import os
import struct

from pidscope.host.cgroup import parse_cgroup_mounts
from pidscope.host.cgroup_files import UNIFIED
from pidscope.host.proc_files import read_whole

_FILEID_KERNFS = 0xFE
_HANDLE = struct.Struct("=IiQ")  # struct file_handle: bytes, type, the id


class CgroupPaths:
    """The paths that were found so far.

    Args:
        proc: where /proc is mounted.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        mounts = parse_cgroup_mounts(read_whole(f"{proc}/self/mountinfo") or b"", 2)
        point = next((it.point for it in mounts if it.root == b"/"), None)
        self._point = b"" if point is None else os.fsencode(point)
        self._mount = -1
        if point is not None:
            self._mount = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._library = ctypes.CDLL(None, use_errno=True)

    def path(self, cgroup_id: int) -> str | None:
        """Return its path from the root, escaped as file names are; None: it is not there."""
        if self._mount < 0:
            return None
        handle = _HANDLE.pack(8, _FILEID_KERNFS, cgroup_id)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = self._library.open_by_handle_at(self._mount, handle, flags)
        if fd < 0:
            return None
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 (pathlib is slow to import)
        except OSError:
            return None
        finally:
            os.close(fd)
        path = path.removeprefix(os.fsdecode(self._point).rstrip("/")) or "/"
        return None if path.endswith(" (deleted)") else path

    def id_of(self, number: int) -> int:
        """Return the id of a process's cgroup; 0: it is not known, as of one that was removed.

        It is the inode number of the directory that ``/proc/N/cgroup`` names (``kernfs_ino()``,
        include/linux/kernfs.h), if that directory is still what is found by it.
        """
        data = b"\n" + (read_whole(f"{self._proc}/{number}/cgroup") or b"")
        _, line, path = data.removesuffix(b"\n").rpartition(UNIFIED)
        if not line or self._mount < 0:
            return 0
        try:
            found = os.stat(b"." + path, dir_fd=self._mount).st_ino
        except (OSError, ValueError):
            return 0
        return found if self.path(found) == os.fsdecode(path) else 0

    def close(self) -> None:
        """Close what is open."""
        if self._mount >= 0:
            os.close(self._mount)
            self._mount = -1
