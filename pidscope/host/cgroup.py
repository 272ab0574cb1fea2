"""The place of a process's cgroups: pure parsers of /proc/N/cgroup, mountinfo and the pids files.

The pids controller is in one hierarchy only: a v1 one of its own, or the unified one (v2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.errors import ProcError
from pidscope.host.proc_parse import unmangle

_DELETED = b" (deleted)"
_NUMBER = re.compile(rb"[0-9]{1,20}")  # of 64 bits


class Hierarchy(NamedTuple):
    """A process's place in the hierarchy that has the pids controller."""

    version: int
    path: bytes  # from the root of the reader's cgroup namespace; /.. begins what is outside it


class CgroupMount(NamedTuple):
    """A mounted hierarchy: its cgroup ``root`` is the directory ``point``."""

    root: bytes
    point: bytes


class Directory(NamedTuple):
    """One cgroup, and where its files are."""

    path: bytes
    directory: bytes


def parse_pids_hierarchy(data: bytes, path: str) -> Hierarchy | None:
    """Return the place of a process by its ``/proc/N/cgroup``; None: there is no such controller.

    ``proc_cgroup_show()`` (kernel/cgroup/cgroup.c): no newline can be in a cgroup's name. Raises
    ProcError, naming ``path``.
    """
    unified: Hierarchy | None = None
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        fields = line.split(b":", 2)
        if len(fields) != 3 or not fields[2].startswith(b"/"):
            raise ProcError(path, number, line.decode("utf-8", "backslashreplace"), "not a cgroup")
        if b"pids" in fields[1].split(b","):
            return Hierarchy(1, fields[2].removesuffix(_DELETED))
        if fields[:2] == [b"0", b""]:
            unified = Hierarchy(2, fields[2].removesuffix(_DELETED))
    return unified


def parse_cgroup_mounts(data: bytes, version: int) -> list[CgroupMount]:
    """Return where a ``/proc/N/mountinfo`` has the hierarchy, that with most of it first."""
    mounts = [found for line in data.split(b"\n") for found in _cgroup_mount(line, version)]
    return sorted(mounts, key=lambda mount: len(mount.root))


def _cgroup_mount(line: bytes, version: int) -> list[CgroupMount]:
    before, dash, after = line.partition(b" - ")
    fields, kind = before.split(b" "), after.split(b" ")
    if not dash or len(fields) < 5 or len(kind) < 3:
        return []
    is_it = kind[0] == b"cgroup2" if version == 2 else kind[0] == b"cgroup"
    if not is_it or (version == 1 and b"pids" not in kind[2].split(b",")):
        return []
    return [CgroupMount(unmangle(fields[3]), unmangle(fields[4]))]


def directories(path: bytes, mount: CgroupMount) -> list[Directory]:
    """Return a cgroup and all above it, as far as the mount shows them; none: it does not."""
    root = mount.root.rstrip(b"/")
    if path != root and not path.startswith(root + b"/"):
        return []
    below = [name for name in path[len(root) :].split(b"/") if name]
    if b".." in below:
        return []
    found = []
    for depth in range(len(below), -1, -1):
        inside = b"".join(b"/" + name for name in below[:depth])
        point = mount.point.rstrip(b"/")
        found.append(Directory(root + inside or b"/", point + inside or b"/"))
    return found


def places(path: bytes, mounts: Iterable[CgroupMount]) -> Iterator[list[Directory]]:
    """Yield the `directories` of a cgroup in each mount that shows it."""
    return filter(None, (directories(path, mount) for mount in mounts))


def parse_amount(data: bytes) -> int | None:
    """Return the number in pids.current, pids.peak or pids.max; None: ``max``, or no number."""
    match = _NUMBER.fullmatch(data.strip())
    return int(match[0]) if match is not None else None


def parse_max_events(data: bytes) -> int | None:
    """Return ``max`` of pids.events or pids.events.local; None: there is none."""
    for line in data.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"max":
            return parse_amount(value)
    return None
