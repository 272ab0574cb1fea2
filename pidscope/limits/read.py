"""The limits of one process, read from a host's /proc, sysctls and cgroup file systems.

Nothing on the host is changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pidscope.errors import ProcError
from pidscope.host.cgroup import Directory, parse_amount, parse_pids_hierarchy, places
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import DENIED, GONE, expect, inum_of, read_whole
from pidscope.limits.bounds import Everyone, Facts, UserTasks
from pidscope.limits.numbers import (
    children_chain,
    has_field,
    is_adding,
    level_of,
    read_numbers,
    sysctl,
)
from pidscope.limits.pids_files import read_limits, read_mounts
from pidscope.limits.tasks_limit import MAX, RLIMIT_NPROC, THREADS_MAX, Amount, TasksLimit
from pidscope.limits.user_namespaces import PROC_USER_INIT_INO, Charged, UserNamespaces
from pidscope.snapshot import Mount

_PROC_USER_INIT_INO = PROC_USER_INIT_INO  # so that a test can have its own
_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE = 21, 24  # include/uapi/linux/capability.h

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
    exiting = procfs.is_exiting(number)
    if exiting and task.levels[-1].pid != 1:
        return None  # a number 1 shows that its namespace dies
    mount = procfs.mount()
    chain = children_chain(procfs, task, everyone, exiting)
    its_own, *outside = _users_tasks(procfs, number, user, everyone, mount)
    cgroups, known = _cgroups(procfs, number)
    return Facts(
        numbers=read_numbers(procfs, chain, everyone, mount),
        adding=is_adding(procfs, chain[0], task.ns, everyone, mount),
        level=level_of(chain[0], everyone) if mount.initial else None,
        diverted=None if chain[0] is None else chain[0] != task.ns,
        cgroups=cgroups,
        cgroups_known=known,
        user=its_own,
        threads=threads_limit(procfs),
        pid_namespaces=None,
        max_pid_namespaces=sysctl(procfs, "user/max_pid_namespaces")
        if user.user_ns == _inum(procfs, "self/ns/user")
        else None,
        users_outside=outside,
    )


def _file(procfs: ProcFs, path: str) -> bytes | None:
    return read_whole(f"{procfs.root}/{path}")


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
    return TasksLimit("this host", sysctl(procfs, "kernel/threads-max"), threads, THREADS_MAX)


# Users


def user_of(procfs: ProcFs, number: int) -> User | None:
    """Return a process's user; None: it has vanished."""
    match = _STATUS.search(_file(procfs, f"{number}/status") or b"")
    if match is None:
        return None
    user_ns = _inum(procfs, f"{number}/ns/user")
    return User(int(match[1]), int(match[2]), int(match[3], 16), user_ns)


def _users_tasks(
    procfs: ProcFs, number: int, user: User, everyone: Everyone, mount: Mount
) -> Iterator[UserTasks]:
    """Yield the limits of the user, and of those for whom its tasks count outside.

    The limit outside is that which the process had that made the user namespace; no file shows it.
    """
    processes = {task.pid for task in everyone.processes}
    spaces = UserNamespaces(procfs, _PROC_USER_INIT_INO)
    whole = everyone.nobody_hidden and mount.initial is True
    exempt, most = is_exempt(procfs, user), nproc(procfs, number)
    charged: Sequence[Charged | None] = [None]
    if user.user_ns is not None:
        charged, _ = spaces.charges(number, Charged(user.user_ns, user.uid))
    for place, it in enumerate(charged):
        tasks, all_seen = (None, False) if it is None else _count(procfs, it, processes, spaces)
        uid = user.uid if it is None else it.uid
        name = f"user {uid}" if place == 0 else f"user {uid} outside"
        limit = TasksLimit(name, most if place == 0 else None, tasks, RLIMIT_NPROC)
        yield UserTasks(limit, all_seen and whole, exempt)


def count_tasks(procfs: ProcFs, user: User, processes: Iterable[int]) -> tuple[int, bool]:
    """Count the tasks that count for a process's user; also return whether that is all."""
    if user.user_ns is None:
        return 0, False
    spaces = UserNamespaces(procfs, _PROC_USER_INIT_INO)
    return _count(procfs, Charged(user.user_ns, user.uid), processes, spaces)


def _count(
    procfs: ProcFs, charged: Charged, processes: Iterable[int], spaces: UserNamespaces
) -> tuple[int, bool]:
    """Count the tasks that count for one user of a namespace, in it and further inside.

    Before 5.14 there were no user namespaces in this: a task counted for its user alone.
    """
    tasks = by_uid = 0
    all_seen = _sees_real_uids(procfs)
    for process in processes:
        other = user_of(procfs, process)
        if other is None or other.user_ns is None:
            all_seen = False
            continue
        own = Charged(other.user_ns, other.uid)
        chain, whole = spaces.charges(process, own) if own.ns != charged.ns else ([own], True)
        tasks += other.threads if charged in chain else 0
        by_uid += other.threads if other.uid == charged.uid else 0
        all_seen = all_seen and (whole or charged in chain)
    without = None if tasks == by_uid else has_field("user_struct", "processes")
    if without is None:
        return min(tasks, by_uid), all_seen and tasks == by_uid
    return (by_uid if without else tasks), all_seen


def _sees_real_uids(procfs: ProcFs) -> bool:
    return _inum(procfs, "self/ns/user") == _PROC_USER_INIT_INO


def nproc(procfs: ProcFs, number: int) -> Amount:
    """Return RLIMIT_NPROC of a process."""
    match = _NPROC.search(_file(procfs, f"{number}/limits") or b"")
    if match is None:
        return None
    return MAX if match[1] == b"unlimited" else int(match[1])


def is_exempt(procfs: ProcFs, user: User) -> bool | None:
    """``INIT_USER``, which is uid 0 of the initial user namespace, or ``capable()`` there."""
    sees_real_uids = _sees_real_uids(procfs)
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
