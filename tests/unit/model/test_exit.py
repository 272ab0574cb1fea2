"""kernel/exit.c: zombies, orphans, and the end of a namespace."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace

import pytest

from pidscope import events
from pidscope.model.exit import Panic
from pidscope.model.features import TODAY, Features
from pidscope.model.pid import task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import Blocked, call
from tests.unit.acting import container, fork, heard, refused, seen
from tests.unit.played import SHELL, fates, go_on, play

# What a scenario says, and the fates of its tasks behind its last line.
FATES = {
    "wait and its arguments": (
        """
        shell: fork -> first
        shell: fork -> second
        shell: fork -> third
        second: setpgid 0 0
        third: exit
        second: exit
        first: exit
        shell: wait 99 = ECHILD
        shell: wait -5 = 5
        shell: wait 0 = 4  # its own group's, the oldest first
        shell: wait 6 = 6
        """,
        {"first": "released", "second": "released", "third": "released"},
    ),
    "a thread reaps itself and a leader waits for its threads": (
        """
        shell: fork -> leader
        leader: clone THREAD -> one
        leader: clone THREAD -> two
        one: exit
        shell: kill 5 0 = ESRCH
        leader: exit 3
        shell: wait 4 = 0
        """,
        {"leader": "zombie of shell", "one": "released", "two": "thread of leader"},
    ),
    "a leader can be reaped once its last thread is gone": (
        """
        shell: fork -> leader
        leader: clone THREAD -> two
        leader: exit 3
        two: exit 9
        shell: wait 4 = 4
        """,
        {"leader": "released", "two": "released"},
    ),
    "orphans go to a sibling thread first": (
        """
        shell: fork -> leader
        leader: clone THREAD -> thread
        leader: fork -> job
        leader: exit
        job: getppid = 4
        """,
        {"leader": "zombie of shell", "thread": "thread of leader", "job": "child of thread"},
    ),
    "orphans go to the nearest subreaper of the same level": (
        """
        shell: subreaper on
        shell: fork -> first
        first: fork -> job
        first: exit
        job: getppid = 3
        shell: clone NEWPID -> box
        box: fork -> inside
        inside: fork -> orphan
        inside: exit
        orphan: getppid = 1
        """,
        {
            "first": "zombie of shell",
            "job": "child of shell",
            "box": "child of shell",
            "inside": "zombie of box",
            "orphan": "child of box",
        },
    ),
    "a subreaper is one for those it has already": (
        """
        shell: fork -> first
        first: fork -> job
        shell: subreaper on
        first: exit
        """,
        {"first": "zombie of shell", "job": "child of shell"},
    ),
    "an injected orphan goes outside": (
        """
        shell: clone NEWPID -> box
        shell: fork -> helper
        helper: setns box
        helper: fork -> joined
        joined: fork -> grandchild
        joined: getpid = 2
        joined: getppid = 0
        helper: exit
        joined: getppid = 0
        joined: exit
        grandchild: getppid = 1
        """,
        {
            "box": "child of shell",
            "helper": "zombie of shell",
            "joined": "zombie of init",
            "grandchild": "child of box",
        },
    ),
    "another thread of an init is the reaper then": (
        """
        shell: clone NEWPID -> box
        box: clone THREAD -> thread
        box: fork -> parent
        parent: fork -> job
        box: exit
        job: getppid = 3
        parent: exit
        job: getppid = 1
        thread: fork -> more
        """,
        {
            "box": "zombie of shell",
            "thread": "thread of box",
            "parent": "zombie of thread",
            "job": "child of thread",
            "more": "child of thread",
        },
    ),
    "an init's last thread takes the namespace along": (
        """
        shell: clone NEWPID -> box
        box: clone THREAD -> thread
        box: fork -> job
        box: exit
        thread: exit
        shell: wait 4 = 4
        """,
        {"box": "released", "thread": "released", "job": "released"},
    ),
    "an init waits for zombies that parents outside have": (
        """
        shell: clone NEWPID -> box
        shell: setns box
        shell: fork -> joined
        box: exit
        shell: wait 4 = 0
        shell: wait 5 = 5
        """,
        {"box": "zombie of shell", "joined": "released"},
    ),
    # The shell has a zombie in the namespace, so the init stays.
    "the last thread takes along a leader for which no task waits": (
        """
        shell: clone NEWPID -> box
        shell: setns box
        shell: fork -> guest
        box: fork -> leader
        leader: clone THREAD -> thread
        leader: exit
        box: exit
        """,
        {
            "box": "child of shell",
            "guest": "zombie of shell",
            "leader": "released",
            "thread": "released",
        },
    ),
}


@pytest.mark.parametrize(("text", "expected"), FATES.values(), ids=FATES)
def test_what_becomes_of_tasks(text: str, expected: dict[str, str]) -> None:
    found = fates(play(SHELL + text))
    assert found.pop("shell") == "child of init"
    assert found == expected


LEADER_FIRST = """
    shell: fork -> leader
    leader: clone THREAD -> thread
    leader: exit 3
    thread: exit 9
"""
BEFORE_5_17 = replace(TODAY, last_thread_exit_code=False)


@pytest.mark.parametrize(
    ("features", "text", "status"),
    [
        pytest.param(TODAY, "shell: fork -> job\njob: exit 7", 7 << 8, id="its own"),
        pytest.param(TODAY, LEADER_FIRST, 9 << 8, id="the last thread's since 5.17"),
        pytest.param(BEFORE_5_17, LEADER_FIRST, 3 << 8, id="the leader's before"),
        pytest.param(
            TODAY,
            "shell: fork -> job\njob: exit 1\nshell: kill job KILL = 0",
            1 << 8,
            id="a signal does nothing to a zombie",
        ),
        pytest.param(
            TODAY,
            "shell: fork -> job\njob: clone THREAD -> thread\nthread: exit_group 5",
            5 << 8,
            id="exit_group ends all threads",
        ),
        pytest.param(
            TODAY,
            "shell: fork -> job\nshell: kill 4 = 0",
            signal.SIGTERM,
            id="a signal that killed",
        ),
    ],
)
def test_the_status_that_wait_returns(features: Features, text: str, status: int) -> None:
    played = play(f"{SHELL}{text}\nshell: wait = 4", features)
    assert played.names["shell"].stat_addr == status


def test_a_zombie_stays_until_it_is_waited_for(shell: TaskStruct) -> None:
    job = fork(shell)
    assert call(shell, "wait4", -1) == 0
    assert call(job, "exit", 7) is None
    assert job.exit_state == "Z" and seen(shell, 4) is job
    with pytest.raises(Blocked):
        call(job, "getpid")
    assert call(shell, "wait4", -1) == 4
    assert seen(shell, 4) is None and job.thread_pid is None
    assert refused(shell, "wait4", -1) == errno.ECHILD


def test_an_init_takes_its_namespace_along() -> None:
    told: list[events.Event] = []
    played = play(
        f"""{SHELL}
        shell: clone NEWPID -> box
        box: clone NEWPID -> inner
        inner: fork
        box: fork
        box: exit 1
        """,
        listener=told.append,
    )
    assert sum(isinstance(event, events.NamespaceDying) for event in told) == 2
    assert played.names["box"].exit_state == "Z"
    assert [task.pid for task in played.kernel.tasks()] == [1, 2, 3, 4]
    go_on(played, "shell: setns box\nshell: wait = 4\nshell: fork = ENOMEM")


def test_an_init_that_waits_makes_no_call(shell: TaskStruct, init: TaskStruct) -> None:
    call(shell, "setns", task_active_pid_ns(init))
    joined = fork(shell)
    call(init, "exit")
    assert joined.exit_state == "Z" and init.exit_state == ""
    with pytest.raises(Blocked, match="namespace to empty"):
        call(init, "getpid")


def test_the_reaper_of_a_namespace_is_the_thread_that_is_left() -> None:
    names = play(f"{SHELL}shell: clone NEWPID -> box\nbox: clone THREAD -> thread\nbox: exit").names
    ns = task_active_pid_ns(names["thread"])
    assert ns is not None and ns.child_reaper is names["thread"] and ns.adding


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
    played = play(SHELL + LEADER_FIRST, replace(TODAY, leader_gets_group_exit_code=group))
    told = heard(played.names["shell"])
    go_on(played, "shell: wait 4 = 4")
    assert isinstance(told[0], events.PidDetached) and told[0].exit_code == code


@pytest.mark.parametrize("late", [True, False], ids=["6.15", "before"])
def test_when_a_session_is_freed(late: bool) -> None:
    played = play(
        f"""{SHELL}
        shell: fork -> leader
        leader: setsid
        leader: fork -> member
        member: setpgid 0 0
        leader: fork -> other
        other: setpgid 0 5
        leader: exit
        shell: wait = leader
        member: exit
        init: wait = member
        """,
        replace(TODAY, freed_after_unlock=late),
    )
    told = heard(played.names["shell"])
    go_on(played, "other: setsid")  # out of session 4 and group 5, which no other task is in
    once: list[type] = [events.PidAttached, events.PidFreed]
    kinds = [type(event) for event in told]
    assert kinds == (sorted(once * 2, key=once.index) if late else once * 2)


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
