"""A new program in an old process: fs/exec.c.

If a thread other than the leader execs, it takes over the leader's struct pid: the process keeps
its number at every level, and the thread's own numbers vanish.
"""

from __future__ import annotations

from pidscope.model.exit import release_task, zap_other_threads
from pidscope.model.fork import mm_release
from pidscope.model.pid import (
    PIDTYPE_PGID,
    PIDTYPE_SID,
    PIDTYPE_TGID,
    exchange_tids,
    transfer_pid,
)
from pidscope.model.sched import (
    EXIT_DEAD,
    PF_FORKNOEXEC,
    SIGCHLD,
    TaskStruct,
    thread_group_leader,
)

TASK_COMM_LEN = 16


def sys_execve(current: TaskStruct, comm: bytes) -> int:
    """execve(2) of a program called ``comm``; the calling thread is the only one left."""
    old_pid = current.pid
    de_thread(current)
    mm_release(current)
    current.flags &= ~PF_FORKNOEXEC
    set_task_comm(current, comm)
    current.kernel.trace.sched_process_exec(current, old_pid)
    return 0


def de_thread(tsk: TaskStruct) -> None:
    """Kill the other threads, and become the leader if it is not."""
    zap_other_threads(tsk)
    tsk.kernel.come_to_rest()
    if not thread_group_leader(tsk):
        take_over(tsk, tsk.group_leader)
    tsk.exit_signal = SIGCHLD  # from now on it is a child to wait for, whatever its forker chose


def take_over(tsk: TaskStruct, leader: TaskStruct) -> None:
    """Become the leader of a process whose leader is a zombie, and whose other threads are gone."""
    tsk.start_boottime = leader.start_boottime
    tsk.kernel.other_cpus()  # its stat has the leader's start already, and there is no record yet
    exchange_tids(tsk, leader)
    for pid_type in (PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID):
        transfer_pid(leader, tsk, pid_type)
    siblings = list(leader.real_parent.children)
    leader.real_parent.children.clear()
    leader.real_parent.children.update({tsk if p is leader else p: None for p in siblings})
    tsk.group_leader = leader.group_leader = tsk
    tsk.exit_signal, leader.exit_signal = SIGCHLD, -1
    leader.exit_state = EXIT_DEAD
    release_task(leader)


def set_task_comm(task: TaskStruct, comm: bytes) -> int:
    """``__set_task_comm()``: 15 bytes are kept; also prctl(PR_SET_NAME)."""
    comm = comm[: TASK_COMM_LEN - 1].partition(b"\0")[0]
    task.kernel.trace.task_rename(task, comm)
    task.comm = comm
    return 0
