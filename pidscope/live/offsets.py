"""The constants that bpf/*.c is compiled with, taken from the running kernel's BTF.

Whatever moves between kernels is looked up by name: offsets of members, places of arguments.
Nothing here asks for a version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pidscope.errors import BtfError
from pidscope.host.btf import Btf
from pidscope.wire.hooks import Hook, Kind

# The member, and how many bytes the programs take it for (None: an array of any length).
_OFFSETS: dict[str, tuple[int | None, tuple[str, ...]]] = {
    "TASK_PID": (4, ("task_struct", "pid")),
    "TASK_TGID": (4, ("task_struct", "tgid")),
    "TASK_COMM": (16, ("task_struct", "comm")),
    "TASK_THREAD_PID": (8, ("task_struct", "thread_pid")),
    "TASK_REAL_PARENT": (8, ("task_struct", "real_parent")),
    "TASK_SIGNAL": (8, ("task_struct", "signal")),
    "TASK_NSPROXY": (8, ("task_struct", "nsproxy")),
    "TASK_CGROUPS": (8, ("task_struct", "cgroups")),
    "TASK_EXIT_CODE": (4, ("task_struct", "exit_code")),
    "TASK_START_BOOTTIME": (8, ("task_struct", "start_boottime")),
    "TASK_EXIT_STATE": (4, ("task_struct", "exit_state")),
    "TASK_FLAGS": (4, ("task_struct", "flags")),
    "TASK_PTRACE": (4, ("task_struct", "ptrace")),
    "TASK_PARENT": (8, ("task_struct", "parent")),
    "SIGNAL_PIDS": (32, ("signal_struct", "pids")),
    "SIGNAL_NR_THREADS": (4, ("signal_struct", "nr_threads")),
    "PID_LEVEL": (4, ("pid", "level")),
    "PID_NUMBERS": (None, ("pid", "numbers")),
    "UPID_NR": (4, ("upid", "nr")),
    "UPID_NS": (8, ("upid", "ns")),
    "NS_INUM": (4, ("pid_namespace", "ns", "inum")),
    "NS_LEVEL": (4, ("pid_namespace", "level")),
    "NS_PARENT": (8, ("pid_namespace", "parent")),
    "NSPROXY_CHILDREN": (8, ("nsproxy", "pid_ns_for_children")),
    "CSS_SET_CGROUP": (8, ("css_set", "dfl_cgrp")),
    "CGROUP_KN": (8, ("cgroup", "kn")),
    "KN_ID": (8, ("kernfs_node", "id")),
    "CLONE_ARGS_FLAGS": (8, ("kernel_clone_args", "flags")),
}

# What bpf/lives.c reads besides.
_OFFSETS_OF_LIVES: dict[str, tuple[int | None, tuple[str, ...]]] = {
    "TASK_GROUP_LEADER": (8, ("task_struct", "group_leader")),
    "TASK_REAL_CRED": (8, ("task_struct", "real_cred")),
    "CRED_UID": (4, ("cred", "uid")),
    "SIGNAL_LIVE": (4, ("signal_struct", "live")),
    "SIGNAL_FLAGS": (4, ("signal_struct", "flags")),
    "SIGNAL_GROUP_EXIT_CODE": (4, ("signal_struct", "group_exit_code")),
    "SIGNAL_SUM_SCHED_RUNTIME": (8, ("signal_struct", "sum_sched_runtime")),
}

# What bpf/counts.c reads besides.
_OFFSETS_OF_COUNTS: dict[str, tuple[int | None, tuple[str, ...]]] = {
    "TASK_GROUP_LEADER": (8, ("task_struct", "group_leader")),
    "NS_CHILD_REAPER": (8, ("pid_namespace", "child_reaper")),
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


_TASK_NEW = 0x800  # include/linux/sched.h: not woken for the first time yet


def absent_functions(btf: Btf, hooks: Sequence[Hook]) -> dict[str, str]:
    """The functions to be hooked that this kernel does not have as they are known, and why."""
    absent = {
        hook.name: "not a function of its own in this kernel"
        for hook in hooks
        if hook.kind is not Kind.TRACEPOINT and btf.function_args(hook.name) is None
    }
    hooked = {hook.name for hook in hooks}
    for function, argument in _ARGUMENTS.values():
        names = btf.function_args(function)
        if function in hooked and names is not None and argument not in names:
            absent[function] = f"has no argument {argument!r}, only {', '.join(names)}"
    return absent


def typed(btf: Btf) -> bool:
    """Whether programs may follow all pointers by plain loads.

    The verifier allows no access beyond the end of an array, and up to 6.4 the type of
    ``struct pid.numbers`` was an array of one.
    """
    return btf.member_size("pid", "numbers") == 0


def constants(btf: Btf, hooks: Sequence[Hook]) -> dict[str, int]:
    """Every -D constant of the programs but those of the ring.

    The programs of absent functions are compiled but never loaded, so their arguments may stand
    anywhere.

    Raises:
        BtfError: a type or a member is not what it is on any known kernel.
    """
    values = _offsets(btf, _OFFSETS)
    values["UPID_SIZE"] = btf.size("upid")
    values.update((name, btf.enum("pid_type", name)) for name in _ENUMERATORS)
    for name, (function, argument) in _ARGUMENTS.items():
        names = btf.function_args(function) or ()
        values[name] = names.index(argument) if argument in names else 0
    for name, function in _COUNTED_ARGUMENTS.items():
        values[name] = len(btf.function_args(function) or ())
    for number, hook in enumerate(hooks):
        values[f"HOOK_{hook.name.upper()}"] = number
    values["NR_HOOKS"] = len(hooks)
    values["TASK_STATE"] = _state(btf)
    values["TASK_NEW"] = _TASK_NEW
    return values


def constants_of_lives(btf: Btf) -> dict[str, int]:
    """Every -D constant of bpf/lives.c but the sizes of its maps; raises BtfError."""
    return {**constants(btf, ()), **_offsets(btf, _OFFSETS_OF_LIVES)}


def constants_of_counts(btf: Btf) -> dict[str, int]:
    """Every -D constant of bpf/counts.c but the sizes of its maps; raises BtfError."""
    return {**constants(btf, ()), **_offsets(btf, _OFFSETS_OF_COUNTS)}


def tells_group_dead(btf: Btf) -> bool:
    """Whether sched_process_exit says itself if the task is its process's last.

    Observed on 6.18 and 7.3, not on 6.12.
    """
    for prefix in ("__probestub_", "__bpf_trace_", "__traceiter_"):
        names = btf.function_args(f"{prefix}sched_process_exit")
        if names is not None:
            return names[2:] == ("group_dead",)
    return False


def _state(btf: Btf) -> int:
    """The offset of ``task_struct.__state``, called ``state`` before 5.14."""
    try:
        return btf.offset("task_struct", "__state")
    except BtfError:
        return btf.offset("task_struct", "state")


def _offsets(btf: Btf, wanted: Mapping[str, tuple[int | None, tuple[str, ...]]]) -> dict[str, int]:
    return {name: _offset(btf, size, path) for name, (size, path) in wanted.items()}


def _offset(btf: Btf, size: int | None, path: tuple[str, ...]) -> int:
    if size is not None and btf.member_size(*path) != size:
        raise BtfError(
            f"{'.'.join(path)} has {btf.member_size(*path)} bytes on this kernel, not {size}",
            "this kernel is newer than pidscope knows; please report it with its version",
        )
    return btf.offset(*path)
