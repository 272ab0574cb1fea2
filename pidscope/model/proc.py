r"""What /proc prints of this kernel: fs/proc/array.c, fs/proc/base.c and fs/proc/namespaces.c.

Files and listings are iterators. Each number is a piece of its own and is read through the task's
pointers only when that piece is asked for: as in the kernel no lock is held meanwhile, so a file
may be torn between what was before and what is after a system call of another task.

Lines about what this kernel does not have (memory, signals, credentials) are left out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Callable

from pidscope.model.pid import (
    PIDTYPE_PID,
    PIDTYPE_TGID,
    Pid,
    find_pid_ns,
    find_task_by_pid_ns,
    pid_nr_ns,
    pid_task,
    task_active_pid_ns,
    task_pgrp_nr_ns,
    task_pid_nr_ns,
    task_session_nr_ns,
    task_tgid_nr_ns,
)
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import (
    EXIT_ZOMBIE,
    PF_KTHREAD,
    TaskStruct,
    thread_group_leader,
)

USER_HZ = 100
NS_PER_TICK = 1_000_000_000 // USER_HZ

_NR_STAT_FIELDS = 52
_START_TIME = 22  # its field, counted from 1
_NrNs = Callable[[TaskStruct, PidNamespace], int]


# The tasks that are there


def proc_pid_lookup(nr: int, ns: PidNamespace) -> Generator[None, None, Pid | None]:
    """Open the directory of a number, a thread's too; returns the struct pid it will stand for.

    The task is found first and then asked for its struct pid (``proc_pid_make_inode()``): an exec
    by another thread in between makes that one another than was looked up.
    """
    task = find_task_by_pid_ns(nr, ns)
    yield
    return task.thread_pid if task is not None else None


def proc_pid_readdir(ns: PidNamespace) -> Iterator[int]:
    """The processes of a mount, in the order of their numbers: ``next_tgid()``, since 5.8.

    A process is listed from its attachment as TGID on, which comes before that as PID.
    """
    nr = _find_ge_pid(1, ns)
    while nr:
        if pid_task(find_pid_ns(nr, ns), PIDTYPE_TGID) is not None:
            yield nr
        nr = _find_ge_pid(nr + 1, ns)


def _find_ge_pid(nr: int, ns: PidNamespace) -> int:
    """The lowest number in use from ``nr`` on; 0 if there is none."""
    pids = ns.allocator.pids
    near = next((other for other in range(nr, nr + len(pids)) if other in pids), 0)
    return near or min((other for other in pids if other > nr), default=0)


def proc_task_readdir(pid: Pid, ns: PidNamespace) -> Iterator[int]:
    """The threads of a process, whose numbers are ``ns``'s: ``first_tid()``, ``next_tid()``.

    It ends early if the thread where it stands is released.
    """
    task = pid_task(pid, PIDTYPE_PID)
    at = next(iter(task.signal.threads), None) if task is not None else None
    while at is not None:
        tid = task_pid_nr_ns(at, ns)
        if tid:
            yield tid
        at = _next_thread(at)


def _next_thread(task: TaskStruct) -> TaskStruct | None:
    if task.thread_pid is None:  # pid_alive()
        return None
    threads = iter(task.signal.threads)
    for other in threads:
        if other is task:
            break
    after = next(threads, None)
    return None if after is None or thread_group_leader(after) else after


# Files of a task


def proc_pid_status(task: TaskStruct, ns: PidNamespace, pid: Pid | None = None) -> Iterator[bytes]:
    """``/proc/N/status``, piece by piece, for a mount of ``ns``.

    ``pid`` is the struct pid that was opened, by default the task's own. What is printed after
    the task's release has 0 for the numbers read through it.
    """
    pid = pid if pid is not None else task.thread_pid
    assert pid is not None
    yield b"Name:\t%b\n" % _escape(task.comm)
    ppid = _ppid(task, ns)  # read before the rest, whatever is printed first
    yield b"State:\t"
    tgid = task_tgid_nr_ns(task, ns)
    yield b"%b\nTgid:\t%d\nNgid:\t0" % (_state(task), tgid)
    yield b"\nPid:\t%d" % pid_nr_ns(pid, ns)
    yield b"\nPPid:\t%d\nTracerPid:\t0" % ppid
    for key, nr_ns in _NS_LINES:
        yield b"\n%b:" % key
        for upid in pid.numbers[ns.level :]:
            yield b"\t%d" % nr_ns(task, upid.ns)
    yield b"\nKthread:\t%d\n" % bool(task.flags & PF_KTHREAD)
    yield b"Threads:\t%d\n" % (len(task.signal.threads) if task.thread_pid is not None else 0)


_NS_LINES: tuple[tuple[bytes, _NrNs], ...] = (
    (b"NStgid", task_tgid_nr_ns),
    (b"NSpid", task_pid_nr_ns),
    (b"NSpgid", task_pgrp_nr_ns),
    (b"NSsid", task_session_nr_ns),
)


def proc_pid_stat(task: TaskStruct, ns: PidNamespace, pid: Pid | None = None) -> Iterator[bytes]:
    """``/proc/N/stat``, piece by piece (``do_task_stat()``); ``pid`` as for `proc_pid_status`.

    comm stands raw. Parent, group and session are read at once, under siglock, and are 0, -1
    and -1 once it is released.
    """
    pid = pid if pid is not None else task.thread_pid
    assert pid is not None
    ppid, pgid, sid, threads = 0, -1, -1, 0
    if task.thread_pid is not None:
        ppid, pgid = _ppid(task, ns), task_pgrp_nr_ns(task, ns)
        sid, threads = task_session_nr_ns(task, ns), len(task.signal.threads)
    fields = [b"0"] * _NR_STAT_FIELDS
    fields[0] = b"%d" % pid_nr_ns(pid, ns)
    fields[1] = b"(%b)" % task.comm
    fields[2] = _state(task)[:1]
    fields[3:8] = [b"%d" % number for number in (ppid, pgid, sid, 0, -1)]
    fields[8] = b"%d" % task.flags
    fields[19] = b"%d" % threads
    yield b" ".join(fields[: _START_TIME - 1])
    yield b" %d " % (task.start_boottime // NS_PER_TICK)
    code = task.signal.group_exit_code
    fields[-1] = b"%d" % (task.exit_code if code is None else code)
    yield b" ".join(fields[_START_TIME:]) + b"\n"


def _ppid(task: TaskStruct, ns: PidNamespace) -> int:
    """The parent's thread group; 0 if the parent is outside ``ns``, or the task is released."""
    return task_tgid_nr_ns(task.real_parent, ns) if task.thread_pid is not None else 0


def _state(task: TaskStruct) -> bytes:
    """``get_task_state()``; no task is ever observed running, since a system call takes no time."""
    if task.exit_state:
        return b"Z (zombie)" if task.exit_state == EXIT_ZOMBIE else b"X (dead)"
    if task.zaps is not None and task.kernel.features.zap_is_idle:
        return b"I (idle)"
    return b"D (disk sleep)" if task.vfork_child is not None else b"S (sleeping)"


def _escape(comm: bytes) -> bytes:
    r"""``proc_task_name()``: newline and backslash, as ``\n`` and ``\\``."""
    return comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


# Links to namespaces


def pidns_get(task: TaskStruct) -> PidNamespace | None:
    """``/proc/N/ns/pid``: zombies have it still; None once released."""
    return task_active_pid_ns(task)


def pidns_for_children_get(task: TaskStruct) -> PidNamespace | None:
    """``/proc/N/ns/pid_for_children``; None once it exits.

    Up to 7.0 also None until the namespace has had its init.
    """
    if task.nsproxy is None:
        return None
    ns = task.nsproxy.pid_ns_for_children
    if ns.child_reaper is None and not task.kernel.features.entered_before_init:
        return None
    return ns
