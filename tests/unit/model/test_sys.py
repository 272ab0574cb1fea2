"""kernel/sys.c, kernel/signal.c, kernel/nsproxy.c and kernel/pid_namespace.c: calls and errnos."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace

import pytest

from pidscope.events import TaskExited
from pidscope.model.features import LINUX_4_4, TODAY
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import boot, child, container, fork, heard, links, numbers, refused


def test_setsid(shell: TaskStruct) -> None:
    assert refused(shell, "setsid") == errno.EPERM
    job = fork(shell)
    call(job, "setpgid", 0, 0)
    assert refused(job, "setsid") == errno.EPERM  # it leads a group
    call(job, "setpgid", 0, 3)
    assert call(job, "setsid") == 4
    assert links(job) == [(4,)] * 3 and job.signal.leader


def test_setsid_while_others_are_in_the_group_called_like_it(shell: TaskStruct) -> None:
    job = fork(shell)
    call(job, "setpgid", 0, 0)
    member = fork(job)
    call(job, "setpgid", 0, 3)
    assert refused(job, "setsid") == errno.EPERM
    call(member, "setpgid", 0, 3)
    assert call(job, "setsid") == 4


@pytest.mark.parametrize(
    ("pid", "pgid", "expected"),
    [(0, -1, errno.EINVAL), (99, 0, errno.ESRCH), (-3, 0, errno.EINVAL), (1, 0, errno.ESRCH),
     (0, 99, errno.EPERM), (0, 0, errno.EPERM), (5, 0, errno.EINVAL), (4, 2, errno.EPERM)],
)  # fmt: skip
def test_setpgid_refused(shell: TaskStruct, pid: int, pgid: int, expected: int) -> None:
    fork(fork(shell), CLONE_THREAD)
    assert refused(shell, "setpgid", pid, pgid) == expected


def test_setpgid_of_others(shell: TaskStruct) -> None:
    job, apart = fork(shell), fork(shell)
    assert call(shell, "setpgid", 4, 4) == 0
    assert call(job, "getpgid", 0) == 4
    call(apart, "setsid")
    assert refused(shell, "setpgid", 5, 4) == errno.EPERM  # another session
    assert refused(job, "setpgid", 3, 4) == errno.ESRCH  # the parent is not a child
    fork(job)
    call(job, "exit")
    assert call(shell, "setpgid", 4, 3) == 0  # a zombie's group too


def test_a_group_further_in_can_be_joined_from_outside(shell: TaskStruct, init: TaskStruct) -> None:
    call(shell, "setpgid", 4, 4)
    job = fork(shell)
    assert call(job, "setpgid", 0, 4) == 0
    assert links(job)[1] == (4, 1)
    assert call(init, "getpgid", 0) == 1


def test_who_asks(shell: TaskStruct, init: TaskStruct) -> None:
    assert [call(init, name) for name in ("getpid", "gettid", "getppid")] == [1, 1, 0]
    assert (call(init, "getpgid", 0), call(init, "getsid", 1)) == (0, 0)
    assert (call(shell, "getpgid", 4), call(shell, "getsid", 4)) == (3, 3)
    assert refused(init, "getsid", 3) == errno.ESRCH
    assert refused(init, "getpgid", -1) == errno.ESRCH


# Signals


def test_kill_goes_by_what_the_caller_sees(shell: TaskStruct) -> None:
    init, job = container(shell), fork(shell)
    assert refused(init, "kill", 5, 0) == errno.ESRCH
    assert call(init, "kill", 0, 0) == 0  # its group, though it has no number for it
    assert refused(init, "kill", -1, 9) == errno.ESRCH  # nobody but itself
    assert refused(shell, "kill", 5, 65) == errno.EINVAL
    assert refused(shell, "kill", 99, 65) == errno.ESRCH  # looked up first
    assert refused(shell, "kill", -5, 9) == errno.ESRCH
    assert call(shell, "kill", 5, 0) == 0 and not job.exit_state


def test_kill_of_all(init: TaskStruct) -> None:
    one, two = fork(init), fork(init)
    call(one, "setsid")
    assert call(one, "kill", -1, signal.SIGKILL) == 0
    assert (one.exit_state, two.exit_state, init.exit_state) == ("", "Z", "")


def test_kernel_threads_are_deaf(shell: TaskStruct) -> None:
    assert call(shell, "kill", 2, signal.SIGKILL) == 0
    assert not child(shell, 2).exit_state


def test_init_struct_pid_is_never_freed(shell: TaskStruct) -> None:
    """Though nobody be in group and session 0 any more."""
    for nr in (1, 2):
        call(child(shell, nr), "setsid")
    assert call(shell, "getsid", 2) == 2


def test_an_init_is_deaf_inside_but_not_to_sigkill_from_outside(
    shell: TaskStruct, init: TaskStruct
) -> None:
    inside = fork(init)
    assert call(inside, "kill", 1, signal.SIGKILL) == 0 and not init.exit_state
    assert call(shell, "kill", 4, signal.SIGTERM) == 0 and not init.exit_state
    assert call(shell, "kill", 1, signal.SIGKILL) == 0  # the host's is deaf to all
    assert call(shell, "kill", 4, signal.SIGKILL) == 0 and init.exit_state == "Z"


def test_a_group_is_killed_across_namespaces(shell: TaskStruct) -> None:
    leader = fork(shell)
    call(leader, "setpgid", 0, 0)
    init = container(leader)
    inside = fork(init)
    assert call(shell, "kill", -4, signal.SIGKILL) == 0
    assert leader.exit_state == "Z" and inside.thread_pid is None
    assert init.exit_state == "Z" and init.real_parent is shell.kernel.init


def test_whoever_kills_itself_does_not_return() -> None:
    assert call(fork(boot()), "kill", 4, signal.SIGKILL) is None


# Namespaces


def test_unshare_once(shell: TaskStruct) -> None:
    assert call(shell, "unshare", CLONE_NEWPID) == 0
    assert refused(shell, "unshare", CLONE_NEWPID) == errno.EINVAL
    assert refused(shell, "clone", CLONE_NEWPID) == errno.EINVAL
    assert call(shell, "getpid") == 3  # it stays where it lives
    assert numbers(fork(shell)) == (4, 1)
    assert numbers(fork(shell)) == (5, 2)


def test_unshare_is_the_threads_own(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    call(thread, "unshare", CLONE_NEWPID)
    assert numbers(fork(shell)) == (5,)
    assert numbers(fork(thread)) == (6, 1)


def test_setns_goes_inwards_and_home(shell: TaskStruct) -> None:
    outer = container(shell)
    inner = container(outer)
    spaces = [task_active_pid_ns(task) for task in (shell, outer, inner)]
    assert refused(outer, "setns", spaces[0]) == errno.EINVAL
    for ns, expected in ((spaces[2], (6, 3, 2)), (spaces[1], (7, 4)), (spaces[0], (8,))):
        call(shell, "setns", ns)
        assert numbers(fork(shell)) == expected


def test_32_levels_are_all() -> None:
    deepest = boot()
    for level in range(1, 33):
        deepest = container(deepest)
        assert len(numbers(deepest)) == level + 1
    assert refused(deepest, "unshare", CLONE_NEWPID) == errno.ENOSPC
    deepest = boot(LINUX_4_4)
    for _ in range(32):
        deepest = container(deepest)
    assert refused(deepest, "unshare", CLONE_NEWPID) == errno.EINVAL


def test_max_pid_namespaces(shell: TaskStruct, init: TaskStruct) -> None:
    call(shell, "write_max_pid_namespaces", 1)
    assert refused(shell, "unshare", CLONE_NEWPID) == errno.ENOSPC
    call(init, "exit")
    call(shell, "wait4", -1)
    assert call(shell, "unshare", CLONE_NEWPID) == 0


def test_a_first_fork_that_fails() -> None:
    for usable in (True, False):
        shell = boot(replace(TODAY, first_fork_may_fail=usable))
        call(shell, "unshare", CLONE_NEWPID)
        assert refused(shell, "clone", 0, (), True) == errno.EFAULT
        if usable:
            assert numbers(fork(shell)) == (5, 1)
        else:
            assert refused(shell, "fork") == errno.ENOMEM


@pytest.mark.parametrize("value", [300, 4194305, -1])
def test_pid_max_has_bounds(value: int) -> None:
    assert refused(container(boot()), "write_pid_max", value) == errno.EINVAL


def test_pid_max_is_each_namespaces_own_or_everybodys() -> None:
    for per_ns in (True, False):
        shell = boot(replace(TODAY, pid_max_per_ns=per_ns))
        init = container(shell)
        assert call(init, "read_pid_max") == (4194304 if per_ns else 32768)
        call(init, "write_pid_max", 400)
        assert call(shell, "read_pid_max") == (32768 if per_ns else 400)


def test_a_full_namespace() -> None:
    init = container(boot())
    call(init, "write_pid_max", 301)
    call(init, "write_ns_last_pid", 300)
    assert call(init, "fork") == 300
    assert refused(init, "fork") == errno.EAGAIN
    assert refused(init, "write_ns_last_pid", 302) == errno.EINVAL
    assert call(init, "write_ns_last_pid", 0) == 0
    assert call(init, "fork") == 2


@pytest.mark.parametrize("refuses", [True, False], ids=["7.1", "before"])
def test_a_namespace_inside_one_that_is_dead(refuses: bool) -> None:
    shell = boot(replace(TODAY, dead_ancestor_refuses=refuses))
    outer = container(shell)
    call(outer, "unshare", CLONE_NEWPID)
    assert outer.nsproxy is not None
    call(shell, "setns", outer.nsproxy.pid_ns_for_children)  # nobody has lived there yet
    call(outer, "exit")
    if refuses:
        assert refused(shell, "fork") == errno.ENOMEM
    else:
        assert numbers(fork(shell)) == (5, 2, 1)


def test_a_namespace_goes_with_its_last_user(shell: TaskStruct) -> None:
    outer = container(shell)
    inner = container(outer)
    assert refused(inner, "clone", CLONE_NEWPID, (2,)) == errno.EINVAL
    assert shell.kernel.nr_pid_namespaces == 2
    call(outer, "exit")
    assert shell.kernel.nr_pid_namespaces == 1  # its zombie lives there
    call(shell, "wait4", -1)
    assert shell.kernel.nr_pid_namespaces == 0


def test_descendants_know_of_a_subreaper_far_above(shell: TaskStruct) -> None:
    call(shell, "set_child_subreaper", 1)
    parent = fork(fork(shell))
    orphan = fork(parent)
    call(parent, "exit")
    assert orphan.real_parent is shell


def test_a_group_is_told_last_first(shell: TaskStruct) -> None:
    first, second = fork(shell), fork(shell)
    call(first, "setpgid", 0, 0)
    call(shell, "setpgid", 5, 4)
    told = heard(shell)
    call(shell, "kill", -4, signal.SIGKILL)
    assert [event.tid for event in told if isinstance(event, TaskExited)] == [5, 4]
    assert first.exit_state == second.exit_state == "Z"
