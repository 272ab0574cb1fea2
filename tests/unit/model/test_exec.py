"""fs/exec.c: a thread's exec takes the leader's numbers."""

from __future__ import annotations

import errno

from pidscope import events
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.pid import PIDTYPES
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import boot, container, fork, heard, links, numbers, refused, seen


def test_exec_keeps_everything_but_the_name(shell: TaskStruct) -> None:
    job = fork(shell)
    assert call(job, "execve", b"a-program-with-a-long-name") == 0
    assert job.comm == b"a-program-with-"
    assert numbers(job) == (4,) and links(job) == [(4,), (3,), (3,)]
    assert refused(shell, "setpgid", 4, 4) == errno.EACCES


def test_a_thread_that_execs_is_the_process_then(init: TaskStruct) -> None:
    leader = fork(init)
    call(leader, "setsid")
    began = leader.start_boottime
    other, thread = fork(leader, CLONE_THREAD), fork(leader, CLONE_THREAD)
    job = fork(leader)
    before = numbers(leader)
    assert numbers(thread)[1:] == (4,)
    call(thread, "execve", b"new")
    assert numbers(thread) == before and thread.start_boottime == began
    assert (call(thread, "getpid"), call(thread, "gettid")) == (2, 2)
    assert other.thread_pid is None and leader.thread_pid is None
    assert seen(init, 4) is None and seen(init, 2) is thread
    assert links(thread) == [before] * 3
    assert thread.thread_pid is not None
    assert [list(thread.thread_pid.tasks[kind]) for kind in PIDTYPES] == [
        [thread],
        [thread],
        [thread, job],
        [thread, job],
    ]
    assert job.real_parent is thread and list(init.children) == [thread]
    assert numbers(fork(init))[1:] == (6,)  # the cursor went on
    call(thread, "exit")
    assert call(init, "wait4", 2) == 2


def test_a_leader_that_execs_ends_its_threads(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    call(shell, "execve", b"new")
    assert thread.thread_pid is None and shell.pid == 3


def test_exec_by_the_last_thread_of_a_dead_leader(shell: TaskStruct) -> None:
    leader = fork(shell)
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit")
    call(thread, "execve", b"new")
    assert thread.pid == 4 and thread.exit_state == "" and leader.thread_pid is None


def test_an_inits_thread_that_execs_is_the_reaper() -> None:
    init = container(boot())
    thread = fork(init, CLONE_THREAD)
    call(thread, "execve", b"new")
    ns = thread.thread_pid.numbers[-1].ns if thread.thread_pid else None
    assert ns is not None and ns.child_reaper is thread and call(thread, "getpid") == 1


def test_what_it_tells(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    told = heard(shell)
    call(thread, "execve", b"new")
    exchange = next(event for event in told if isinstance(event, events.TidsExchanged))
    assert (exchange.by, exchange.tid, exchange.leader) == (4, 4, 3)
    assert exchange.start_ns == exchange.leader_start_ns
    transfers = [event for event in told if isinstance(event, events.PidTransferred)]
    assert [(event.tid, event.old) for event in transfers] == [(3, 4)] * 3
    assert [event.pid_type for event in transfers] == [
        events.PidType.TGID,
        events.PidType.PGID,
        events.PidType.SID,
    ]
    assert isinstance(told[-2], events.TaskRenamed) and told[-2].tid == 3
    assert isinstance(told[-1], events.TaskExecuted) and (told[-1].tid, told[-1].old_tid) == (3, 4)
