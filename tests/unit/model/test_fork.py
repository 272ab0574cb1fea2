"""kernel/fork.c and kernel/cgroup/pids.c: what is born, and what is refused when."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from pidscope import events
from pidscope.model.features import TODAY
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import Blocked, call
from tests.unit.acting import child, fork, heard
from tests.unit.played import SHELL, fates, go_on, numbers_of, play

FATES = {
    "a child is in its parent's group and session": (
        """
        shell: fork -> job
        job: getpid = 4
        job: getpgid = 3
        job: getsid = 3
        """,
        {"job": "child of shell"},
    ),
    "a thread shares all but its own number": (
        """
        shell: clone THREAD -> thread
        thread: getpid = 3
        thread: gettid = 4
        thread: getppid = 1
        """,
        {"thread": "thread of shell"},
    ),
    "a thread of a thread has the same parent": (
        """
        shell: clone THREAD -> first
        first: clone THREAD -> second
        second: getppid = 1
        """,
        {"first": "thread of shell", "second": "thread of shell"},
    ),
    "a child's parent is the thread that forked": (
        """
        shell: clone THREAD -> thread
        thread: fork -> job
        job: getppid = 3
        shell: wait = 0  # any thread may wait for it
        """,
        {"thread": "thread of shell", "job": "child of thread"},
    ),
    "clone PARENT makes a sibling": (
        """
        shell: fork -> job
        job: clone PARENT -> sibling
        """,
        {"job": "child of shell", "sibling": "child of shell"},
    ),
    "an init may not make siblings": (
        """
        shell: clone NEWPID -> box
        box: clone PARENT = EINVAL
        """,
        {"box": "child of shell"},
    ),
    "a parent that vforked can be killed": (
        """
        shell: vfork -> job
        init: kill shell KILL
        init: wait shell = 3
        job: exec ls
        job: getppid = 1
        """,
        {"shell": "released", "job": "child of init"},
    ),
}


@pytest.mark.parametrize(("text", "expected"), FATES.values(), ids=FATES)
def test_whose_child_or_thread_is_born(text: str, expected: dict[str, str]) -> None:
    assert fates(play(SHELL + text)) == {"shell": "child of init", **expected}


def test_what_a_process_and_a_thread_are_born_with(shell: TaskStruct) -> None:
    assert not fork(shell).signal.leader
    thread = fork(shell, CLONE_THREAD)
    assert (thread.pid, thread.tgid) == (5, 3)
    assert thread.signal is shell.signal
    second = fork(thread, CLONE_THREAD)
    assert second.real_parent is shell.kernel.init and second.group_leader is shell


def test_no_thread_in_another_namespace() -> None:
    played = play(
        f"""{SHELL}
        shell: clone THREAD|NEWPID = EINVAL
        shell: unshare NEWPID
        shell: clone THREAD = EINVAL
        shell: fork -> job
        """
    )
    assert numbers_of(played, ["job"]) == {"job": (4, 1)}


@pytest.mark.parametrize(("allowed", "expected"), [(True, "EFAULT"), (False, "EINVAL")])
def test_a_pidfd_of_a_thread(allowed: bool, expected: str) -> None:
    features = replace(TODAY, thread_pidfd=allowed)
    play(f"init: clone THREAD bad_pidfd = {expected}", features)


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


def test_pids_max_counts_tasks_up_the_path() -> None:
    played = play(
        f"""{SHELL}
        cgroup pod pids.max 4
        cgroup app in pod pids.max 100
        shell: join app
        shell: clone THREAD
        shell: fork -> job
        job: fork
        shell: fork = EAGAIN
        """
    )
    app, pod = (played.cast.cgroups[name] for name in ("app", "pod"))
    assert (app.count, pod.count, pod.events_max, app.events_max) == (4, 4, 1, 0)
    go_on(
        played,
        """job: exit
        shell: fork = EAGAIN  # a zombie counts
        shell: wait = 5
        shell: fork = 9  # two were burnt""",
    )


def test_a_move_takes_the_living_threads_and_is_told_once() -> None:
    played = play(
        f"""{SHELL}
        cgroup app
        shell: fork -> leader
        leader: clone THREAD -> thread
        leader: clone THREAD
        leader: exit
        """
    )
    app, leader = played.cast.cgroups["app"], played.names["leader"]
    told = heard(leader)
    go_on(played, "thread: join app")
    assert [(type(event), event.tid) for event in told] == [(events.TaskMoved, 4)]  # type: ignore[union-attr]
    assert app.count == 2 and leader.cgroup is played.kernel.cgroup_root
    go_on(played, "thread: exit_group\nshell: wait 4 = 4")
    assert app.count == 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("shell: fork", [events.PidAllocated, events.PidAttached, events.TaskCreated]),
        (
            "shell: clone bad_pidfd = EFAULT",
            [events.PidAllocated, events.PidFreed, (events.ForkFailed, errno.EFAULT)],
        ),
        (
            "shell: clone set_tid 1 = EEXIST",
            [(events.PidRefused, errno.EEXIST), (events.ForkFailed, errno.EEXIST)],
        ),
    ],
)
def test_what_a_fork_and_a_failed_one_tell(step: str, expected: list[object]) -> None:
    played = play(SHELL)
    told = heard(played.names["shell"])
    go_on(played, step)
    assert [
        (type(event), event.errno) if hasattr(event, "errno") else type(event) for event in told
    ] == expected


def test_processes_of_proc_stat_counts_the_born() -> None:
    forks = "5 * init: fork\ninit: clone bad_pidfd = EFAULT\ninit: clone THREAD\n"
    assert play(forks).kernel.total_forks == play("").kernel.total_forks + 6
