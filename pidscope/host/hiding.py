"""What of a /proc is hidden from this reader: by a mount option, or by what is mounted over it.

Pure, but for what reads the two files. A process that is hidden looks like one that has ended, so
that a judge of /proc has to know beforehand.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from pidscope.host.proc_files import read_whole
from pidscope.host.proc_parse import unmangle

CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
# proc_show_options() (fs/proc/root.c) prints words since 5.8 and digits before.
_OF_PTRACE = frozenset({"4", "ptraceable"})  # whatever the group
_SHOWN_ALL = frozenset({b"0", b"off"})


class ProcMount(NamedTuple):
    """A mount of proc as mountinfo has it."""

    hidepid: str = ""  # as it was given; empty: it hides no process
    subset: str = ""
    group: int = 0  # which sees all the same, unless it is 0 (gid=)
    covered: frozenset[int] = frozenset()  # the processes whose files another mount covers
    files: frozenset[str] = frozenset()  # the other names that one covers: lxcfs, stat and loadavg


def parse_proc_mount(mountinfo: bytes, point: str) -> ProcMount:
    """Return what a ``/proc/N/mountinfo`` has of the topmost mount at ``point``.

    ``show_mountinfo()`` (fs/proc_namespace.c). Lines of another form are left out.
    """
    found, wanted = ProcMount(), os.fsencode(point)
    covered: set[bytes] = set()
    inside = wanted.rstrip(b"/") + b"/"
    for line in mountinfo.split(b"\n"):
        before, dash, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")
        if not dash or len(fields) < 5 or len(kind) < 3:
            continue
        place = unmangle(fields[4])
        if place == wanted:
            found = ProcMount(*_options(kind[2])) if kind[0] == b"proc" else ProcMount()
            covered.clear()  # they are below what is covered now itself
        elif place.startswith(inside):
            covered.add(place[len(inside) :].split(b"/")[0])
    processes = {it for it in covered if it.isdigit() and len(it) <= 10}
    files = frozenset(map(os.fsdecode, covered - processes))
    return found._replace(covered=frozenset(map(int, processes)), files=files)


def _options(text: bytes) -> tuple[str, str, int]:
    options = dict(option.partition(b"=")[::2] for option in text.split(b","))
    hidepid, gid = options.get(b"hidepid", b""), options.get(b"gid", b"")
    hidepid = b"" if hidepid in _SHOWN_ALL else hidepid
    subset = options.get(b"subset", b"").decode("ascii", "replace")
    return hidepid.decode("ascii", "replace"), subset, int(gid) if gid.isdigit() else 0


def read_proc_mount(root: str) -> ProcMount:
    """Return the mount of proc at a directory; of a directory that is no mount nothing is known."""
    mountinfo = read_whole(f"{root}/self/mountinfo")
    return ProcMount() if not mountinfo else parse_proc_mount(mountinfo, os.path.realpath(root))


def is_hiding(mount: ProcMount, root: str) -> bool:
    """Return whether hidepid applies to this process (``has_pid_permissions()``, fs/proc/base.c).

    Root is not exempt as such: it is CAP_SYS_PTRACE that counts.
    """
    if not mount.hidepid or may_ptrace(root):
        return False
    groups = {os.getegid(), *os.getgroups()}
    return mount.hidepid in _OF_PTRACE or mount.group not in groups


def may_ptrace(root: str) -> bool:
    """Return whether this process has CAP_SYS_PTRACE, which ``ptrace_may_access()`` asks for."""
    status = read_whole(f"{root}/self/status") or b""
    digits = status.partition(b"\nCapEff:\t")[2].partition(b"\n")[0]
    return bool(digits) and bool(int(digits, 16) >> CAP_SYS_PTRACE & 1)
