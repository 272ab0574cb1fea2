"""Tasks of a model kernel as the tests of the model use them."""

from __future__ import annotations

from typing import Any

import pytest

from pidscope.events import Event
from pidscope.model.features import TODAY, Features
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_task_by_pid_ns, find_task_by_vpid, task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call


def boot(features: Features = TODAY) -> TaskStruct:
    """A shell in its own session, the only child of a kernel's init but for kthreadd."""
    shell = fork(Kernel(features).init)
    call(shell, "setsid")
    return shell


def child(parent: TaskStruct, nr: int | None) -> TaskStruct:
    assert nr is not None
    task = find_task_by_vpid(nr, parent)
    assert task is not None
    return task


def fork(parent: TaskStruct, flags: int = 0, set_tid: tuple[int, ...] = ()) -> TaskStruct:
    return child(parent, call(parent, "clone", flags, set_tid))


def container(parent: TaskStruct) -> TaskStruct:
    """The init of a new namespace."""
    return fork(parent, CLONE_NEWPID)


def refused(actor: TaskStruct, name: str, *args: Any) -> int:
    """The errno with which a call must fail."""
    with pytest.raises(OSError) as caught:
        call(actor, name, *args)
    assert caught.value.errno
    return caught.value.errno


def heard(task: TaskStruct) -> list[Event]:
    """The events of the task's kernel from now on."""
    events: list[Event] = []
    task.kernel.listener = events.append
    return events


def numbers(task: TaskStruct) -> tuple[int, ...]:
    assert task.thread_pid is not None
    return task.thread_pid.pid_numbers.numbers


def links(task: TaskStruct) -> list[tuple[int, ...]]:
    """Thread group, group and session."""
    return [pid.pid_numbers.numbers for pid in task.signal.pids[1:] if pid is not None]


def seen(actor: TaskStruct, nr: int) -> TaskStruct | None:
    return find_task_by_pid_ns(nr, task_active_pid_ns(actor))
