"""The constants that the programs are compiled with, from a BTF of any shape."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pidscope.errors import BtfError
from pidscope.live.offsets import (
    absent_functions,
    constants,
    constants_of_counts,
    constants_of_lives,
    tells_group_dead,
)
from pidscope.live.source_folder import SOURCE_FOLDER
from pidscope.wire.hooks import FUNCTION_HOOKS

SOURCE = "".join(path.read_text() for path in sorted(SOURCE_FOLDER.glob("*.[ch]")))
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "attach_pid": ("task", "type"),
    "change_pid": ("task", "type", "pid"),
    "detach_pid": ("task", "type"),
    "exchange_tids": ("left", "right"),
    "transfer_pid": ("old", "new", "type"),
    "copy_process": ("pid", "trace", "node", "args"),
    "alloc_pid": ("ns", "set_tid", "set_tid_size"),
    "copy_pid_ns": ("flags", "user_ns", "old_ns"),
    "free_pid": ("pid",),
    "zap_pid_ns_processes": ("pid_ns",),
}

SIZES = {"comm": 16, "pids": 32} | dict.fromkeys(
    (
        "pid",
        "tgid",
        "exit_code",
        "exit_state",
        "task_struct.flags",
        "signal_struct.flags",
        "ptrace",
        "nr_threads",
        "level",
        "nr",
        "inum",
        "uid",
        "live",
        "group_exit_code",
    ),
    4,
)


class FakeBtf:
    """Answers as `pidscope.host.btf.Btf` does; every offset is another one."""

    def __init__(self, **arguments: tuple[str, ...] | None) -> None:
        self._arguments = {**ARGUMENTS, **arguments}
        self.asked: list[tuple[str, ...]] = []

    def offset(self, *path: str) -> int:
        self.asked.append(path)
        return 8 * len(self.asked)

    def member_size(self, *path: str) -> int:
        return SIZES.get(".".join(path), SIZES.get(path[-1], 8))

    def size(self, name: str) -> int:
        return 16

    def enum(self, enum: str, name: str) -> int:
        return ["PIDTYPE_PID", "PIDTYPE_TGID", "PIDTYPE_PGID", "PIDTYPE_SID"].index(name)

    def typedef_id(self, name: str) -> int:
        return 1

    def function_id(self, name: str) -> int:
        return 2

    def function_args(self, name: str) -> tuple[str, ...] | None:
        return self._arguments.get(name)


def values(**arguments: Any) -> dict[str, int]:
    return constants(FakeBtf(**arguments), FUNCTION_HOOKS)  # type: ignore[arg-type]


def test_arguments_are_found_by_name() -> None:
    old = values()
    new = values(detach_pid=("pids", "task", "type"), change_pid=("pids", "task", "type", "pid"))
    assert (old["ARG_DETACH_TASK"], new["ARG_DETACH_TASK"]) == (0, 1)
    assert (old["ARG_CHANGE_PID"], new["ARG_CHANGE_PID"]) == (2, 3)
    assert old["ARG_ATTACH_TYPE"] == new["ARG_ATTACH_TYPE"] == 1


def test_returns_are_found_behind_all_arguments() -> None:
    assert values()["NR_ARGS_COPY_PROCESS"] == 4
    assert values(alloc_pid=("ns", "arg1", "set_tid", "size"))["NR_ARGS_ALLOC_PID"] == 4


def test_an_argument_of_another_name_is_an_error_that_names_it() -> None:
    absent = absent_functions(FakeBtf(detach_pid=("victim", "type")), FUNCTION_HOOKS)  # type: ignore[arg-type]
    assert absent == {"detach_pid": "has no argument 'task', only victim, type"}


def test_a_function_that_is_not_there_may_be_absent() -> None:
    found = values(exchange_tids=None)
    assert found["ARG_EXCHANGE_LEFT"] == 0
    assert set(absent_functions(FakeBtf(exchange_tids=None), FUNCTION_HOOKS)) == {"exchange_tids"}


def test_each_hook_has_its_number() -> None:
    found = values()
    assert found["NR_HOOKS"] == len(FUNCTION_HOOKS)
    numbers = [found[f"HOOK_{hook.name.upper()}"] for hook in FUNCTION_HOOKS]
    assert numbers == list(range(len(FUNCTION_HOOKS)))


def test_the_programs_use_no_constant_that_nobody_gives() -> None:
    """And none is computed for nothing."""
    btf: Any = FakeBtf()
    given = {*values(), *constants_of_lives(btf), *constants_of_counts(btf)}
    stripped = re.sub(r"/\*.*?\*/", "", SOURCE, flags=re.DOTALL)
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", stripped))
    pasted = {name for name in given if name.startswith(("HOOK_", "ARG_", "NR_ARGS_"))}
    assert given - used <= pasted, given - used
    prefixes = ("TASK_", "SIGNAL_", "PID_", "UPID_", "NS_C", "NS_I", "NS_L", "NSPROXY_", "PIDTYPE_")
    wanted = {name for name in used if name.startswith(prefixes)}
    assert wanted - given <= {"PID_LEVELS", "TASK_COMM_LEN", "SIGNAL_GROUP_EXIT"}, wanted - given


def test_who_tells_of_the_last_task_is_found_by_the_argument() -> None:
    def tells(**arguments: tuple[str, ...]) -> bool:
        return tells_group_dead(FakeBtf(**arguments))  # type: ignore[arg-type]

    assert tells(__probestub_sched_process_exit=("__data", "p", "group_dead"))
    assert tells(__bpf_trace_sched_process_exit=("__data", "p", "group_dead"))
    assert not tells(__bpf_trace_sched_process_exit=("__data", "p"))
    assert not tells(__traceiter_sched_process_exit=("__data", "p", "another"))
    assert not tells()


def test_a_member_of_another_size_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SIZES, "nr", 8)
    with pytest.raises(BtfError, match=r"upid\.nr has 8 bytes on this kernel, not 4"):
        values()
