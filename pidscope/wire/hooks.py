"""The hooks: where the programs sit, what each is for, and what is lost without it.

Two sets. `FUNCTION_HOOKS` sit in the functions that make the mapping, by fentry/fexit or by
kprobes; those that make state run under ``tasklist_lock``. `TRACEPOINT_HOOKS` are for kernels that
let no function be hooked; none of them runs under a lock.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from pidscope import events
from pidscope.errors import WireError


class Kind(enum.Enum):
    """How a program meets the kernel: at a function's entry, at its return, or a tracepoint."""

    ENTRY = "entry"
    EXIT = "exit"
    TRACEPOINT = "tracepoint"


class Hook(NamedTuple):
    """One hook.

    Attributes:
        makes_state: the table cannot be right without it, so it must attach.
        step: it reports intermediate events, which others imply, and is there only where they are
            asked for. Then ``alloc_pid`` and ``copy_process`` report success too, else errors only.
    """

    name: str
    kind: Kind
    makes_state: bool
    without: str
    step: bool = False


_ANNOTATING = (
    Hook("task_rename", Kind.TRACEPOINT, False, "changes of name", step=True),
    Hook("cgroup_attach_task", Kind.TRACEPOINT, False, "moves between cgroups"),
)

# The place in its tuple is the value of the constant HOOK_… in bpf/*.c.
FUNCTION_HOOKS = (
    Hook("attach_pid", Kind.ENTRY, True, "births"),
    Hook("change_pid", Kind.ENTRY, True, "setpgid and setsid"),
    Hook("detach_pid", Kind.ENTRY, True, "releases"),
    Hook("exchange_tids", Kind.ENTRY, True, "exec by a thread that is not the leader"),
    Hook("transfer_pid", Kind.ENTRY, False, "the list moves after an exchange", step=True),
    Hook("alloc_pid", Kind.EXIT, False, "numbers as they are given out"),
    Hook("free_pid", Kind.ENTRY, False, "when a number can be given out again", step=True),
    Hook("copy_process", Kind.EXIT, False, "failed forks, clone flags and cgroups"),
    Hook("copy_pid_ns", Kind.EXIT, False, "namespaces before their first process"),
    Hook("zap_pid_ns_processes", Kind.ENTRY, False, "the moment a namespace begins to die"),
    Hook("sched_process_exec", Kind.TRACEPOINT, False, "exec, and the name it gives"),
    Hook("sched_process_exit", Kind.TRACEPOINT, False, "exits before their release"),
    *_ANNOTATING,
)
TRACEPOINT_HOOKS = (
    Hook("task_newtask", Kind.TRACEPOINT, True, "births"),
    Hook("sched_process_exec", Kind.TRACEPOINT, True, "exec, by threads too"),
    Hook("sched_process_exit", Kind.TRACEPOINT, True, "exits"),
    Hook("sched_process_free", Kind.TRACEPOINT, True, "ends"),
    *_ANNOTATING,
)
# The intermediate events: those of the hooks that are steps, and success of the two others.
STEPS = (
    events.PidAllocated,
    events.PidFreed,
    events.TaskCreated,
    events.PidTransferred,
    events.TaskRenamed,
)
FAILURES_TOLD_BY = "copy_process"  # the hook; without it the count of failed forks is not known
TRACEPOINT = "tracepoint"
WAYS = ("fentry", "kprobe", TRACEPOINT)  # the probe modes, the best first
AUTO = "auto"  # the first of them that works
COUNTED_BY_TRACEPOINTS = ("births", "processes", "threads")
UNSEEN_BY_TRACEPOINTS = (
    "failed forks, and when a number can be given out again",
    "setpgid and setsid at once, only each second and at exec",
    "namespaces before their first process",
)


def hooks_of(mode: str, steps: bool = True) -> tuple[Hook, ...]:
    """The hooks of a probe mode: ``fentry``, ``kprobe``, ``simulated`` or ``tracepoint``."""
    hooks = TRACEPOINT_HOOKS if mode == TRACEPOINT else FUNCTION_HOOKS
    return tuple(hook for hook in hooks if steps or not hook.step)


# The hook that reports each kind of event. `PidAttached` is a birth here; where it is not one,
# ``change_pid`` reports it, and no tracepoint does.
FUNCTION_OF: dict[type, str] = {
    events.PidAttached: "attach_pid",
    events.PidDetached: "detach_pid",
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
TRACEPOINT_OF: dict[type, str] = {
    events.PidAttached: "task_newtask",
    events.TaskCreated: "task_newtask",
    events.TaskExecuted: "sched_process_exec",
    events.TaskSeen: "sched_process_exec",
    events.TaskRenamed: "task_rename",
    events.TaskExited: "sched_process_exit",
    events.TaskFreed: "sched_process_free",
    events.TaskMoved: "cgroup_attach_task",
}


def events_of(mode: str) -> frozenset[type]:
    """The kinds of events that a probe mode can report; in tracepoint mode only births attach."""
    return frozenset(TRACEPOINT_OF if mode == TRACEPOINT else FUNCTION_OF)


def hook_of(event: events.Event, mode: str) -> str:
    """The hook that reported ``event``.

    Raises:
        WireError: no tracepoint reports such an event.
    """
    if mode != TRACEPOINT:
        if isinstance(event, events.PidAttached) and event.birth is None:
            return "change_pid"
        return FUNCTION_OF[type(event)]
    hook = TRACEPOINT_OF.get(type(event))
    if hook is None or (isinstance(event, events.PidAttached) and event.birth is None):
        raise WireError(f"no tracepoint reports {event}")
    return hook
