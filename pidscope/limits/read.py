"""The limits of one process, read from a host's /proc, sysctls and cgroup file systems.

Nothing on the host is changed: in particular no process is forked into another namespace, though
since 6.14, where each namespace has its own pid_max, it can only be read from inside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from pidscope.errors import BtfError, ProcError
from pidscope.host.cgroup import Directory, parse_amount, parse_pids_hierarchy, places
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import DENIED, GONE, expect, inum_of, read_whole
from pidscope.limits.bounds import Everyone, Facts, PidNsNumbers, UserTasks, numbers_in_use
from pidscope.limits.pids_files import read_limits, read_mounts
from pidscope.limits.tasks_limit import MAX, RLIMIT_NPROC, THREADS_MAX, Amount, TasksLimit
from pidscope.query.process import Process
from pidscope.snapshot import Mount

_BTF = "/sys/kernel/btf/vmlinux"
_PROC_USER_INIT_INO = 0xEFFFFFFD  # include/linux/proc_ns.h
_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE = 21, 24  # include/uapi/linux/capability.h
_PF_EXITING = 0x00000004  # include/linux/sched.h

_STATUS = re.compile(
    rb"\nUid:\t([0-9]{1,10})\t.*\nThreads:\t([0-9]{1,10})\n.*\nCapEff:\t([0-9a-f]{1,16})\n",
    re.DOTALL,
)
_NPROC = re.compile(rb"\nMax processes +([0-9]{1,20}|unlimited) ")


class User(NamedTuple):
    """What matters of a process's status for RLIMIT_NPROC."""

    uid: int  # real, as the reader's user namespace has it
    threads: int
    effective: int  # capabilities
    user_ns: int | None


def fork_facts(procfs: ProcFs, number: int, everyone: Everyone) -> Facts | None:
    """Return what bounds the forks of process ``number``.

    None: it vanished, or is a zombie, which forks no more. Raises ProcError.
    """
    task = next((it for it in everyone.processes if it.tid == number), None)
    user = user_of(procfs, number)
    if task is None or task.state in "ZX" or user is None:
        return None
    mount = procfs.mount()
    chain = _chain(procfs, task, everyone)
    cgroups, known = _cgroups(procfs, number)
    return Facts(
        numbers=_numbers(procfs, chain, everyone, mount),
        adding=_is_adding(procfs, chain[0], everyone),
        level=_level(chain[0], everyone) if mount.initial else None,
        diverted=None if chain[0] is None else chain[0] != task.ns,
        cgroups=cgroups,
        cgroups_known=known,
        user=_user_tasks(procfs, number, user, everyone, mount),
        threads=threads_limit(procfs),
        pid_namespaces=None,
        max_pid_namespaces=_sysctl(procfs, "user/max_pid_namespaces")
        if user.user_ns == _inum(procfs, "self/ns/user")
        else None,
    )


def _file(procfs: ProcFs, path: str) -> bytes | None:
    return read_whole(f"{procfs.root}/{path}")


def _sysctl(procfs: ProcFs, name: str) -> int | None:
    return parse_amount(_file(procfs, f"sys/{name}") or b"")


def _inum(procfs: ProcFs, link: str) -> int | None:
    try:
        return inum_of(f"{procfs.root}/{link}")
    except OSError as error:
        expect(error, GONE | DENIED)
        return None


def threads_limit(procfs: ProcFs) -> TasksLimit:
    """Return the limit of this host's tasks, and how many there are.

    That is ``nr_threads``, which /proc/loadavg has after the slash (fs/proc/loadavg.c).
    """
    fields = (_file(procfs, "loadavg") or b"").split()
    threads = parse_amount(fields[3].partition(b"/")[2]) if len(fields) == 5 else None
    return TasksLimit("this host", _sysctl(procfs, "kernel/threads-max"), threads, THREADS_MAX)


# Numbers


def _chain(procfs: ProcFs, task: Process, everyone: Everyone) -> list[int | None]:
    """Return the namespace of a task's children, and those around it, outwards.

    None stands for one that is not known. If unshare or setns sends the children elsewhere, it is
    to a namespace inside the task's own (``pidns_install()``).
    """
    active: list[int | None] = [level.ns for level in reversed(task.levels)]
    children = procfs.children_ns(task.tid)
    if children == active[0]:  # or neither is known
        return active
    inner: list[int | None] = [children]
    while inner[-1] is not None and inner[-1] != active[0]:
        parent = everyone.ns_parents.get(inner[-1])
        inner.append(parent if parent not in inner else None)
    return [*inner[:-1], *active] if inner[-1] is not None else [*inner, *active]


def _level(ns: int | None, everyone: Everyone) -> int | None:
    """Return how deep a namespace is, by a task that lives in it; None: no such task is visible."""
    depths = (len(it.levels) - 1 for it in everyone.processes if it.ns == ns)
    return None if ns is None else next(depths, None)


def _numbers(
    procfs: ProcFs, chain: list[int | None], everyone: Everyone, mount: Mount
) -> list[PidNsNumbers]:
    own = mount.ns if mount.inside is None else mount.inside
    pid_max = _sysctl(procfs, "kernel/pid_max")  # of the reader's namespace, whatever mount it is
    everywhere = None if set(chain) <= {own} or _has_pid_max_per_ns() is not False else pid_max
    found = []
    for ns in chain:
        used = set() if ns is None else numbers_in_use(everyone.processes, ns)
        is_own = ns is not None and ns == own
        # A task outside the mount can use a number inside only as its group or session. In the
        # outermost, a task's number is known even if its namespace cannot be read.
        all_seen = everyone.all_read or (ns == mount.ns and everyone.nobody_hidden)
        all_seen = all_seen and ns is not None and mount.initial is True
        last_pid = procfs.last_pid() if is_own else None
        found.append(PidNsNumbers(ns, used, all_seen, pid_max if is_own else everywhere, last_pid))
    if not mount.initial:
        found.append(PidNsNumbers(None, (), False, None, None))  # those around the mount's
    return found


def _has_pid_max_per_ns() -> bool | None:
    """Return whether the kernel's types have a pid_max in each namespace; None: not known."""
    from pidscope.host.btf import Btf  # only for another namespace than the reader's

    data = read_whole(_BTF)
    try:
        btf = None if data is None else Btf(data)
    except BtfError:
        return None
    if btf is None or not btf.has("pid_namespace", "level"):
        return None
    return btf.has("pid_namespace", "pid_max")


def _is_adding(procfs: ProcFs, ns: int | None, everyone: Everyone) -> bool | None:
    """Return whether the number 1 of a namespace still has a thread that is not exiting.

    None: no number 1 is visible: it has exited, or there has not been one yet.
    """
    for task in everyone.processes:
        innermost = task.levels[-1]
        if ns is not None and innermost.ns == ns and innermost.tid == 1:
            flags = [_flags(procfs, tid) for tid in everyone.threads_of(task.pid)]
            return any(flag is not None and not flag & _PF_EXITING for flag in flags)
    return None


def _flags(procfs: ProcFs, tid: int) -> int | None:
    """Return field 9 of stat, behind a comm that may hold anything."""
    stat = _file(procfs, f"{tid}/stat") or b""
    fields = stat[stat.rfind(b")") + 1 :].split()
    return parse_amount(fields[6]) if len(fields) > 6 else None


# Users


def user_of(procfs: ProcFs, number: int) -> User | None:
    """Return a process's user; None: it has vanished."""
    match = _STATUS.search(_file(procfs, f"{number}/status") or b"")
    if match is None:
        return None
    user_ns = _inum(procfs, f"{number}/ns/user")
    return User(int(match[1]), int(match[2]), int(match[3], 16), user_ns)


def _user_tasks(
    procfs: ProcFs, number: int, user: User, everyone: Everyone, mount: Mount
) -> UserTasks:
    tasks, alike = count_tasks(procfs, user, {task.pid for task in everyone.processes})
    counted = tasks if user.user_ns is not None else None
    return UserTasks(
        TasksLimit(f"user {user.uid}", nproc(procfs, number), counted, RLIMIT_NPROC),
        alike and everyone.nobody_hidden and mount.initial is True,
        is_exempt(procfs, user),
    )


def count_tasks(procfs: ProcFs, user: User, processes: Iterable[int]) -> tuple[int, bool]:
    """Count the tasks of a process's user in its user namespace; also return whether that is all.

    Tasks in user namespaces inside it count for the user that made these
    (``inc_rlimit_ucounts()``, kernel/ucount.c); the namespace around it has a limit, too, which no
    file shows.
    """
    tasks = 0
    alike = user.user_ns == _PROC_USER_INIT_INO
    for process in processes:
        other = user_of(procfs, process)
        if other is not None and other.user_ns == user.user_ns is not None:
            tasks += other.threads if other.uid == user.uid else 0
        else:
            alike = False
    return tasks, alike


def nproc(procfs: ProcFs, number: int) -> Amount:
    """Return RLIMIT_NPROC of a process."""
    match = _NPROC.search(_file(procfs, f"{number}/limits") or b"")
    if match is None:
        return None
    return MAX if match[1] == b"unlimited" else int(match[1])


def is_exempt(procfs: ProcFs, user: User) -> bool | None:
    """``INIT_USER``, which is uid 0 of the initial user namespace, or ``capable()`` there."""
    sees_real_uids = _inum(procfs, "self/ns/user") == _PROC_USER_INIT_INO
    capable = bool(user.effective & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE))
    if (sees_real_uids and user.uid == 0) or (capable and user.user_ns == _PROC_USER_INIT_INO):
        return True
    if not sees_real_uids or (capable and user.user_ns is None):
        return None
    return False


# Cgroups


def _cgroups(procfs: ProcFs, number: int) -> tuple[list[TasksLimit], bool]:
    """Return the cgroups upwards that have a limit to be set, and whether no other is above."""
    try:
        data = procfs.read_cgroup(number)
        path = f"{procfs.root}/{number}/cgroup"
        place = None if data is None else parse_pids_hierarchy(data, path)
    except ProcError:
        return [], False
    if place is None:
        return [], data is not None  # a kernel without the controller
    for found in places(place.path, read_mounts(procfs, place.version)):
        if all(map(_is_directory, found)):
            to_the_root = found[-1].path == b"/"
            return read_limits(found), to_the_root and procfs.sees_cgroups_whole()
    return [], False


def _is_directory(it: Directory) -> bool:
    return os.path.isdir(it.directory)  # noqa: PTH112 (bytes)
