"""kernel/sys.c, kernel/signal.c, kernel/nsproxy.c and kernel/pid_namespace.c: calls and errnos."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace

import pytest

from pidscope.events import TaskExited
from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import boot, child, container, fork, heard, refused
from tests.unit.played import SHELL, numbers_of, play

CALLS = {
    "setsid": """
        shell: setsid = EPERM
        shell: fork -> job
        job: setpgid 0 0
        job: setsid = EPERM  # it leads a group
        job: setpgid 0 3
        job: setsid = 4
        job: getpid = 4
        job: getpgid = 4
        job: getsid = 4
        job: setpgid 0 3 = EPERM  # it leads a session
    """,
    "setsid while others are in the group called like it": """
        shell: fork -> job
        job: setpgid 0 0
        job: fork -> member
        job: setpgid 0 3
        job: setsid = EPERM
        member: setpgid 0 3
        job: setsid = 4
    """,
    "setpgid refused": """
        shell: fork -> job = 4
        job: clone THREAD = 5
        shell: setpgid 0 -1 = EINVAL
        shell: setpgid 99 0 = ESRCH
        shell: setpgid -3 0 = EINVAL
        shell: setpgid 1 0 = ESRCH
        shell: setpgid 0 99 = EPERM
        shell: setpgid 0 0 = EPERM
        shell: setpgid 5 0 = EINVAL
        shell: setpgid 4 2 = EPERM
    """,
    "setpgid of others": """
        shell: fork -> job
        shell: fork -> apart
        shell: setpgid 4 4 = 0
        job: getpgid 0 = 4
        apart: setsid
        shell: setpgid 5 4 = EPERM  # another session
        job: setpgid 3 4 = ESRCH  # the parent is not a child
        job: fork
        job: exit
        shell: setpgid 4 3 = 0  # a zombie's group too
    """,
    "a group further in can be joined from outside": """
        shell: clone NEWPID -> box
        shell: setpgid 4 4
        shell: fork -> job
        job: setpgid 0 4 = 0
        job: getpgid = box
        box: getpgid 0 = 1
    """,
    "who asks": """
        shell: clone NEWPID -> box
        box: getpid = 1
        box: gettid = 1
        box: getppid = 0
        box: getpgid 0 = 0
        box: getsid 1 = 0
        shell: getpgid 4 = 3
        shell: getsid 4 = 3
        box: getsid 3 = ESRCH
        box: getpgid -1 = ESRCH
    """,
    "kill goes by what the caller sees": """
        shell: clone NEWPID -> box
        shell: fork -> job = 5
        box: kill 5 0 = ESRCH
        box: kill 0 0 = 0  # its group, though it has no number for it
        box: kill -1 9 = ESRCH  # nobody but itself
        shell: kill 5 65 = EINVAL
        shell: kill 99 65 = ESRCH  # looked up first
        shell: kill -5 9 = ESRCH
        shell: kill 5 0 = 0
        job: getpid = 5
    """,
    "kill of all": """
        shell: clone NEWPID -> box
        box: fork -> one
        box: fork -> two
        one: setsid
        one: kill -1 KILL = 0
        one: getpid = 2
        box: getpid = 1
        box: wait two = 3
    """,
    "an init is deaf inside but not to SIGKILL from outside": """
        shell: clone NEWPID -> box
        box: fork -> inside
        inside: kill 1 KILL = 0
        box: getpid = 1
        shell: kill 4 TERM = 0
        box: getpid = 1
        shell: kill 1 KILL = 0  # the host's is deaf to all
        init: getpid = 1
        shell: kill 4 KILL = 0
        shell: wait 4 = 4
    """,
    "a group is killed across namespaces": """
        shell: fork -> leader
        leader: setpgid 0 0
        leader: clone NEWPID -> box
        box: fork -> inside
        shell: kill -4 KILL = 0
        shell: kill inside 0 = ESRCH
        shell: wait leader = 4
        init: wait box = 5
    """,
    "max_pid_namespaces": """
        shell: clone NEWPID -> box
        shell: sysctl max_pid_namespaces 1
        shell: unshare NEWPID = ENOSPC
        box: exit
        shell: wait
        shell: unshare NEWPID = 0
    """,
    "pid_max has bounds": """
        shell: clone NEWPID -> box
        box: sysctl pid_max 300 = EINVAL
        box: sysctl pid_max 4194305 = EINVAL
        box: sysctl pid_max -1 = EINVAL
    """,
    "a full namespace": """
        shell: clone NEWPID -> box
        box: sysctl pid_max 301
        box: sysctl ns_last_pid 300
        box: fork = 300
        box: fork = EAGAIN
        box: sysctl ns_last_pid 302 = EINVAL
        box: sysctl ns_last_pid 0 = 0
        box: fork = 2
    """,
    "descendants know of a subreaper far above": """
        shell: subreaper on
        shell: fork -> child
        child: fork -> parent
        parent: fork -> orphan
        parent: exit
        orphan: getppid = shell
    """,
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_each_call_gives_what_its_line_says(text: str) -> None:
    play(SHELL + text)


# Namespaces

NUMBERS = {
    "unshare once": (
        """
        shell: unshare NEWPID = 0
        shell: unshare NEWPID = EINVAL
        shell: clone NEWPID = EINVAL
        shell: getpid = 3  # it stays where it lives
        shell: fork -> one
        shell: fork -> two
        """,
        {"one": (4, 1), "two": (5, 2)},
    ),
    "unshare is the thread's own": (
        """
        shell: clone THREAD -> thread
        thread: unshare NEWPID
        shell: fork -> one
        thread: fork -> two
        """,
        {"one": (5,), "two": (6, 1)},
    ),
    "setns goes inwards and home": (
        """
        shell: clone NEWPID -> outer
        outer: clone NEWPID -> inner
        outer: setns shell = EINVAL
        shell: setns inner
        shell: fork -> one
        shell: setns outer
        shell: fork -> two
        shell: setns shell
        shell: fork -> three
        """,
        {"one": (6, 3, 2), "two": (7, 4), "three": (8,)},
    ),
}


@pytest.mark.parametrize(("text", "numbers"), NUMBERS.values(), ids=NUMBERS)
def test_where_children_will_live(text: str, numbers: dict[str, tuple[int, ...]]) -> None:
    assert numbers_of(play(SHELL + text), numbers) == numbers


@pytest.mark.parametrize(
    ("features", "refusal"), [(TODAY, "ENOSPC"), (LINUX_4_4, "EINVAL")], ids=["today", "4.4"]
)
def test_32_levels_are_all(features: Features, refusal: str) -> None:
    levels = range(1, 33)
    deeper = [f"t{level - 1}: clone NEWPID -> t{level}\n" for level in levels]
    played = play(f"init: fork -> t0\n{''.join(deeper)}t32: unshare NEWPID = {refusal}", features)
    depths = [
        len(found) for found in numbers_of(played, (f"t{level}" for level in levels)).values()
    ]
    assert depths == [level + 1 for level in levels]


UNSHARED = """
    shell: unshare NEWPID
    shell: clone bad_pidfd = EFAULT
"""
PID_MAX = """
    shell: clone NEWPID -> box
    box: sysctl pid_max = {inside}
    box: sysctl pid_max 400
    shell: sysctl pid_max = {outside}
"""
INSIDE_A_DEAD_ONE = """
    shell: clone NEWPID -> outer
    outer: unshare NEWPID
    shell: setns outer children  # nobody has lived there yet
    outer: exit
"""


@pytest.mark.parametrize(
    ("feature", "there", "text", "numbers"),
    [
        ("first_fork_may_fail", True, UNSHARED + "shell: fork -> one", {"one": (5, 1)}),
        ("first_fork_may_fail", False, UNSHARED + "shell: fork = ENOMEM", {}),
        ("pid_max_per_ns", True, PID_MAX.format(inside=4194304, outside=32768), {}),
        ("pid_max_per_ns", False, PID_MAX.format(inside=32768, outside=400), {}),
        ("dead_ancestor_refuses", True, INSIDE_A_DEAD_ONE + "shell: fork = ENOMEM", {}),
        (
            "dead_ancestor_refuses",
            False,
            INSIDE_A_DEAD_ONE + "shell: fork -> one",
            {"one": (5, 2, 1)},
        ),
    ],
)
def test_what_a_feature_decides(
    feature: str, there: bool, text: str, numbers: dict[str, tuple[int, ...]]
) -> None:
    played = play(SHELL + text, replace(TODAY, **{feature: there}))
    assert numbers_of(played, numbers) == numbers


def test_a_namespace_goes_with_its_last_user(shell: TaskStruct) -> None:
    outer = container(shell)
    inner = container(outer)
    assert refused(inner, "clone", CLONE_NEWPID, (2,)) == errno.EINVAL
    assert shell.kernel.nr_pid_namespaces == 2
    call(outer, "exit")
    assert shell.kernel.nr_pid_namespaces == 1  # its zombie lives there
    call(shell, "wait4", -1)
    assert shell.kernel.nr_pid_namespaces == 0


# What a scenario cannot show


def test_kernel_threads_are_deaf(shell: TaskStruct) -> None:
    assert call(shell, "kill", 2, signal.SIGKILL) == 0
    assert not child(shell, 2).exit_state


def test_init_struct_pid_is_never_freed(shell: TaskStruct) -> None:
    """Though nobody be in group and session 0 any more."""
    for nr in (1, 2):
        call(child(shell, nr), "setsid")
    assert call(shell, "getsid", 2) == 2


def test_whoever_kills_itself_does_not_return() -> None:
    assert call(fork(boot()), "kill", 4, signal.SIGKILL) is None


def test_a_group_is_told_last_first(shell: TaskStruct) -> None:
    first, second = fork(shell), fork(shell)
    call(first, "setpgid", 0, 0)
    call(shell, "setpgid", 5, 4)
    told = heard(shell)
    call(shell, "kill", -4, signal.SIGKILL)
    assert [event.tid for event in told if isinstance(event, TaskExited)] == [5, 4]
    assert first.exit_state == second.exit_state == "Z"
