"""The birth of tasks: kernel/fork.c.

``copy_process()`` has a point of no return. Before it, everything can fail, even after
``alloc_pid()``: then the numbers are burnt, since cursors do not move back. Behind it, under
tasklist_lock, all pointers are set first, and then the task is attached: TGID, PGID, SID, and PID
last, from when on /proc shows it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from pidscope.model.cgroup import pids_can_fork
from pidscope.model.nsproxy import CLONE_NEWPID, NsProxy, copy_namespaces
from pidscope.model.pid import (
    PIDTYPE_PGID,
    PIDTYPE_PID,
    PIDTYPE_SID,
    PIDTYPE_TGID,
    Pid,
    alloc_pid,
    attach_pid,
    free_pid,
    is_child_reaper,
    pid_nr,
    pid_vnr,
    task_active_pid_ns,
    task_pgrp,
    task_session,
)
from pidscope.model.sched import PF_FORKNOEXEC, PF_KTHREAD, SignalStruct, TaskStruct

CLONE_VM = 0x00000100
CLONE_SIGHAND = 0x00000800
CLONE_PIDFD = 0x00001000
CLONE_VFORK = 0x00004000
CLONE_PARENT = 0x00008000
CLONE_THREAD = 0x00010000
CLONE_AUTOREAP = 0x400000000  # for clone3() only, since 7.1

MAX_SET_TID = 32  # MAX_PID_NS_LEVEL


def copy_process(
    current: TaskStruct, flags: int, set_tid: Sequence[int] = (), bad_pidfd: bool = False
) -> TaskStruct:
    """Make a task that is all but running.

    Args:
        current: the task that forks.
        flags: of ``kernel_clone_args``.
        set_tid: the wanted numbers, innermost first.
        bad_pidfd: the pointer for CLONE_PIDFD faults, which is found out after ``alloc_pid()``.

    Raises:
        OSError: EINVAL, EAGAIN, ENOMEM, ENOSPC, EEXIST, EFAULT.
    """
    try:
        check_flags(current, flags)
        nsproxy = copy_namespaces(flags, current)
        try:
            pid = reserve(nsproxy, current, set_tid, bad_pidfd)
        except OSError:
            nsproxy.put()
            raise
    except OSError as error:
        current.kernel.trace.copy_process_failed(current, flags, error.errno or 0)
        raise
    p = make_task(current, flags, pid, nsproxy)
    if flags & CLONE_THREAD:
        p.signal.threads[p] = None
        attach_pid(p, PIDTYPE_PID)
    else:
        link(p, current, pid)
    current.kernel.total_forks += 1
    current.kernel.trace.copy_process(p, flags)
    return p


def check_flags(current: TaskStruct, flags: int) -> None:
    """Refuse what cannot go together; raises OSError EINVAL."""
    if flags & CLONE_PARENT and current.signal.unkillable:
        raise OSError(errno.EINVAL, "an init's sibling would be nobody's to reap")
    if flags & CLONE_PARENT and current.signal.autoreap:  # observed on 7.3
        raise OSError(errno.EINVAL, "a sibling would have no exit signal, and not reap itself")
    if flags & CLONE_AUTOREAP and flags & (CLONE_THREAD | CLONE_PARENT):
        raise OSError(errno.EINVAL, "what reaps itself is its own process, and its forker's child")
    if not flags & CLONE_THREAD:
        return
    assert current.nsproxy is not None
    if flags & CLONE_NEWPID or (
        current.nsproxy.pid_ns_for_children is not task_active_pid_ns(current)
    ):
        raise OSError(errno.EINVAL, "a thread lives where its process does")
    if flags & CLONE_PIDFD and not current.kernel.features.thread_pidfd:
        raise OSError(errno.EINVAL, "a pidfd is a process's")


def reserve(nsproxy: NsProxy, current: TaskStruct, set_tid: Sequence[int], bad_pidfd: bool) -> Pid:
    """Take the numbers, and what else may still be refused; raises OSError, the numbers freed."""
    pid = alloc_pid(nsproxy.pid_ns_for_children, set_tid)
    try:
        if bad_pidfd:
            raise OSError(errno.EFAULT, "the pidfd's pointer faults")
        pids_can_fork(current)
    except OSError:
        free_pid(pid)
        raise
    return pid


def make_task(current: TaskStruct, flags: int, pid: Pid, nsproxy: NsProxy) -> TaskStruct:
    """``dup_task_struct()`` and what is set in the copy later, all but its place among others.

    What can fail has not: here the copy is made only once it has its numbers.
    """
    kernel = current.kernel
    is_thread = flags & CLONE_THREAD
    p = TaskStruct(kernel, current.signal if is_thread else SignalStruct(), current.comm)
    p.thread_pid = pid
    p.pid = pid_nr(pid)
    p.nsproxy = nsproxy
    p.cgroup = current.cgroup
    p.flags = PF_FORKNOEXEC | (current.flags & PF_KTHREAD)
    p.start_boottime = kernel.now_ns
    p.signal.live += 1
    if is_thread:
        p.group_leader = current.group_leader
        p.exit_signal = -1
    elif flags & CLONE_PARENT:
        p.exit_signal = current.group_leader.exit_signal
    elif flags & CLONE_AUTOREAP:
        p.exit_signal = 0  # clone3() refuses any other
        p.signal.autoreap = True
    p.tgid = p.group_leader.pid
    p.real_parent = current.real_parent if flags & (CLONE_PARENT | CLONE_THREAD) else current
    return p


def link(p: TaskStruct, current: TaskStruct, pid: Pid) -> None:
    """Give a new process its group, its session, its parent, and attach it."""
    signal = p.signal
    signal.pids[PIDTYPE_TGID] = pid
    signal.pids[PIDTYPE_PGID] = task_pgrp(current)
    signal.pids[PIDTYPE_SID] = task_session(current)
    if is_child_reaper(pid):
        pid.numbers[-1].ns.child_reaper = p
        signal.unkillable = True
    above = p.real_parent.signal
    signal.has_child_subreaper = above.has_child_subreaper or above.is_child_subreaper
    p.real_parent.children[p] = None
    signal.threads[p] = None
    for pid_type in (PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_PID):
        attach_pid(p, pid_type)


def kernel_clone(
    current: TaskStruct, flags: int, set_tid: Sequence[int] = (), bad_pidfd: bool = False
) -> int:
    """Fork; the new task's number in the caller's active namespace. Raises OSError."""
    p = copy_process(current, flags, set_tid, bad_pidfd)
    if flags & CLONE_VFORK:
        p.vfork_done, current.vfork_child = current, p
    return pid_vnr(p.thread_pid, current)


def mm_release(task: TaskStruct) -> None:
    """It lets go of the memory it borrowed: by an exec, or by its end."""
    if task.vfork_done is not None:
        task.vfork_done.vfork_child = None
        task.vfork_done = None


def sys_fork(current: TaskStruct) -> int:
    """fork(2); raises OSError."""
    return kernel_clone(current, 0)


def sys_vfork(current: TaskStruct) -> int:
    """vfork(2): the caller is blocked until the child execs or ends; raises OSError."""
    return kernel_clone(current, CLONE_VFORK | CLONE_VM)


def sys_clone3(
    current: TaskStruct, flags: int, set_tid: Sequence[int] = (), bad_pidfd: bool = False
) -> int:
    """clone3(2), and clone(2); raises OSError."""
    if len(set_tid) > MAX_SET_TID:
        raise OSError(errno.EINVAL, f"{len(set_tid)} numbers")
    if flags & CLONE_AUTOREAP and not current.kernel.features.autoreap:
        raise OSError(errno.EINVAL, "no such flag")  # clone3_args_valid(): no copy_process()
    if flags & CLONE_THREAD:
        flags |= CLONE_VM | CLONE_SIGHAND
    if bad_pidfd:
        flags |= CLONE_PIDFD
    return kernel_clone(current, flags, set_tid, bad_pidfd)
