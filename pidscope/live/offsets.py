"""The constants that bpf/pidscope.c is compiled with, taken from the running kernel's BTF.

Whatever moves between kernels is looked up by name: offsets of members, places of arguments.
Nothing here asks for a version.
"""

from __future__ import annotations

from pidscope.btf import Btf
from pidscope.errors import BtfError
from pidscope.live.hooks import HOOKS

_OFFSETS = {
    "TASK_PID": ("task_struct", "pid"),
    "TASK_TGID": ("task_struct", "tgid"),
    "TASK_COMM": ("task_struct", "comm"),
    "TASK_THREAD_PID": ("task_struct", "thread_pid"),
    "TASK_REAL_PARENT": ("task_struct", "real_parent"),
    "TASK_SIGNAL": ("task_struct", "signal"),
    "TASK_NSPROXY": ("task_struct", "nsproxy"),
    "TASK_CGROUPS": ("task_struct", "cgroups"),
    "TASK_EXIT_CODE": ("task_struct", "exit_code"),
    "TASK_START_BOOTTIME": ("task_struct", "start_boottime"),
    "SIGNAL_PIDS": ("signal_struct", "pids"),
    "PID_LEVEL": ("pid", "level"),
    "PID_NUMBERS": ("pid", "numbers"),
    "UPID_NR": ("upid", "nr"),
    "UPID_NS": ("upid", "ns"),
    "NS_INUM": ("pid_namespace", "ns", "inum"),
    "NS_LEVEL": ("pid_namespace", "level"),
    "NS_PARENT": ("pid_namespace", "parent"),
    "NSPROXY_CHILDREN": ("nsproxy", "pid_ns_for_children"),
    "CSS_SET_CGROUP": ("css_set", "dfl_cgrp"),
    "CGROUP_KN": ("cgroup", "kn"),
    "KN_ID": ("kernfs_node", "id"),
    "CLONE_ARGS_FLAGS": ("kernel_clone_args", "flags"),
}

_ENUMERATORS = ("PIDTYPE_PID", "PIDTYPE_TGID", "PIDTYPE_PGID", "PIDTYPE_SID")

# Kernels differ in where an argument stands (6.15 put one in front), not in what it is called.
_ARGUMENTS = {
    "ARG_ATTACH_TASK": ("attach_pid", "task"),
    "ARG_ATTACH_TYPE": ("attach_pid", "type"),
    "ARG_CHANGE_TASK": ("change_pid", "task"),
    "ARG_CHANGE_TYPE": ("change_pid", "type"),
    "ARG_CHANGE_PID": ("change_pid", "pid"),
    "ARG_DETACH_TASK": ("detach_pid", "task"),
    "ARG_DETACH_TYPE": ("detach_pid", "type"),
    "ARG_EXCHANGE_LEFT": ("exchange_tids", "left"),
    "ARG_EXCHANGE_RIGHT": ("exchange_tids", "right"),
    "ARG_TRANSFER_OLD": ("transfer_pid", "old"),
    "ARG_TRANSFER_NEW": ("transfer_pid", "new"),
    "ARG_TRANSFER_TYPE": ("transfer_pid", "type"),
    "ARG_COPY_PROCESS_ARGS": ("copy_process", "args"),
}

_COUNTED_ARGUMENTS = {
    "NR_ARGS_ALLOC_PID": "alloc_pid",
    "NR_ARGS_COPY_PROCESS": "copy_process",
    "NR_ARGS_COPY_PID_NS": "copy_pid_ns",
}


def constants(btf: Btf, absent: frozenset[str]) -> dict[str, int]:
    """Every -D constant of the programs but those of the ring.

    ``absent`` names functions that this kernel does not have; their programs are compiled but
    never loaded, so their arguments may stand anywhere.

    Raises:
        BtfError: a type, a member or an argument is not what it is on any known kernel.
    """
    values = {name: btf.offset(*path) for name, path in _OFFSETS.items()}
    values["UPID_SIZE"] = btf.size("upid")
    values.update((name, btf.enum("pid_type", name)) for name in _ENUMERATORS)
    for name, (function, argument) in _ARGUMENTS.items():
        values[name] = 0 if function in absent else _place(btf, function, argument)
    for name, function in _COUNTED_ARGUMENTS.items():
        values[name] = len(btf.function_args(function) or ())
    for number, hook in enumerate(HOOKS):
        values[f"HOOK_{hook.name.upper()}"] = number
    values["NR_HOOKS"] = len(HOOKS)
    return values


def _place(btf: Btf, function: str, argument: str) -> int:
    names = btf.function_args(function) or ()
    if argument not in names:
        raise BtfError(
            f"{function}({', '.join(names)}) has no argument called {argument!r} on this kernel",
            "this kernel is newer than pidscope knows; please report it with its version",
        )
    return names.index(argument)
