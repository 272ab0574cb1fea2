"""pids.max of the cgroups around a task whose fork failed, as the cgroup file systems tell.

Read while a stream goes on, so it is bounded: what was read of a cgroup holds for a second, and in
a second few are read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

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
)
from pidscope.limits.failure import TasksLimit

_HOLDS_S = 1.0
_MOST_READ = 20  # cgroups, in a second
_MOST_WALKED = 1000  # directories, in a second

Limits = Sequence[TasksLimit]


class CgroupFiles:
    """Reads limits of cgroups by the id that events tell.

    Args:
        proc: where the /proc is mounted that has the numbers of events.
    """

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._read: dict[int, Limits | None] = {}
        self._since_s = -_HOLDS_S
        self._to_walk = 0

    def limits(self, cgroup_id: int, by: int) -> Limits | None:
        """Return the limits of the cgroup and of those above it; None: they cannot be read.

        Args:
            cgroup_id: of the unified hierarchy (v2), where it is a directory's inode number.
            by: who forked; its cgroup file names the place, if it is still there.
        """
        now_s = time.monotonic()
        if now_s - self._since_s >= _HOLDS_S:
            self._read, self._since_s, self._to_walk = {}, now_s, _MOST_WALKED
        if cgroup_id not in self._read:
            if len(self._read) >= _MOST_READ:
                return None
            self._read[cgroup_id] = self._look(cgroup_id, by)
        return self._read[cgroup_id]

    def _look(self, cgroup_id: int, by: int) -> Limits | None:
        cgroup, mounts = _file(f"{self._proc}/{by}/cgroup"), _file(f"{self._proc}/self/mountinfo")
        if mounts is None:
            return None
        try:
            place = None if cgroup is None else parse_pids_hierarchy(cgroup, "cgroup")
        except ProcError:
            return None
        if place is not None and place.version == 1:
            # The id is of another hierarchy, so that it is still the same process is not checked.
            return _of_path(place.path, parse_cgroup_mounts(mounts, 1))
        unified = parse_cgroup_mounts(mounts, 2)
        if place is not None and _is_one(cgroup_id, place.path, unified):
            return _of_path(place.path, unified)
        if parse_cgroup_mounts(mounts, 1) or not unified:
            return None  # the limits are in the other hierarchy, and who forked has gone
        path = self._find(cgroup_id, unified[0])
        return None if path is None else _of_path(path, unified[:1])

    def _find(self, cgroup_id: int, mount: CgroupMount) -> bytes | None:
        """Look for a cgroup in a mount, the outer ones first; None: not among the first."""
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


def _file(path: str | bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _below(directory: bytes) -> Iterator[tuple[bytes, int]]:
    try:
        with os.scandir(directory) as entries:
            yield from [(it.name, it.inode()) for it in entries if it.is_dir(follow_symlinks=False)]
    except OSError:  # it has gone
        return


def _is_one(cgroup_id: int, path: bytes, mounts: Sequence[CgroupMount]) -> bool:
    for mount in mounts:
        for it in directories(path, mount)[:1]:
            return _inode(it.directory) == cgroup_id
    return False


def _inode(directory: bytes) -> int | None:
    try:
        return os.stat(directory).st_ino  # noqa: PTH116 (bytes)
    except OSError:  # it has gone
        return None


def _of_path(path: bytes, mounts: Sequence[CgroupMount]) -> Limits | None:
    for mount in mounts:
        found = directories(path, mount)
        if found:
            return [limit for it in found for limit in _limit(it)]
    return None


def _limit(it: Directory) -> Iterator[TasksLimit]:
    """Yield nothing for one without the files, as the root is."""
    most, current, events, local = (
        _file(it.directory + name)
        for name in (b"/pids.max", b"/pids.current", b"/pids.events", b"/pids.events.local")
    )
    if most is None:
        return
    limit = TasksLimit(escape(it.path), parse_amount(most), parse_amount(current or b""))
    # The local file came when the limit's cgroup began to count instead of the forker's (6.11,
    # unless it is mounted with pids_localevents).
    if local is not None:
        yield limit._replace(refused=parse_max_events(local) or 0)
    else:
        yield limit._replace(refused_own=parse_max_events(events or b"") or 0)
