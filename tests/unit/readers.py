"""/proc over the reference kernel, pointer by pointer: each yield is a moment for others to act."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import TypeVar

from pidscope.events import Birth, PidType, TaskSeen
from pidscope.snapshot import Status, TaskReading
from tests.unit.reference import NS_PER_TICK, Kernel, Thread

T = TypeVar("T")
Reading = Generator[None, None, T]


def numbers(kernel: Kernel) -> Reading[list[int]]:
    """readdir of /proc: the next listed number, one at a time (next_tgid())."""
    found = [0]
    while True:
        yield
        later = [nr for nr, pid in kernel.root.idr.items() if nr > found[-1] and pid.listed]
        if not later:
            return found[1:]
        found.append(min(later))


def threads(kernel: Kernel, number: int) -> Reading[list[int]]:
    """readdir of /proc/N/task: ends early if the thread it stands at is released (next_tid())."""
    pid = kernel.root.idr.get(number)
    task = pid.task if pid else None
    if task is None:
        return []
    at: object | None = task.process.leader
    found = []
    while at is not None:
        tid = at.pid  # type: ignore[attr-defined]
        if tid is None:
            break
        found.append(tid.nr)
        yield
        if at.released or at not in task.process.threads:  # type: ignore[attr-defined]
            break
        rest = task.process.threads[task.process.threads.index(at) + 1 :]  # type: ignore[arg-type]
        at = next((one for one in rest if not one.leads), None)
    return found


def status(kernel: Kernel, number: int) -> Reading[Status | None]:
    """One open by number, one read: proc_pid_status()."""
    pid = kernel.root.idr.get(number)
    if pid is None or pid.task is None:
        return None
    yield
    task = pid.task
    if task is None:
        return None
    yield
    parent = task.parent.process.pids[PidType.TGID] if task.parent and task.pid else None
    ppid = parent.nr if parent else 0
    yield
    tgid = task.process.pids[PidType.TGID]
    outer = tgid.nr if tgid else 0
    lines = []
    for kind in (PidType.TGID, PidType.PID, PidType.PGID, PidType.SID):
        line = []
        for ns in pid.spaces:
            yield
            link = task.at(kind)
            line.append(link.nr_in(ns) if link else 0)
        lines.append(tuple(line))
    return Status(task.comm, "S", ppid, outer, pid.nr, *lines)


def start_ticks(kernel: Kernel, number: int) -> Reading[int | None]:
    """Field 22 of stat."""
    pid = kernel.root.idr.get(number)
    yield
    task = pid.task if pid else None
    return task.start_ns // NS_PER_TICK if task else None


def pid_ns(kernel: Kernel, number: int) -> Reading[int | None]:
    """ns/pid; not readable once released."""
    pid = kernel.root.idr.get(number)
    yield
    task = pid.task if pid else None
    return task.pid.ns.inum if task and task.pid else None


def task_reading(kernel: Kernel, number: int) -> Reading[TaskReading | None]:
    """Status, ns and stat below one open directory: one struct pid's, as ProcFs.read()."""
    pid = kernel.root.idr.get(number)
    if pid is None or pid.task is None:
        return None
    read = yield from status(kernel, number)
    if read is None or kernel.root.idr.get(number) is not pid:
        return None
    yield
    task = pid.task
    inum = task.pid.ns.inum if task and task.pid else None
    yield
    task = pid.task
    return TaskReading(number, read, task.start_ns // NS_PER_TICK if task else None, inum)


def ns_chain(kernel: Kernel, number: int) -> Reading[list[tuple[int, int]]]:
    """The task's namespace and its parents: one open file."""
    yield
    pid = kernel.root.idr.get(number)
    if pid is None or pid.task is None or pid.task.pid is None:
        return []
    spaces = pid.task.pid.spaces
    return [(ns.inum, ns.parent.inum if ns.parent else 0) for ns in reversed(spaces)]


def seen(kernel: Kernel) -> Reading[list[TaskSeen]]:
    """The task iterator: from number to number, each task's pointers one after the other."""
    rows = []
    nr = 0
    while True:
        yield
        nr = min((other for other in kernel.root.idr if other > nr), default=0)
        if not nr:
            return rows
        task = kernel.root.idr[nr].task
        if task is not None:
            row = yield from _row(task)
            if row is not None:
                rows.append(row)


def _row(task: Thread) -> Reading[TaskSeen | None]:
    """One run of the program; None: a pointer is cleared."""
    tid = task.pid  # task_struct.pid is a number of its own, exchanged after the pointers
    yield
    pid = task.pid
    yield
    pgid = task.process.pids[PidType.PGID]
    yield
    sid = task.process.pids[PidType.SID]
    yield
    if tid is None or pid is None or pgid is None or sid is None:
        return None
    parent = task.parent.process.tgid if task.parent else 0
    outer = pid.ns.parent.inum if pid.ns.parent else 0
    names = pgid.names(), sid.names()
    birth = Birth(task.process.tgid, parent, task.start_ns, task.comm, outer, *names)
    return TaskSeen(0, 0, tid.nr, pid.names(), birth)


def meanwhile(kernel: Kernel, rng: random.Random, rate: float) -> None:
    """What others do between two of the reader's steps."""
    while rng.random() < rate:
        if kernel.act is None:
            act = kernel.random_act(rng)
            if act is not None:
                kernel.begin(act)
        else:
            kernel.step()


def drive(reading: Reading[T], kernel: Kernel, rng: random.Random, rate: float) -> T:
    """Finish the reading while others act."""
    while True:
        meanwhile(kernel, rng, rate)
        try:
            next(reading)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
