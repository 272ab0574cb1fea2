"""The pids files of cgroups: pids.max, and how many tasks count against it and were refused.

After a failed fork `CgroupFiles` reads them while a stream goes on. So it is bounded: the values of
a cgroup hold for a second, and few cgroups are read in a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence

from pidscope.errors import ProcError
from pidscope.escape import escape
from pidscope.host.cgroup import (
    CgroupMount,
    Directory,
    directories,
    parse_amount,
    parse_cgroup_mounts,
    parse_max_events,
    parse_pids_hierarchy,
    places,
)
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import read_whole
from pidscope.limits.tasks_limit import MAX, TasksLimit

_HOLDS_S = 1.0
_MOST_READ = 20  # cgroups, in a second
_MOST_WALKED = 1000  # directories, in a second

Limits = Sequence[TasksLimit]


def read_mounts(procfs: ProcFs, version: int) -> list[CgroupMount]:
    """Return where this process sees the hierarchy of a cgroup version that has the controller."""
    return parse_cgroup_mounts(read_whole(f"{procfs.root}/self/mountinfo") or b"", version)


def read_limits(found: Iterable[Directory]) -> list[TasksLimit]:
    """Read the limits of cgroups, except the root and those without the controller."""
    return [_read_limit(it) for it in found if os.path.lexists(it.directory + b"/pids.max")]


def _read_limit(it: Directory) -> TasksLimit:
    most, current, peak, events, local = (
        read_whole(it.directory + b"/pids." + name) or b""
        for name in (b"max", b"current", b"peak", b"events", b"events.local")
    )
    events_local = parse_max_events(local)
    return TasksLimit(
        escape(it.path),
        MAX if most.strip() == b"max" else parse_amount(most),
        parse_amount(current),
        peak=parse_amount(peak),
        # With a local file that cannot be read, what this one counts is not known.
        events=None if local and events_local is None else parse_max_events(events),
        events_local=events_local,
    )


class CgroupFiles:
    """Reads limits of cgroups by the id that events report.

    Args:
        procfs: the mount that has the numbers of events.
    """

    def __init__(self, procfs: ProcFs) -> None:
        self._procfs = procfs
        self._read: dict[int, Limits | None] = {}
        self._since_s = -_HOLDS_S
        self._to_walk = 0

    def limits(self, cgroup_id: int, by: int) -> Limits | None:
        """Return the limits of the cgroup and of those above it; None: they cannot be read.

        Args:
            cgroup_id: of the unified hierarchy (v2), where it is a directory's inode number.
            by: the forker's number; its cgroup file names the place, if it is still there.
        """
        now_s = time.monotonic()
        if now_s - self._since_s >= _HOLDS_S:
            self._read, self._since_s, self._to_walk = {}, now_s, _MOST_WALKED
        if cgroup_id not in self._read:
            if len(self._read) >= _MOST_READ:
                return None
            try:
                self._read[cgroup_id] = self._look(cgroup_id, by)
            except (ProcError, OSError):
                self._read[cgroup_id] = None
        return self._read[cgroup_id]

    def _look(self, cgroup_id: int, by: int) -> Limits | None:
        cgroup = read_whole(f"{self._procfs.root}/{by}/cgroup")
        place = None if cgroup is None else parse_pids_hierarchy(cgroup, "cgroup")
        if place is not None:
            mounts = read_mounts(self._procfs, place.version)
            found: list[Directory] = next(places(place.path, mounts), [])
            # In version 1 the id says nothing, so ``by`` may have become another process.
            if place.version == 1 or (found and _inode(found[0].directory) == cgroup_id):
                return read_limits(found) if found else None
        unified = read_mounts(self._procfs, 2)
        if read_mounts(self._procfs, 1) or not unified:
            return None  # the limits are in the other hierarchy, and the forker has exited
        path = self._find(cgroup_id, unified[0])
        return None if path is None else read_limits(directories(path, unified[0]))

    def _find(self, cgroup_id: int, mount: CgroupMount) -> bytes | None:
        """Search a mount for a cgroup, the outer ones first; None: not among the first."""
        if _inode(mount.point) == cgroup_id:
            return mount.root
        found = [mount.point]
        for directory in found:  # which grows
            if self._to_walk == 0:
                return None
            self._to_walk -= 1
            for name, inode in _below(directory):
                if inode == cgroup_id:
                    inside = directory[len(mount.point) :] + b"/" + name
                    return mount.root.rstrip(b"/") + inside
                found.append(directory + b"/" + name)
        return None


def _below(directory: bytes) -> Iterator[tuple[bytes, int]]:
    try:
        with os.scandir(directory) as entries:
            yield from [(it.name, it.inode()) for it in entries if it.is_dir(follow_symlinks=False)]
    except OSError:  # it has gone
        return


def _inode(directory: bytes) -> int | None:
    try:
        return os.stat(directory).st_ino  # noqa: PTH116 (bytes)
    except OSError:  # it has gone
        return None
