"""``struct pid``, the identity of a task, a process group or a session: kernel/pid.c.

A struct pid has one number (`Upid`) in its own namespace and one in each namespace around it,
``numbers[0]`` being the initial namespace's. It is not a process: up to four kinds of users hang on
its lists ``tasks[]``, as their own PID, as thread group, as process group or as session, and its
numbers stay taken until the last of them has left (`free_pid`).

``attach_pid()`` and its siblings run under tasklist_lock, held for writing. ``pids`` collects, as
since 6.15, what is to be freed once that lock is dropped.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pidscope.events import PidNumbers, PidType
from pidscope.model.pid_namespace import PIDNS_ADDING, PidNamespace
from pidscope.model.sched import TaskStruct

PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID = PidType
PIDTYPES = tuple(PidType)


class Upid(NamedTuple):
    """``struct upid``: a number and the namespace where it counts."""

    nr: int
    ns: PidNamespace


class Pid:
    """``struct pid``; ``numbers`` run from the initial namespace inwards to ``level``."""

    __slots__ = ("count", "level", "numbers", "pid_numbers", "tasks")

    def __init__(self, numbers: tuple[Upid, ...]) -> None:
        self.count = 1  # of the memory; more only where pidfds and open files of /proc have it
        self.level = len(numbers) - 1
        self.numbers = numbers
        # The heads of hlists: the last that was attached comes first.
        self.tasks: tuple[dict[TaskStruct, None], ...] = ({}, {}, {}, {})
        self.pid_numbers = PidNumbers(tuple([upid.nr for upid in numbers]), numbers[-1].ns.inum)

    def __repr__(self) -> str:
        return "/".join(str(upid.nr) for upid in self.numbers)


# Numbers


def pid_nr(pid: Pid | None) -> int:
    """The number in the initial namespace; 0 for no pid."""
    return pid.numbers[0].nr if pid is not None else 0


def pid_nr_ns(pid: Pid | None, ns: PidNamespace | None) -> int:
    """The number in ``ns``; 0 if it has none there: in a sibling or further in."""
    if pid is not None and ns is not None and ns.level <= pid.level:
        upid = pid.numbers[ns.level]
        if upid.ns is ns:
            return upid.nr
    return 0


def pid_vnr(pid: Pid | None, current: TaskStruct) -> int:
    """The number in the active namespace of ``current``."""
    return pid_nr_ns(pid, task_active_pid_ns(current))


def ns_of_pid(pid: Pid | None) -> PidNamespace | None:
    """The innermost namespace: the one it was allocated in."""
    return pid.numbers[-1].ns if pid is not None else None


def is_child_reaper(pid: Pid) -> bool:
    """Whether it is number 1 of its namespace."""
    return pid.numbers[-1].nr == 1


# From tasks


def task_pid(task: TaskStruct) -> Pid | None:
    """The task's own struct pid; None once released."""
    return task.thread_pid


def task_tgid(task: TaskStruct) -> Pid | None:
    """Its thread group's."""
    return task.signal.pids[PIDTYPE_TGID]


def task_pgrp(task: TaskStruct) -> Pid | None:
    """Its process group's."""
    return task.signal.pids[PIDTYPE_PGID]


def task_session(task: TaskStruct) -> Pid | None:
    """Its session's."""
    return task.signal.pids[PIDTYPE_SID]


def task_active_pid_ns(task: TaskStruct) -> PidNamespace | None:
    """Where the task lives: unshare() and setns() never change it; None once released."""
    return ns_of_pid(task.thread_pid)


def task_pid_nr_ns(task: TaskStruct, ns: PidNamespace | None) -> int:
    """The thread's number in ``ns``."""
    return pid_nr_ns(task_pid(task), ns)


def task_tgid_nr_ns(task: TaskStruct, ns: PidNamespace | None) -> int:
    """The process's number in ``ns``."""
    return pid_nr_ns(task_tgid(task), ns)


def task_pgrp_nr_ns(task: TaskStruct, ns: PidNamespace | None) -> int:
    """The process group's number in ``ns``."""
    return pid_nr_ns(task_pgrp(task), ns)


def task_session_nr_ns(task: TaskStruct, ns: PidNamespace | None) -> int:
    """The session's number in ``ns``."""
    return pid_nr_ns(task_session(task), ns)


def task_pid_vnr(task: TaskStruct, current: TaskStruct) -> int:
    """The thread's number in the namespace of ``current``."""
    return pid_vnr(task_pid(task), current)


def task_tgid_vnr(task: TaskStruct, current: TaskStruct) -> int:
    """The process's number in the namespace of ``current``."""
    return pid_vnr(task_tgid(task), current)


# To tasks


def find_pid_ns(nr: int, ns: PidNamespace | None) -> Pid | None:
    """The struct pid with this number in ``ns``."""
    return ns.allocator.pids.get(nr) if ns is not None else None


def find_vpid(nr: int, current: TaskStruct) -> Pid | None:
    """The struct pid with this number where ``current`` lives."""
    return find_pid_ns(nr, task_active_pid_ns(current))


def pid_task(pid: Pid | None, pid_type: PidType) -> TaskStruct | None:
    """The first task on one of its lists: the one attached last."""
    return next(reversed(pid.tasks[pid_type]), None) if pid is not None else None


def find_task_by_pid_ns(nr: int, ns: PidNamespace | None) -> TaskStruct | None:
    """The task, a thread maybe, with this number in ``ns``."""
    return pid_task(find_pid_ns(nr, ns), PIDTYPE_PID)


def find_task_by_vpid(nr: int, current: TaskStruct) -> TaskStruct | None:
    """The task with this number where ``current`` lives."""
    return pid_task(find_vpid(nr, current), PIDTYPE_PID)


# Allocation


def alloc_pid(ns: PidNamespace, set_tid: Sequence[int] = ()) -> Pid:
    """Take a number at every level, innermost first, and publish a struct pid without a task.

    ``set_tid`` has the wanted numbers, innermost first. A refusal leaves the cursors of the levels
    already asked where they are: failed forks burn numbers. Raises OSError: EINVAL, EEXIST,
    EAGAIN (a level is full), ENOMEM (the namespace is dead).
    """
    try:
        numbers = _numbers(ns, set_tid)
    except OSError as error:
        ns.kernel.trace.alloc_pid_failed(error.errno or 0)
        raise
    pid = Pid(numbers)
    for nr, level_ns in numbers:
        level_ns.allocator.pids[nr] = pid
        level_ns.pid_allocated += 1
    ns.count += 1
    ns.kernel.trace.alloc_pid(pid)
    return pid


def _numbers(ns: PidNamespace, set_tid: Sequence[int]) -> tuple[Upid, ...]:
    if len(set_tid) > ns.level + 1:
        raise OSError(errno.EINVAL, f"{len(set_tid)} numbers for {ns.level + 1} levels")
    try:
        return _take_all(ns, dict(zip(ns.outwards(), set_tid)))
    except OSError:
        if ns.pid_allocated == PIDNS_ADDING:  # no task has lived here yet
            ns.allocator.reset()
        raise


def _take_all(ns: PidNamespace, wanted: Mapping[PidNamespace, int]) -> tuple[Upid, ...]:
    features = ns.kernel.features
    if features.set_tid_checked_first:
        for level_ns, nr in wanted.items():
            _check_wanted(level_ns, nr)
    numbers = []
    for level_ns in ns.outwards():
        if level_ns in wanted:
            nr = _take(level_ns, wanted[level_ns])
        else:
            free = level_ns.allocator.next(level_ns.pid_limit)
            if free is None:
                raise OSError(errno.EAGAIN, f"no number is free in {level_ns}")
            nr = free
        numbers.append(Upid(nr, level_ns))
    for level_ns in ns.outwards() if features.dead_ancestor_refuses else (ns,):
        if not level_ns.adding:
            raise OSError(errno.ENOMEM, f"the init of {level_ns} has exited")
    return tuple(numbers[::-1])


def _check_wanted(ns: PidNamespace, nr: int) -> None:
    if not 1 <= nr < ns.pid_limit:
        raise OSError(errno.EINVAL, f"{nr} is not below pid_max {ns.pid_limit}")
    if nr != 1 and ns.child_reaper is None:
        raise OSError(errno.EINVAL, f"the first in {ns} must be 1, not {nr}")


def _take(ns: PidNamespace, nr: int) -> int:
    _check_wanted(ns, nr)
    if nr in ns.allocator.pids:
        raise OSError(errno.EEXIST, f"{nr} is taken in {ns}")
    return nr


def free_pid(pid: Pid) -> None:
    """Give the numbers back, at every level at once."""
    kernel = pid.numbers[0].ns.kernel
    kernel.trace.free_pid(pid)
    for nr, ns in pid.numbers:
        ns.pid_allocated -= 1
        if ns.child_reaper is not None:
            if ns.pid_allocated <= 2:
                kernel.wake_up_process(ns.child_reaper)
        elif ns.pid_allocated == PIDNS_ADDING:  # the fork of the first process failed
            if kernel.features.first_fork_may_fail:
                ns.allocator.reset()
            else:
                ns.pid_allocated = 0
        del ns.allocator.pids[nr]
        kernel.other_cpus()
    put_pid(pid)


def put_pid(pid: Pid) -> None:
    """Drop a reference to the memory; with the last one goes that to the innermost namespace."""
    pid.count -= 1
    if not pid.count:
        pid.numbers[-1].ns.put()


def free_pids(pids: Sequence[Pid]) -> None:
    """Free what was collected under tasklist_lock, after it has been dropped."""
    for pid in pids:
        free_pid(pid)


# Attachment


def attach_pid(task: TaskStruct, pid_type: PidType) -> None:
    """Put the task on that list of the struct pid that its pointer of this type points to."""
    task.kernel.trace.attach_pid(task, pid_type)
    pid = task_pid_ptr(task, pid_type)
    assert pid is not None
    pid.tasks[pid_type][task] = None


def task_pid_ptr(task: TaskStruct, pid_type: PidType) -> Pid | None:
    """What the task's pointer of this type points to."""
    return task.thread_pid if pid_type is PIDTYPE_PID else task.signal.pids[pid_type]


def change_pid(pids: list[Pid], task: TaskStruct, pid_type: PidType, pid: Pid) -> None:
    """Move a process to another group or session.

    Compilers inline ``attach_pid()`` here: this function has a hook that reports the same.
    """
    task.kernel.trace.change_pid(task, pid_type, pid)
    __change_pid(pids, task, pid_type, pid)
    pid.tasks[pid_type][task] = None


def detach_pid(pids: list[Pid], task: TaskStruct, pid_type: PidType) -> None:
    """Clear the pointer and leave the list."""
    task.kernel.trace.detach_pid(task, pid_type)
    __change_pid(pids, task, pid_type, None)


def __change_pid(pids: list[Pid], task: TaskStruct, pid_type: PidType, new: Pid | None) -> None:
    pid = task_pid_ptr(task, pid_type)
    assert pid is not None
    del pid.tasks[pid_type][task]
    if pid_type is PIDTYPE_PID:
        task.thread_pid = new
    else:
        task.signal.pids[pid_type] = new
    task.kernel.other_cpus()
    if any(pid.tasks):
        return
    if task.kernel.features.freed_after_unlock:
        pids.append(pid)
    else:
        free_pid(pid)


def exchange_tids(left: TaskStruct, right: TaskStruct) -> None:
    """Swap the struct pids of two threads: for an exec by ``left``, which is not the leader."""
    kernel = left.kernel
    kernel.trace.exchange_tids(left, right)
    pid1, pid2 = left.thread_pid, right.thread_pid
    assert pid1 is not None and pid2 is not None
    list1, list2 = pid1.tasks[PIDTYPE_PID], pid2.tasks[PIDTYPE_PID]
    del list1[left]
    list1[right] = None
    kernel.other_cpus()  # hlists_swap_heads_rcu(): both numbers lead to one task
    del list2[right]
    list2[left] = None
    kernel.other_cpus()
    left.thread_pid = pid2
    kernel.other_cpus()
    right.thread_pid = pid1
    left.pid, right.pid = right.pid, left.pid


def transfer_pid(old: TaskStruct, new: TaskStruct, pid_type: PidType) -> None:
    """Let ``new`` stand in the place of ``old`` on its process's list of this type."""
    old.kernel.trace.transfer_pid(old, new, pid_type)
    pid = task_pid_ptr(old, pid_type)
    assert pid is not None
    attached = list(pid.tasks[pid_type])
    pid.tasks[pid_type].clear()
    pid.tasks[pid_type].update({new if task is old else task: None for task in attached})
