"""The model's whole state, in the form in which `compare.of_table` gives the table's."""

from __future__ import annotations

from typing import Any

from pidscope.events import PidType
from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid, pid_nr_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import TaskStruct

KINDS = (PidType.TGID, PidType.PGID, PidType.SID)


def of_model(kernel: Kernel, comm: bool = True) -> dict[str, Any]:
    """Every task, every struct pid without one, every namespace with somebody in it."""
    pids = kernel.init_pid_ns.allocator.pids
    held = [pid for pid in pids.values() if not pid.tasks[PidType.PID]]
    return {
        "tasks": {task.pid: _task(task, comm) for task in kernel.tasks()},
        "held": {pid.numbers[0].nr: (_numbers(pid), _users(pid)) for pid in held},
        "namespaces": {ns.inum: _namespace(ns) for ns in _populated(kernel)},
    }


def _task(task: TaskStruct, comm: bool) -> tuple[Any, ...]:
    pid = task.thread_pid
    assert pid is not None
    spaces = [upid.ns for upid in pid.numbers]
    links = {kind: tuple(pid_nr_ns(task.signal.pids[kind], ns) for ns in spaces) for kind in KINDS}
    inums = tuple(ns.inum for ns in spaces)
    return _numbers(pid), inums, links, task.comm if comm else b""


def _numbers(pid: Pid) -> tuple[int, ...]:
    return tuple(upid.nr for upid in pid.numbers)


def _users(pid: Pid) -> list[tuple[int, int]]:
    return sorted((int(kind), task.tgid) for kind in KINDS for task in pid.tasks[kind])


def _populated(kernel: Kernel) -> set[PidNamespace]:
    pids = kernel.init_pid_ns.allocator.pids.values()
    return {upid.ns for pid in pids for upid in pid.numbers} | {kernel.init_pid_ns}


def _namespace(ns: PidNamespace) -> tuple[Any, ...]:
    numbers = {number: pid.numbers[0].nr for number, pid in sorted(ns.allocator.pids.items())}
    return ns.level, ns.parent.inum if ns.parent else 0, numbers


def start_ticks(kernel: Kernel, ns_per_tick: int) -> dict[int, int]:
    """When each task started, in USER_HZ."""
    return {task.pid: task.start_boottime // ns_per_tick for task in kernel.tasks()}
