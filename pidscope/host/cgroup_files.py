"""The content of ``/proc/N/cgroup`` of each process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pidscope.errors import ProcError
from pidscope.host.cgroup import parse_cgroup_mounts
from pidscope.host.proc_files import read_file, read_whole
from pidscope.snapshot import Unread

UNIFIED = b"\n0::"  # the line of hierarchy 0, if there is one, is the last
_V2 = b"0::"


class CgroupFiles:
    """What was read so far, by process number, and what cannot be read."""

    def __init__(self) -> None:
        self.found: dict[int, bytes] = {}
        self.unread: list[Unread] = []

    def read(self, number: int, path: str, directory: int | None = None) -> bytes | None:
        """Read that of a process, below the descriptor of its directory if there is one."""
        try:
            data = read_file(path, until=UNIFIED, directory=directory)
        except ProcError as error:
            self.unread.append(Unread(number, "cgroup", error.reason))
            return None
        if data is not None:
            self.found[number] = data
        return data

    def read_by_id(self, root: str, ids: Mapping[int, int]) -> None:
        """Read one file a cgroup of the /proc at ``root``, given the id of each process's.

        Where v2 is the only version, the file is the same for all processes of a cgroup. The one
        whose file is read may have been moved meanwhile, so it is the others' only if the directory
        that it names has the id as its inode number (``kernfs_ino()``, include/linux/kernfs.h).
        Otherwise each one's own is read.
        """
        mounted = _mounted(root)
        members: dict[int, list[int]] = {}
        for number, cgroup_id in ids.items():
            members.setdefault(cgroup_id, []).append(number)
        for cgroup_id, (first, *others) in members.items():
            data = self.read(first, f"{root}/{first}/cgroup")
            if others and data is not None and mounted and _is_of(data, mounted, cgroup_id):
                self.found.update(dict.fromkeys(others, data))
                continue
            for number in others:
                self.read(number, f"{root}/{number}/cgroup")


def _mounted(root: str) -> bytes | None:
    """Return where the whole hierarchy of v2 is; None: it is not, or is not the only one."""
    if not (read_whole(f"{root}/self/cgroup") or b"").startswith(_V2):
        return None
    mounts = parse_cgroup_mounts(read_whole(f"{root}/self/mountinfo") or b"", 2)
    return next((mount.point for mount in mounts if mount.root == b"/"), None)


def _is_of(data: bytes, mounted: bytes, cgroup_id: int) -> bool:
    path = data.removeprefix(_V2).removesuffix(b"\n")
    try:
        return data.startswith(_V2) and os.stat(mounted + path).st_ino == cgroup_id  # noqa: PTH116
    except (OSError, ValueError):  # removed: ` (deleted)` is behind its path
        return False
