"""The hooks: where the programs sit, what each is for, and what is lost without it."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.Enum):
    """How a program meets the kernel: at a function's entry, at its return, or a tracepoint."""

    ENTRY = "entry"
    EXIT = "exit"
    TRACEPOINT = "tracepoint"


class Hook(NamedTuple):
    """One hook. ``makes_state``: the table cannot be right without it, so it must attach."""

    name: str
    kind: Kind
    makes_state: bool
    without: str


# The place in this tuple is the value of the constant HOOK_… in bpf/pidscope.c.
HOOKS = (
    Hook("attach_pid", Kind.ENTRY, True, "births"),
    Hook("change_pid", Kind.ENTRY, True, "setpgid and setsid"),
    Hook("detach_pid", Kind.ENTRY, True, "releases"),
    Hook("exchange_tids", Kind.ENTRY, True, "exec by a thread that is not the leader"),
    Hook("transfer_pid", Kind.ENTRY, False, "the list moves that follow an exchange"),
    Hook("alloc_pid", Kind.EXIT, False, "numbers as they are given out"),
    Hook("free_pid", Kind.ENTRY, False, "the moment a number can be given out again"),
    Hook("copy_process", Kind.EXIT, False, "failed forks, clone flags and cgroups"),
    Hook("copy_pid_ns", Kind.EXIT, False, "namespaces before their first process"),
    Hook("zap_pid_ns_processes", Kind.ENTRY, False, "the moment a namespace begins to die"),
    Hook("sched_process_exec", Kind.TRACEPOINT, False, "exec, and the name it gives"),
    Hook("task_rename", Kind.TRACEPOINT, False, "changes of name"),
    Hook("sched_process_exit", Kind.TRACEPOINT, False, "exits before their release"),
    Hook("cgroup_attach_task", Kind.TRACEPOINT, False, "moves between cgroups"),
)
