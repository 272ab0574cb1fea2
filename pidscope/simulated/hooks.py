"""How often each hook of bpf/functions.c runs for an event of the model.

Hooks run more often than they write: a process is attached, and detached, as PID, TGID, PGID and
SID by one call each, and one record stands for all four. `pidscope.wire.hooks` has the same rule
on purpose: here it is what happened, there what the records account for.
"""

from __future__ import annotations

from pidscope import events

_TYPES = 4  # of enum pid_type
_ONE_RUN: dict[type, str] = {
    events.TidsExchanged: "exchange_tids",
    events.PidTransferred: "transfer_pid",
    events.PidAllocated: "alloc_pid",
    events.PidRefused: "alloc_pid",
    events.PidFreed: "free_pid",
    events.TaskCreated: "copy_process",
    events.ForkFailed: "copy_process",
    events.NamespaceCreated: "copy_pid_ns",
    events.NamespaceDying: "zap_pid_ns_processes",
    events.TaskExecuted: "sched_process_exec",
    events.TaskRenamed: "task_rename",
    events.TaskExited: "sched_process_exit",
    events.TaskMoved: "cgroup_attach_task",
}


def runs(event: events.Event) -> tuple[str, int]:
    """Return the hook that reports ``event``, and how many of its runs the event stands for."""
    if isinstance(event, events.PidAttached):
        if event.birth is None:
            return "change_pid", 1
        return "attach_pid", _TYPES if event.tid == event.birth.tgid else 1
    if isinstance(event, events.PidDetached):
        return "detach_pid", _TYPES if event.tid == event.tgid else 1
    return _ONE_RUN[type(event)], 1
