"""CLONE_AUTOREAP, since 7.1: a process whose end leaves no zombie."""

from __future__ import annotations

import errno

import pytest

from pidscope.model.features import LINUX_4_4, Features
from pidscope.model.fork import CLONE_AUTOREAP, CLONE_PARENT, CLONE_THREAD
from pidscope.model.pid import find_task_by_pid_ns
from pidscope.model.sched import EXIT_ZOMBIE, TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import boot, fork, heard, refused


@pytest.fixture
def shell() -> TaskStruct:
    return boot()


def is_there(task: TaskStruct) -> bool:
    return find_task_by_pid_ns(task.pid, task.kernel.init_pid_ns) is task


def test_its_end_leaves_no_zombie_and_nothing_to_wait_for(shell: TaskStruct) -> None:
    it = fork(shell, CLONE_AUTOREAP)
    assert refused(shell, "wait4") == errno.ECHILD  # an ordinary wait passes it over
    call(it, "exit_group", 3)
    assert not is_there(it)
    assert refused(shell, "wait4") == errno.ECHILD


def test_also_after_an_exec_though_it_is_waited_for_then(shell: TaskStruct) -> None:
    it = fork(shell, CLONE_AUTOREAP)
    call(it, "execve", b"true")
    assert call(shell, "wait4") == 0
    call(it, "exit_group", 0)
    assert not is_there(it)


def test_its_leader_is_a_zombie_while_a_thread_lives(shell: TaskStruct) -> None:
    it = fork(shell, CLONE_AUTOREAP)
    thread = fork(it, CLONE_THREAD)
    call(it, "exit", 0)
    assert it.exit_state == EXIT_ZOMBIE and is_there(it)
    call(thread, "exit", 0)
    assert not is_there(it)


def test_a_child_does_not_inherit_it(shell: TaskStruct) -> None:
    it = fork(shell, CLONE_AUTOREAP)
    child = fork(it)
    call(child, "exit_group", 0)
    assert child.exit_state == EXIT_ZOMBIE and call(it, "wait4") == child.pid


def test_an_orphan_reaps_itself_as_well(shell: TaskStruct) -> None:
    middle = fork(shell)
    it = fork(middle, CLONE_AUTOREAP)
    call(middle, "exit_group", 0)
    assert it.real_parent is shell.kernel.init
    call(it, "exit_group", 0)
    assert not is_there(it)


@pytest.mark.parametrize("other", [CLONE_THREAD, CLONE_PARENT])
def test_it_is_a_process_and_its_forkers_child(shell: TaskStruct, other: int) -> None:
    assert refused(shell, "clone", CLONE_AUTOREAP | other) == errno.EINVAL


@pytest.mark.parametrize("features", [LINUX_4_4, Features(autoreap=False)])
def test_before_it_was_there_clone3_refuses_it_before_copy_process(features: Features) -> None:
    shell = boot(features)
    events = heard(shell)
    assert refused(shell, "clone", CLONE_AUTOREAP) == errno.EINVAL
    assert events == []


def test_it_makes_no_sibling(shell: TaskStruct) -> None:
    """Observed on 7.3: a sibling would get no exit signal, and not reap itself."""
    assert refused(fork(shell, CLONE_AUTOREAP), "clone", CLONE_PARENT) == errno.EINVAL
