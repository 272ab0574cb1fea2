"""kernel/exit.c: zombies, orphans, and the end of a namespace."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace

import pytest

from pidscope import events
from pidscope.model.exit import Panic
from pidscope.model.features import TODAY
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import Blocked, call
from tests.unit.acting import boot, container, fork, heard, numbers, refused, seen


def test_a_zombie_stays_until_it_is_waited_for(shell: TaskStruct) -> None:
    job = fork(shell)
    assert call(shell, "wait4", -1) == 0
    assert call(job, "exit", 7) is None
    assert job.exit_state == "Z" and seen(shell, 4) is job
    with pytest.raises(Blocked):
        call(job, "getpid")
    assert call(shell, "wait4", -1) == 4
    assert shell.stat_addr == 7 << 8
    assert seen(shell, 4) is None and job.thread_pid is None
    assert refused(shell, "wait4", -1) == errno.ECHILD


def test_whom_wait_waits_for(shell: TaskStruct) -> None:
    first, second, third = fork(shell), fork(shell), fork(shell)
    call(second, "setpgid", 0, 0)
    for task in (third, second, first):
        call(task, "exit")
    assert refused(shell, "wait4", 99) == errno.ECHILD
    assert call(shell, "wait4", -5) == 5
    assert call(shell, "wait4", 0) == 4  # its own group's, the oldest first
    assert call(shell, "wait4", 6) == 6


def test_a_thread_reaps_itself_and_a_leader_waits_for_its_threads(shell: TaskStruct) -> None:
    leader = fork(shell)
    one, two = fork(leader, CLONE_THREAD), fork(leader, CLONE_THREAD)
    call(one, "exit")
    assert seen(shell, 5) is None
    call(leader, "exit", 3)
    assert leader.exit_state == "Z" and call(shell, "wait4", 4) == 0
    call(two, "exit", 9)
    assert call(shell, "wait4", 4) == 4


@pytest.mark.parametrize(("last", "status"), [(True, 9), (False, 3)], ids=["5.17", "before"])
def test_whose_exit_code_a_process_has(last: bool, status: int) -> None:
    shell = boot(replace(TODAY, last_thread_exit_code=last))
    leader = fork(shell)
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit", 3)
    call(thread, "exit", 9)
    assert call(shell, "wait4", 4) == 4 and shell.stat_addr == status << 8


def test_a_signal_does_nothing_to_a_zombie(shell: TaskStruct) -> None:
    call(fork(shell), "exit", 1)
    assert call(shell, "kill", 4, signal.SIGKILL) == 0
    assert call(shell, "wait4", 4) == 4 and shell.stat_addr == 1 << 8


def test_exit_group_ends_all_threads(shell: TaskStruct) -> None:
    leader = fork(shell)
    thread = fork(leader, CLONE_THREAD)
    call(thread, "exit_group", 5)
    assert call(shell, "wait4", -1) == 4 and shell.stat_addr == 5 << 8


def test_orphans_go_to_a_sibling_thread_first() -> None:
    leader = fork(boot())
    thread = fork(leader, CLONE_THREAD)
    job = fork(leader)
    call(leader, "exit")
    assert job.real_parent is thread and call(job, "getppid") == 4


def test_orphans_go_to_the_nearest_subreaper_of_the_same_level(shell: TaskStruct) -> None:
    call(shell, "set_child_subreaper", 1)
    first = fork(shell)
    job = fork(first)
    call(first, "exit")
    assert call(job, "getppid") == 3
    init = container(shell)
    inside = fork(init)
    orphan = fork(inside)
    call(inside, "exit")
    assert call(orphan, "getppid") == 1 and orphan.real_parent is init


def test_a_subreaper_is_one_for_those_it_has_already(shell: TaskStruct) -> None:
    first = fork(shell)
    job = fork(first)
    call(shell, "set_child_subreaper", 1)
    call(first, "exit")
    assert job.real_parent is shell


def test_an_injected_orphan_goes_outside(shell: TaskStruct, init: TaskStruct) -> None:
    helper = fork(shell)
    call(helper, "setns", task_active_pid_ns(init))
    joined = fork(helper)
    grandchild = fork(joined)
    assert numbers(joined)[1:] == (2,) and call(joined, "getppid") == 0
    call(helper, "exit")
    assert joined.real_parent is shell.kernel.init and call(joined, "getppid") == 0
    call(joined, "exit")
    assert grandchild.real_parent is init and call(grandchild, "getppid") == 1


def test_an_init_takes_its_namespace_along(shell: TaskStruct, init: TaskStruct) -> None:
    ns = task_active_pid_ns(init)
    fork(fork(init, CLONE_NEWPID))
    fork(init)
    told = heard(shell)
    call(init, "exit", 1)
    assert sum(isinstance(event, events.NamespaceDying) for event in told) == 2
    assert init.exit_state == "Z"
    assert [task.pid for task in shell.kernel.tasks()] == [1, 2, 3, 4]
    assert call(shell, "wait4", -1) == 4
    call(shell, "setns", ns)
    assert refused(shell, "fork") == errno.ENOMEM


def test_an_init_waits_for_zombies_whose_parents_are_outside(
    shell: TaskStruct, init: TaskStruct
) -> None:
    call(shell, "setns", task_active_pid_ns(init))
    joined = fork(shell)
    call(init, "exit")
    assert joined.exit_state == "Z" and init.exit_state == ""
    with pytest.raises(Blocked, match="namespace to empty"):
        call(init, "getpid")
    assert call(shell, "wait4", 4) == 0
    assert call(shell, "wait4", 5) == 5
    assert init.exit_state == "Z"
    assert call(shell, "wait4", 4) == 4


def test_another_thread_of_an_init_is_the_reaper_then(shell: TaskStruct, init: TaskStruct) -> None:
    thread = fork(init, CLONE_THREAD)
    job = fork(fork(init))
    call(init, "exit")
    ns = task_active_pid_ns(job)
    assert ns is not None and ns.child_reaper is thread and ns.adding
    assert call(job, "getppid") == 3
    call(job.real_parent, "exit")
    assert job.real_parent is thread and call(job, "getppid") == 1
    call(thread, "exit")
    assert call(shell, "wait4", 4) == 4
    assert [task.pid for task in shell.kernel.tasks()] == [1, 2, 3]


def test_what_an_end_tells(shell: TaskStruct) -> None:
    job = fork(shell)
    told = heard(shell)
    call(job, "exit", 2)
    assert [type(event) for event in told] == [events.TaskExited]
    call(shell, "wait4", -1)
    assert [type(event) for event in told[1:]] == [events.PidDetached, events.PidFreed]
    assert [event.by for event in told] == [4, 3, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize(("group", "code"), [(True, 9 << 8), (False, 3 << 8)])
def test_what_a_dead_leader_is_released_with(group: bool, code: int) -> None:
    shell = boot(replace(TODAY, leader_gets_group_exit_code=group))
    leader = fork(shell)
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit", 3)
    call(thread, "exit", 9)
    told = heard(shell)
    call(shell, "wait4", 4)
    assert isinstance(told[0], events.PidDetached) and told[0].exit_code == code


def test_the_last_thread_takes_along_a_leader_whom_nobody_waits_for(
    shell: TaskStruct, init: TaskStruct
) -> None:
    call(shell, "setns", task_active_pid_ns(init))
    keeps_waiting = fork(shell)  # a zombie of the shell's, so that the init stays
    leader = fork(init)
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit")
    call(init, "exit")
    assert init.blocked and keeps_waiting.exit_state == "Z"
    assert thread.thread_pid is None and leader.thread_pid is None


@pytest.mark.parametrize("late", [True, False], ids=["6.15", "before"])
def test_when_a_session_is_freed(late: bool) -> None:
    shell = boot(replace(TODAY, freed_after_unlock=late))
    leader = fork(shell)
    call(leader, "setsid")
    member = fork(leader)
    call(member, "setpgid", 0, 0)
    other = fork(leader)
    call(other, "setpgid", 0, 5)
    call(leader, "exit")
    call(shell, "wait4", -1)
    call(member, "exit")
    call(shell.kernel.init, "wait4", -1)
    told = heard(shell)
    call(other, "setsid")  # out of session 4 and group 5, which nobody else is in
    kinds = [type(event) for event in told]
    once: list[type] = [events.PidAttached, events.PidFreed]
    assert kinds == (sorted(once * 2, key=once.index) if late else once * 2)


def test_a_killed_process_has_its_signal_for_a_status(shell: TaskStruct) -> None:
    fork(shell)
    assert call(shell, "kill", 4, signal.SIGTERM) == 0
    assert call(shell, "wait4", -1) == 4 and shell.stat_addr == signal.SIGTERM


def test_the_hosts_init_must_not_end(shell: TaskStruct) -> None:
    with pytest.raises(Panic):
        call(shell.kernel.init, "exit")


def test_an_inum_is_given_out_again_at_once(shell: TaskStruct) -> None:
    inums = []
    for _ in range(2):
        init = container(shell)
        inums.append(task_active_pid_ns(init))
        call(init, "exit")
        call(shell, "wait4", -1)
    assert inums[0] is not inums[1]
    assert inums[0] and inums[1] and inums[0].inum == inums[1].inum
