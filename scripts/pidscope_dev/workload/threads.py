"""Workloads with threads: many of them, without their leader, and executing programs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family, check
from pidscope_dev.workload.workload import Options, Workload, exactly

LEADERLESS_THREADS = 2
EXECUTED = (
    "import os, sys; "
    "sys.exit(os.getpid() != int(sys.argv[1]) or len(os.listdir('/proc/self/task')) != 1)"
)
"""The program a thread executes: its process has the old number, and one thread."""


def run_threads(family: Family, options: Options) -> None:
    """Processes at host level and in two namespaces start threads that live at the same time."""
    family.reap(family.fork(lambda: _have_threads(8, 20)))
    family.reap(family.fork(lambda: _fork_in_thread(family)))
    _lose_leader(family)
    family.reap(family.fork(lambda: family.in_new_namespace(lambda: _threads_level_one(family))))


def _threads_level_one(family: Family) -> None:
    """An init with threads, another process with threads, and a deeper init with threads."""
    _have_threads(6, 5)
    family.reap(family.fork(lambda: _have_threads(5, 5)))
    _lose_leader(family)
    # Last: with another namespace for its children, a process can start no thread (copy_process).
    family.in_new_namespace(lambda: _have_threads(4, 4))


def _have_threads(together: int, in_turn: int) -> None:
    """Start threads that live together, and meanwhile others that live one after another."""
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(together)]
    for thread in threads:
        thread.start()
    for _ in range(in_turn):
        short = threading.Thread(target=release.is_set)
        short.start()
        short.join()
    release.set()
    for thread in threads:
        thread.join()


def _fork_in_thread(family: Family) -> None:
    """A thread that is not the leader forks; it stays, because its death would kill the child."""
    statuses: list[int] = []

    def fork() -> None:
        pid = family.fork(lambda: None)
        statuses.append(os.waitpid(pid, 0)[1])

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    check(statuses == [0], f"child of a thread: {statuses}")


def _lose_leader(family: Family) -> None:
    """A process whose leader ends first: the leader stays a zombie until its threads are gone."""
    gone, finish = family.channel(), family.channel()
    pid = family.fork(lambda: _end_leader(family, gone, finish))
    gone.receive()
    check(os.waitpid(pid, os.WNOHANG) == (0, 0), "a leader with live threads was reaped")
    finish.send()
    family.reap(pid)


def _end_leader(family: Family, gone: Channel, finish: Channel) -> None:
    """End the leader alone. The kernel kills its child then, and so the others know."""
    tied, never = family.channel(), family.channel()

    def live() -> None:
        tied.send()  # only now: the death signal is asked for by the child itself
        never.receive()

    child = family.fork(live)
    tied.receive()
    others = [threading.Thread(target=never.receive) for _ in range(LEADERLESS_THREADS - 1)]
    for thread in others:
        thread.daemon = True
        thread.start()
    last = threading.Thread(target=_see_leader_gone, args=(child, gone, finish))
    last.start()
    syscalls.exit_thread()


def _see_leader_gone(child: int, gone: Channel, finish: Channel) -> NoReturn:
    """The thread that remains: the leader's child died of the leader's death (pdeath_signal)."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        gone.send()
        finish.receive()
        os._exit(0)
    os._exit(1)


def run_exec_thread(family: Family, options: Options) -> None:
    """A thread that is not the leader executes a program, at host level and in two namespaces."""
    family.reap(family.fork(lambda: _execute_in_thread(3, session=True)))
    family.reap(family.fork(lambda: family.in_new_namespace(lambda: _exec_level_one(family))))


def _exec_level_one(family: Family) -> None:
    """In level 1: a process, the init of level 2, and at last the init itself."""
    family.reap(family.fork(lambda: _execute_in_thread(2, session=True)))
    deeper = family.fork(lambda: family.in_new_namespace(lambda: _execute_in_thread(1)))
    family.reap(deeper)
    _execute_in_thread(2)


def _execute_in_thread(idle: int, session: bool = False) -> None:
    """Start idle threads, and one that executes a program and so takes the leader's number."""
    if session:
        os.setsid()
    never = threading.Event()
    for _ in range(idle):
        threading.Thread(target=never.wait, daemon=True).start()
    threading.Thread(target=_execute, daemon=True).start()
    never.wait()


def _execute() -> None:
    """Replace the whole process; of the threads only this one remains (de_thread)."""
    # A thread has none of its leader's arrangements: copy_process clears pdeath_signal.
    syscalls.die_with_parent()
    try:
        program = (sys.executable, "-I", "-S", "-c", EXECUTED, str(os.getpid()))
        os.execv(sys.executable, program)
    finally:
        os._exit(1)


THREADS = Workload(
    "threads",
    run_threads,
    "62 threads at 3 levels; leaders that end before them",
    exactly(11, 62, namespaces=2),
)
EXEC_THREAD = Workload(
    "exec-thread",
    run_exec_thread,
    "exec by a thread that is not the leader, at 3 levels",
    exactly(6, 12, change_pid=4, exchange_tids=4, namespaces=2),
)
