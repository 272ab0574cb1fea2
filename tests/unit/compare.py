"""The table's whole state and the model's, as plain values that can be compared."""

from __future__ import annotations

from typing import Any

from pidscope.events import PidType
from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid as Truth
from pidscope.model.pid import pid_nr_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.table.pid import Namespace, Pid, Task
from pidscope.table.table import Table

FIELDS = {PidType.TGID: "tgid", PidType.PGID: "pgid", PidType.SID: "sid"}


def of_model(kernel: Kernel, comm: bool = True, midway: bool = False) -> dict[str, Any]:
    """Every task, every struct pid without one, every namespace with somebody in it.

    ``midway``: some call is being made, so what is not attached yet, or still to be freed, is not.
    """
    pids = kernel.init_pid_ns.allocator.pids.values()
    shown = {pid for pid in pids if not midway or pid.tasks[PidType.PID] or _users(pid, True)}
    populated = {upid.ns for pid in shown for upid in pid.numbers} | {kernel.init_pid_ns}
    return {
        "tasks": {task.pid: _task(task, comm) for task in kernel.tasks()},
        "held": {
            pid.numbers[0].nr: (pid.pid_numbers.numbers, _users(pid, midway))
            for pid in shown
            if not pid.tasks[PidType.PID]
        },
        "namespaces": {ns.inum: _namespace(ns, shown) for ns in populated},
    }


def _task(task: TaskStruct, comm: bool) -> tuple[Any, ...]:
    pid = task.thread_pid
    assert pid is not None
    spaces = [upid.ns for upid in pid.numbers]
    pids = task.signal.pids
    links = {kind: tuple(pid_nr_ns(pids[kind], ns) for ns in spaces) for kind in FIELDS}
    inums = tuple(ns.inum for ns in spaces)
    return pid.pid_numbers.numbers, inums, links, task.comm if comm else b""


def _users(pid: Truth, midway: bool) -> list[tuple[int, int]]:
    """The processes on its lists; a newborn is on them before it is attached as PID."""
    return sorted(
        (int(kind), task.tgid)
        for kind in FIELDS
        for task in pid.tasks[kind]
        if not midway or (task.thread_pid and task in task.thread_pid.tasks[PidType.PID])
    )


def _namespace(ns: PidNamespace, shown: set[Truth]) -> tuple[Any, ...]:
    pids = sorted(ns.allocator.pids.items())
    numbers = {number: pid.numbers[0].nr for number, pid in pids if pid in shown}
    return ns.level, ns.parent.inum if ns.parent else 0, numbers


def start_ticks(kernel: Kernel) -> dict[int, int]:
    """When each task started, in USER_HZ."""
    return {task.pid: task.start_boottime // NS_PER_TICK for task in kernel.tasks()}


def of_table(table: Table, comm: bool = True) -> dict[str, Any]:
    """The same of the table."""
    return {
        "tasks": dict(_row(task, comm) for task in table.tasks()),
        "held": {pid.nr: (pid.numbers, _holders(pid)) for pid in table.held()},
        "namespaces": {
            ns.inum: (
                ns.level,
                ns.parent.inum if ns.parent else 0,
                {number: pid.nr for number, pid in sorted(ns.pids.items())},
            )
            for ns in table.namespaces.values()
        },
    }


def _row(task: Task, comm: bool) -> tuple[int, tuple[Any, ...]]:
    """A task's number, and what is compared of it."""
    assert task.pid is not None and task in task.group.threads
    spaces = _chain(task.pid.ns)
    of_group = {kind: getattr(task.group, field) for kind, field in FIELDS.items()}
    links = {  # By tracepoints one may be unknown for a moment: that equals no numbers.
        kind: None if link is None else tuple(link.nr_in(ns) for ns in spaces)
        for kind, link in of_group.items()
    }
    inums = tuple(ns.inum for ns in spaces)
    return task.pid.nr, (task.pid.numbers, inums, links, task.comm if comm else b"")


def _holders(pid: Pid) -> list[tuple[int, int]]:
    users = [(int(PidType.PGID), group) for group in pid.groups]
    users += [(int(PidType.SID), group) for group in pid.sessions]
    return sorted((kind, group.tgid.nr if group.tgid else 0) for kind, group in users)


def _chain(ns: Namespace) -> list[Namespace]:
    return [*_chain(ns.parent), ns] if ns.parent else [ns]


def masked(truth: dict[str, Any], table: Table) -> dict[str, Any]:
    """The truth less what a partial struct pid may leave open, and not one number more."""
    found = of_table(table, comm=False)
    partial = [pid for pid in table.held() if pid.partial]
    for pid in partial:
        numbers, users = truth["held"][pid.nr]
        assert numbers[: len(pid.numbers)] == pid.numbers, (numbers, pid)
        truth["held"][pid.nr] = (pid.numbers, users)
        for inum, (_, _, idr) in list(truth["namespaces"].items()):
            known = found["namespaces"].get(inum, (0, 0, {}))[2]
            for number, nr in list(idr.items()):
                if nr == pid.nr and number not in known:
                    del idr[number]
            if not idr and inum not in found["namespaces"]:
                del truth["namespaces"][inum]
    for nr, (_, _, links, _) in truth["tasks"].items():
        for kind, field in FIELDS.items():
            link = getattr(table.task(nr).group, field) if table.task(nr) else None
            if link is not None and link.partial:
                shown = found["tasks"][nr][2][kind]
                links[kind] = tuple(
                    None if seen is None else number for number, seen in zip(links[kind], shown)
                )
    return truth


def expect_equal(table: Table, kernel: Kernel, partial: bool = False, midway: bool = False) -> None:
    """Fail with both sides if anything differs."""
    truth = of_model(kernel, not partial, midway)
    if partial:
        truth = masked(truth, table)
    assert of_table(table, not partial) == truth
    if not midway:
        ticks = {task.pid.nr: table.start_ticks(task) for task in table.tasks() if task.pid}
        assert ticks == start_ticks(kernel)
