"""The system call table, and the way in and out of the kernel."""

from __future__ import annotations

from typing import Any, Callable

from pidscope.errors import PidscopeError
from pidscope.model import cgroup, exec, exit, fork, nsproxy, signal, sys, wait
from pidscope.model.sched import TaskStruct

SYSCALLS: dict[str, Callable[..., int]] = {
    "fork": fork.sys_fork,
    "vfork": fork.sys_vfork,
    "clone": fork.sys_clone3,
    "unshare": nsproxy.sys_unshare,
    "setns": nsproxy.sys_setns,
    "execve": exec.sys_execve,
    "set_comm": exec.set_task_comm,
    "exit": exit.sys_exit,
    "exit_group": exit.sys_exit_group,
    "wait4": wait.sys_wait4,
    "kill": signal.sys_kill,
    "setsid": sys.sys_setsid,
    "setpgid": sys.sys_setpgid,
    "getpid": sys.sys_getpid,
    "gettid": sys.sys_gettid,
    "getppid": sys.sys_getppid,
    "getpgid": sys.sys_getpgid,
    "getsid": sys.sys_getsid,
    "set_child_subreaper": sys.prctl_set_child_subreaper,
    "read_pid_max": sys.read_pid_max,
    "write_pid_max": sys.write_pid_max,
    "read_ns_last_pid": sys.read_ns_last_pid,
    "write_ns_last_pid": sys.write_ns_last_pid,
    "write_max_pid_namespaces": sys.write_max_pid_namespaces,
    "join_cgroup": cgroup.cgroup_attach_task,
}


class Blocked(PidscopeError):
    """The task can make no system call now, or ever again."""


def call(current: TaskStruct, name: str, *args: Any) -> int | None:
    """Let a task make a system call, and all tasks that it kills or wakes run until they rest.

    Args:
        current: the task that calls.
        name: of the table; the real one's arguments follow, numbers being in the namespace where
            ``current`` lives.

    Returns:
        What the call returns; None if it does not: the caller is gone, or waits (vfork).

    Raises:
        OSError: the kernel refuses, with errno and a reason.
        Blocked: ``current`` cannot call.
    """
    if current.blocked:
        raise Blocked(f"{current} cannot act: it {current.blocked}")
    kernel = current.kernel
    kernel.current = current
    try:
        result = SYSCALLS[name](current, *args)
    finally:
        kernel.come_to_rest()
    return None if current.blocked else result
