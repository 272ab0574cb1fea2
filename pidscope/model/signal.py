"""Signals that end processes, which all do here that are not ignored: kernel/signal.c.

A namespace's init is deaf (SIGNAL_UNKILLABLE) to every task inside, and to SIGTERM from anywhere,
as long as it has no handler. SIGKILL from outside reaches it: from a task that has no number there.
"""

from __future__ import annotations

import errno

from pidscope.events import PidType
from pidscope.model.exit import complete_signal
from pidscope.model.pid import (
    PIDTYPE_PGID,
    PIDTYPE_PID,
    Pid,
    find_vpid,
    task_active_pid_ns,
    task_pgrp,
    task_pid_nr_ns,
    task_pid_vnr,
)
from pidscope.model.sched import (
    PF_KTHREAD,
    SIGKILL,
    TaskStruct,
    same_thread_group,
    thread_group_leader,
)

_NSIG = 64
_NOT_FATAL = frozenset({17, 18, 19, 20, 21, 22, 23, 28})  # CHLD CONT STOP TSTP TTIN TTOU URG WINCH


def sys_kill(current: TaskStruct, nr: int, sig: int) -> int:
    """kill(2): a process, the own group (0), every task (-1), a group (-N).

    Raises OSError: EINVAL, ESRCH.
    """
    targets = _targets(current, nr)
    if not targets:
        raise OSError(errno.ESRCH, f"no task has number {nr} here")
    if not 0 <= sig <= _NSIG:  # check_kill_permission()
        raise OSError(errno.EINVAL, f"no signal {sig}")
    for target in targets:
        send_signal(current, target, sig)
    return 0


def _targets(current: TaskStruct, nr: int) -> list[TaskStruct]:
    if nr > 0:
        return _attached(find_vpid(nr, current), PIDTYPE_PID)[:1]
    if nr != -1:
        pgrp = find_vpid(-nr, current) if nr else task_pgrp(current)
        return _attached(pgrp, PIDTYPE_PGID)
    return [
        p
        for p in current.kernel.tasks()
        if thread_group_leader(p)
        and task_pid_vnr(p, current) > 1
        and not same_thread_group(p, current)
    ]


def _attached(pid: Pid | None, pid_type: PidType) -> list[TaskStruct]:
    return list(reversed(pid.tasks[pid_type])) if pid is not None else []


def send_signal(current: TaskStruct, t: TaskStruct, sig: int) -> None:
    """Send one; 0 only asks whether one could."""
    from_outside = not task_pid_nr_ns(current, task_active_pid_ns(t))
    deaf = t.signal.unkillable and not (sig == SIGKILL and from_outside)
    if t.flags & PF_KTHREAD:  # ignore_signals()
        return
    if sig and sig not in _NOT_FATAL and not deaf:
        complete_signal(t, sig)
