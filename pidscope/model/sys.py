"""Groups, sessions and questions about oneself: kernel/sys.c; and the sysctls of PID namespaces.

A group or a session is a struct pid that processes hang on, not a number: a process can be in one
that has no number where it lives, and then reads 0.
"""

from __future__ import annotations

import errno

from pidscope.model.pid import (
    PIDTYPE_PGID,
    PIDTYPE_SID,
    Pid,
    change_pid,
    find_task_by_vpid,
    find_vpid,
    free_pids,
    is_child_reaper,
    pid_task,
    pid_vnr,
    task_active_pid_ns,
    task_pgrp,
    task_pid_vnr,
    task_session,
    task_tgid_vnr,
)
from pidscope.model.pid_namespace import PID_MAX_LIMIT, PidNamespace
from pidscope.model.sched import (
    PF_FORKNOEXEC,
    TaskStruct,
    same_thread_group,
    thread_group_leader,
)


def sys_setpgid(current: TaskStruct, pid: int, pgid: int) -> int:
    """setpgid(2), of itself or a child that has not exec'd; raises OSError."""
    group_leader = current.group_leader
    pid = pid or task_pid_vnr(group_leader, current)
    pgid = pgid or pid
    if pgid < 0:
        raise OSError(errno.EINVAL, "a group's number is not negative")
    p = find_task_by_vpid(pid, current)
    if p is None:
        raise OSError(errno.ESRCH, f"no task has number {pid} here")
    _may_setpgid(p, group_leader)
    pgrp = p.thread_pid
    if pgid != pid:
        pgrp = find_vpid(pgid, current)
        g = pid_task(pgrp, PIDTYPE_PGID)
        if g is None or task_session(g) is not task_session(group_leader):
            raise OSError(errno.EPERM, f"no group {pgid} in this session")
    assert pgrp is not None
    pids: list[Pid] = []
    if task_pgrp(p) is not pgrp:
        change_pid(pids, p, PIDTYPE_PGID, pgrp)
    free_pids(pids)
    return 0


def _may_setpgid(p: TaskStruct, group_leader: TaskStruct) -> None:
    """Refuse a task whose group the caller may not change; raises OSError."""
    if not thread_group_leader(p):
        raise OSError(errno.EINVAL, "a thread has its process's group")
    if same_thread_group(p.real_parent, group_leader):
        if task_session(p) is not task_session(group_leader):
            raise OSError(errno.EPERM, "the child is in another session")
        if not p.flags & PF_FORKNOEXEC:
            raise OSError(errno.EACCES, "the child has exec'd")
    elif p is not group_leader:
        raise OSError(errno.ESRCH, "it is not a child")
    if p.signal.leader:
        raise OSError(errno.EPERM, "a session leader stays in its group")


def sys_setsid(current: TaskStruct) -> int:
    """setsid(2): its number for the caller; raises OSError EPERM for a group's leader."""
    group_leader = current.group_leader
    sid = group_leader.thread_pid
    assert sid is not None
    if group_leader.signal.leader or pid_task(sid, PIDTYPE_PGID) is not None:
        raise OSError(errno.EPERM, "its number is a group's already")
    group_leader.signal.leader = True
    pids: list[Pid] = []
    if task_session(group_leader) is not sid:
        change_pid(pids, group_leader, PIDTYPE_SID, sid)
    if task_pgrp(group_leader) is not sid:
        change_pid(pids, group_leader, PIDTYPE_PGID, sid)
    free_pids(pids)
    return pid_vnr(sid, current)


def sys_getpid(current: TaskStruct) -> int:
    """getpid(2): the thread group's number where the process lives."""
    return task_tgid_vnr(current, current)


def sys_gettid(current: TaskStruct) -> int:
    """gettid(2): the thread's own."""
    return task_pid_vnr(current, current)


def sys_getppid(current: TaskStruct) -> int:
    """getppid(2): 0 if the parent is outside."""
    return task_tgid_vnr(current.real_parent, current)


def sys_getpgid(current: TaskStruct, pid: int = 0) -> int:
    """getpgid(2): 0 if the group is outside; raises OSError ESRCH."""
    return pid_vnr(task_pgrp(_find(current, pid)), current)


def sys_getsid(current: TaskStruct, pid: int = 0) -> int:
    """getsid(2): 0 if the session is outside; raises OSError ESRCH."""
    return pid_vnr(task_session(_find(current, pid)), current)


def _find(current: TaskStruct, nr: int) -> TaskStruct:
    task = find_task_by_vpid(nr, current) if nr else current
    if task is None:
        raise OSError(errno.ESRCH, f"no task has number {nr} here")
    return task


def prctl_set_child_subreaper(current: TaskStruct, on: int) -> int:
    """prctl(PR_SET_CHILD_SUBREAPER): descendants learn that a subreaper may be above them."""
    current.signal.is_child_subreaper = bool(on)
    if on:
        informed = list(current.signal.threads)
        while informed:
            for p in informed.pop().children:
                if not p.signal.has_child_subreaper and not _is_init(p):
                    p.signal.has_child_subreaper = True
                    informed += p.signal.threads
    return 0


def _is_init(p: TaskStruct) -> bool:
    return p.thread_pid is not None and is_child_reaper(p.thread_pid)


# Sysctls: which namespace is meant is the caller's, whatever mount of /proc it writes to


def _own(current: TaskStruct) -> PidNamespace:
    ns = task_active_pid_ns(current)
    assert ns is not None
    return ns


def read_pid_max(current: TaskStruct) -> int:
    """``kernel.pid_max``: numbers are below it."""
    return _own(current).pid_limit


def write_pid_max(current: TaskStruct, value: int) -> int:
    """Set it; raises OSError EINVAL outside its bounds."""
    kernel = current.kernel
    if not kernel.pid_max_min <= value <= PID_MAX_LIMIT:
        raise OSError(errno.EINVAL, f"{kernel.pid_max_min} to {PID_MAX_LIMIT}")
    ns = _own(current) if kernel.features.pid_max_per_ns else kernel.init_pid_ns
    ns.pid_max = value
    return 0


def read_ns_last_pid(current: TaskStruct) -> int:
    """``kernel.ns_last_pid``: the last number given out."""
    return _own(current).allocator.last_pid


def write_ns_last_pid(current: TaskStruct, value: int) -> int:
    """``pid_ns_ctl_handler()``: go on behind this number; raises OSError EINVAL beyond pid_max."""
    ns = _own(current)
    if not 0 <= value <= ns.pid_limit:
        raise OSError(errno.EINVAL, f"0 to {ns.pid_limit}")
    ns.allocator.last_pid = value
    return 0


def write_max_pid_namespaces(current: TaskStruct, value: int) -> int:
    """``user.max_pid_namespaces``: how many may be made."""
    if value < 0:
        raise OSError(errno.EINVAL, "not negative")
    current.kernel.max_pid_namespaces = value
    return 0
