"""kernel/fork.c and kernel/cgroup/pids.c: what is born, and what is refused when."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from pidscope import events
from pidscope.model.cgroup import Cgroup
from pidscope.model.features import TODAY
from pidscope.model.fork import CLONE_PARENT, CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import Blocked, call
from tests.unit.acting import boot, child, container, fork, heard, links, numbers, refused


def test_a_child_is_in_its_parents_group_and_session(shell: TaskStruct) -> None:
    job = fork(shell)
    assert links(job) == [(4,), (3,), (3,)]
    assert job.real_parent is shell and not job.signal.leader


def test_a_thread_shares_all_but_its_own_number(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    assert (thread.pid, thread.tgid) == (4, 3)
    assert thread.signal is shell.signal and thread.group_leader is shell
    assert (call(thread, "getpid"), call(thread, "gettid")) == (3, 4)
    assert call(thread, "getppid") == 1


def test_a_thread_of_a_thread_has_the_same_parent(shell: TaskStruct) -> None:
    second = fork(fork(shell, CLONE_THREAD), CLONE_THREAD)
    assert second.real_parent is shell.kernel.init and second.group_leader is shell


def test_a_childs_parent_is_the_thread_that_forked(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    job = fork(thread)
    assert job.real_parent is thread and call(job, "getppid") == 3
    assert call(shell, "wait4", -1) == 0  # any thread may wait for it


def test_clone_parent_makes_a_sibling(shell: TaskStruct) -> None:
    job = fork(shell)
    assert fork(job, CLONE_PARENT).real_parent is shell


def test_an_init_may_not_make_siblings() -> None:
    assert refused(container(boot()), "clone", CLONE_PARENT) == errno.EINVAL


def test_no_thread_in_another_namespace(shell: TaskStruct) -> None:
    assert refused(shell, "clone", CLONE_THREAD | CLONE_NEWPID) == errno.EINVAL
    call(shell, "unshare", CLONE_NEWPID)
    assert refused(shell, "clone", CLONE_THREAD) == errno.EINVAL
    assert numbers(fork(shell)) == (4, 1)


@pytest.mark.parametrize(("allowed", "expected"), [(True, errno.EFAULT), (False, errno.EINVAL)])
def test_a_pidfd_of_a_thread(allowed: bool, expected: int) -> None:
    shell = boot(replace(TODAY, thread_pidfd=allowed))
    assert refused(shell, "clone", CLONE_THREAD, (), True) == expected


def test_vfork_blocks_until_exec_or_end(shell: TaskStruct) -> None:
    assert call(shell, "vfork") is None
    job = shell.vfork_child
    assert job is not None and job.pid == 4
    with pytest.raises(Blocked, match="vfork child"):
        call(shell, "getpid")
    call(job, "execve", b"ls")
    assert call(shell, "getpid") == 3
    assert call(shell, "vfork") is None
    call(child(shell, 5), "exit")
    assert call(shell, "wait4", 5) == 5


def test_a_vfork_parent_can_be_killed(shell: TaskStruct) -> None:
    call(shell, "vfork")
    call(shell.kernel.init, "kill", 3, 9)
    assert call(shell.kernel.init, "wait4", 3) == 3
    job = child(shell.kernel.init, 4)
    call(job, "execve", b"ls")
    assert call(job, "getppid") == 1


def test_pids_max_counts_tasks_up_the_path(shell: TaskStruct) -> None:
    kernel = shell.kernel
    pod = Cgroup("pod", kernel.cgroup_root, 2, 4)
    app = Cgroup("app", pod, 3, 100)
    call(shell, "join_cgroup", app)
    fork(shell, CLONE_THREAD)
    job = fork(shell)
    fork(job)
    assert refused(shell, "clone", 0) == errno.EAGAIN
    assert (app.count, pod.count, pod.events_max, app.events_max) == (4, 4, 1, 0)
    call(job, "exit")
    assert refused(shell, "clone", 0) == errno.EAGAIN  # a zombie counts
    call(shell, "wait4", -1)
    assert fork(shell).pid == 9  # two were burnt


def test_a_move_takes_the_living_threads_and_is_told_once(shell: TaskStruct) -> None:
    leader = fork(shell)
    thread, _ = fork(leader, CLONE_THREAD), fork(leader, CLONE_THREAD)
    call(leader, "exit")
    app = Cgroup("app", shell.kernel.cgroup_root, 2)
    told = heard(shell)
    call(thread, "join_cgroup", app)
    assert [(type(event), event.tid) for event in told] == [(events.TaskMoved, 4)]  # type: ignore[union-attr]
    assert app.count == 2 and leader.cgroup is shell.kernel.cgroup_root
    call(thread, "exit_group")
    call(shell, "wait4", 4)
    assert app.count == 0


def test_what_a_fork_and_a_failed_one_tell(shell: TaskStruct) -> None:
    told = heard(shell)
    call(shell, "fork")
    assert [type(event) for event in told] == [
        events.PidAllocated,
        events.PidAttached,
        events.TaskCreated,
    ]
    told.clear()
    refused(shell, "clone", 0, (), True)
    assert [type(event) for event in told] == [
        events.PidAllocated,
        events.PidFreed,
        events.ForkFailed,
    ]
    assert isinstance(told[2], events.ForkFailed) and told[2].errno == errno.EFAULT
    told.clear()
    refused(shell, "clone", 0, (1,))
    assert [type(event) for event in told] == [events.PidRefused, events.ForkFailed]
    assert [event.errno for event in told] == [errno.EEXIST] * 2  # type: ignore[union-attr]


def test_processes_of_proc_stat_counts_the_born(shell: TaskStruct) -> None:
    before = shell.kernel.total_forks
    for _ in range(5):
        fork(shell)
    refused(shell, "clone", 0, (), True)
    fork(shell, CLONE_THREAD)
    assert shell.kernel.total_forks == before + 6
