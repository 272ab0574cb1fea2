"""How often each hook of bpf/functions.c runs for what the model tells of.

Hooks run more often than they write: a process is attached, and detached, as PID, TGID, PGID and
SID by one call each, and one record tells of all four. `pidscope.hooks` knows that, too, and
says it again: here it is what happened, there what the records account for.
"""

from __future__ import annotations

from pidscope.event import (
    Event,
    ForkFailed,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidRefused,
    PidTransferred,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskMoved,
    TaskRenamed,
    TidsExchanged,
)

_TYPES = 4  # of enum pid_type
_ONE_RUN: dict[type, str] = {
    TidsExchanged: "exchange_tids",
    PidTransferred: "transfer_pid",
    PidAllocated: "alloc_pid",
    PidRefused: "alloc_pid",
    PidFreed: "free_pid",
    TaskCreated: "copy_process",
    ForkFailed: "copy_process",
    NamespaceCreated: "copy_pid_ns",
    NamespaceDying: "zap_pid_ns_processes",
    TaskExecuted: "sched_process_exec",
    TaskRenamed: "task_rename",
    TaskExited: "sched_process_exit",
    TaskMoved: "cgroup_attach_task",
}


def runs(event: Event) -> tuple[str, int]:
    """The hook that tells of ``event``, and how many runs of it that stands for."""
    if isinstance(event, PidAttached):
        if event.birth is None:
            return "change_pid", 1
        return "attach_pid", _TYPES if event.tid == event.birth.tgid else 1
    if isinstance(event, PidDetached):
        return "detach_pid", _TYPES if event.tid == event.tgid else 1
    return _ONE_RUN[type(event)], 1
