"""Waiting for children: the second half of kernel/exit.c.

Any thread may wait for the children of all threads of its process. A leader that is dead before
its other threads cannot be reaped yet.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pidscope.events import PidType
from pidscope.model.exit import threads_from, wait_task_zombie
from pidscope.model.pid import PIDTYPE_PGID, PIDTYPE_PID, Pid, find_vpid, task_pgrp, task_pid_ptr
from pidscope.model.sched import (
    EXIT_DEAD,
    EXIT_ZOMBIE,
    SIGCHLD,
    TaskStruct,
    delay_group_leader,
)

INT_MIN = -(1 << 31)


def sys_wait4(current: TaskStruct, upid: int = -1) -> int:
    """wait4(2) with WNOHANG: the number that was reaped, 0 if none can be yet.

    Raises OSError: ECHILD if there is no such child, ESRCH for INT_MIN.
    """
    if upid == INT_MIN:
        raise OSError(errno.ESRCH, "there is no group -INT_MIN")
    is_there = False
    for p in _eligible(current, upid):
        if p.exit_state == EXIT_ZOMBIE and not delay_group_leader(p):
            return wait_task_zombie(current, p)
        is_there = True
    if not is_there:
        raise OSError(errno.ECHILD, "no such child")
    return 0


def _eligible(current: TaskStruct, upid: int) -> Iterator[TaskStruct]:
    """The children that are meant: all (-1), one, those of a group (-N) or of its own (0)."""
    pid: Pid | None = None
    pid_type: PidType | None = None
    if upid > 0:
        pid, pid_type = find_vpid(upid, current), PIDTYPE_PID
    elif upid != -1:
        pid_type = PIDTYPE_PGID
        pid = find_vpid(-upid, current) if upid else task_pgrp(current)
    if pid_type is not None and pid is None:
        return
    for thread in threads_from(current):
        for p in thread.children:
            if p.exit_state == EXIT_DEAD or p.exit_signal != SIGCHLD:
                continue  # eligible_child(): of another signal only with __WALL or __WCLONE
            if pid_type is None or task_pid_ptr(p, pid_type) is pid:
                yield p
