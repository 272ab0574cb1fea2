"""fs/exec.c: a thread's exec takes the leader's numbers."""

from __future__ import annotations

import errno

import pytest

from pidscope import events
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.pid import PIDTYPES
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import fork, heard, links, numbers, refused, seen
from tests.unit.played import SHELL, fates, go_on, play

FATES = {
    "a leader's exec ends its threads": (
        """
        shell: clone THREAD -> thread
        shell: exec new
        shell: getpid = 3
        """,
        {"shell": "child of init", "thread": "released"},
    ),
    "a thread's exec ends the others and the leader": (
        """
        shell: fork -> leader
        leader: clone THREAD -> other
        leader: clone THREAD -> thread
        leader: fork -> job
        thread: exec new
        thread: getpid = 4
        thread: gettid = 4
        shell: fork = 8  # the cursor went on
        """,
        {
            "shell": "child of init",
            "leader": "released",
            "other": "released",
            "thread": "child of shell",
            "job": "child of thread",
        },
    ),
    "such a process ends as another does": (
        """
        shell: fork -> leader
        leader: clone THREAD -> thread
        thread: exec new
        thread: exit
        shell: wait 4 = 4
        """,
        {"shell": "child of init", "leader": "released", "thread": "released"},
    ),
    "the last thread of a dead leader execs": (
        """
        shell: fork -> leader
        leader: clone THREAD -> thread
        leader: exit
        thread: exec new
        thread: getpid = 4
        """,
        {"shell": "child of init", "leader": "released", "thread": "child of shell"},
    ),
}


@pytest.mark.parametrize(("text", "expected"), FATES.values(), ids=FATES)
def test_whom_an_exec_ends(text: str, expected: dict[str, str]) -> None:
    assert fates(play(SHELL + text)) == expected


def test_exec_keeps_everything_but_the_name(shell: TaskStruct) -> None:
    job = fork(shell)
    assert call(job, "execve", b"a-program-with-a-long-name") == 0
    assert job.comm == b"a-program-with-"
    assert numbers(job) == (4,) and links(job) == [(4,), (3,), (3,)]
    assert refused(shell, "setpgid", 4, 4) == errno.EACCES


def test_a_thread_that_execs_is_the_process_then() -> None:
    played = play(
        f"""{SHELL}
        shell: clone NEWPID -> box
        box: fork -> leader
        leader: setsid
        leader: clone THREAD -> thread
        leader: fork -> job
        thread: gettid = 3
        """
    )
    box, leader, thread, job = (played.names[n] for n in ("box", "leader", "thread", "job"))
    before, began = numbers(leader), leader.start_boottime
    go_on(played, "thread: exec new\nthread: getpid = 2\nthread: gettid = 2")
    assert thread.thread_pid is not None
    assert [numbers(thread), *links(thread)] == [before] * 4
    assert thread.start_boottime == began
    assert seen(box, 3) is None and seen(box, 2) is thread
    lists = [list(thread.thread_pid.tasks[kind]) for kind in PIDTYPES]
    assert lists == [[thread], [thread], [thread, job], [thread, job]]
    assert list(box.children) == [thread]


def test_an_inits_thread_that_execs_is_the_reaper() -> None:
    text = "init: clone NEWPID -> box\nbox: clone THREAD -> thread\nthread: exec new\n"
    thread = play(text + "thread: getpid = 1").names["thread"]
    assert thread.thread_pid is not None
    assert thread.thread_pid.numbers[-1].ns.child_reaper is thread


def test_what_it_tells(shell: TaskStruct) -> None:
    thread = fork(shell, CLONE_THREAD)
    told, start = heard(shell), shell.start_boottime
    call(thread, "execve", b"new")
    assert [event._replace(ts_ns=0) for event in told] == [
        events.TaskExited(0, 3, 3, 3, 0),
        events.TidsExchanged(0, 4, 4, 3, start, start),
        events.PidTransferred(0, 3, 3, 4, events.PidType.TGID),
        events.PidTransferred(0, 3, 3, 4, events.PidType.PGID),
        events.PidTransferred(0, 3, 3, 4, events.PidType.SID),
        events.PidDetached(0, 3, 4, 3, 0),
        events.PidFreed(0, 3, events.PidNumbers((4,), shell.kernel.init_pid_ns.inum)),
        events.TaskRenamed(0, 3, 3, b"new"),
        events.TaskExecuted(0, 3, 3, 4, b"new"),
    ]
