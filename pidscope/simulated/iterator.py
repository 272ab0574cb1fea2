"""The model's task iterator: kernel/bpf/task_iter.c with the program of bpf/iterator.c.

A reading like those of the model's /proc: it stops between any two pointers, so that its rows are
torn as a kernel's are.
"""

from __future__ import annotations

from pidscope.events import Birth, TaskSeen
from pidscope.model.kernel import Kernel
from pidscope.model.pid import PIDTYPE_PGID, PIDTYPE_PID, PIDTYPE_SID, pid_task
from pidscope.model.sched import TaskStruct
from pidscope.simulated.procfs import Reading


def iterate(kernel: Kernel) -> Reading[list[TaskSeen]]:
    """Every task by its number in the initial namespace: ``task_seq_get_next()``."""
    rows = []
    pids = kernel.init_pid_ns.allocator.pids
    nr = 0
    while pids and nr < max(pids):
        nr = min(number for number in pids if number > nr)  # find_ge_pid()
        task = pid_task(pids[nr], PIDTYPE_PID)
        yield
        if task is not None:
            row = yield from _row(kernel, task)
            if row is not None:
                rows.append(row)
    return rows


def _row(kernel: Kernel, task: TaskStruct) -> Reading[TaskSeen | None]:
    """One run of the program; None: a pointer is cleared, the task is being released."""
    pid = task.thread_pid
    yield
    pgid = task.signal.pids[PIDTYPE_PGID]
    yield
    sid = task.signal.pids[PIDTYPE_SID]
    yield
    if pid is None or pgid is None or sid is None:
        return None
    tid = task.pid
    yield
    start_ns = task.start_boottime
    yield
    inside = pid.numbers[-1].ns
    birth = Birth(
        task.tgid,
        task.real_parent.tgid,
        start_ns,
        task.comm,
        inside.parent.inum if inside.parent is not None else 0,
        pgid.pid_numbers,
        sid.pid_numbers,
    )
    return TaskSeen(0, tid, tid, pid.pid_numbers, birth)
