"""The table's whole state and the reference's, as plain values that can be compared."""

from __future__ import annotations

from typing import Any

from pidscope.events import PidType
from pidscope.table.pid import Namespace, Pid
from pidscope.table.table import Table
from tests.unit.reference import KINDS, NS_PER_TICK, Kernel
from tests.unit.reference import SPid as Truth

FIELDS = {PidType.TGID: "tgid", PidType.PGID: "pgid", PidType.SID: "sid"}


def of_kernel(kernel: Kernel, comm: bool = True) -> dict[str, Any]:
    """Every task, every held struct pid, every namespace of the reference."""
    tasks = {}
    for task in kernel.threads():
        assert task.pid is not None
        links = {}
        for kind in KINDS:
            link = task.process.pids[kind]
            assert link is not None
            links[kind] = tuple(link.nr_in(ns) for ns in task.pid.spaces)
        tasks[task.pid.nr] = (
            task.pid.numbers,
            tuple(ns.inum for ns in task.pid.spaces),
            links,
            task.comm if comm else b"",
        )
    living = [ns for ns in kernel.spaces if any(pid.used for pid in ns.idr.values())]
    return {
        "tasks": tasks,
        "held": {pid.nr: (pid.numbers, _users(pid)) for pid in kernel.held()},
        "namespaces": {
            ns.inum: (
                ns.level,
                ns.parent.inum if ns.parent else 0,
                {number: pid.nr for number, pid in sorted(ns.idr.items()) if pid.used},
            )
            for ns in living
        },
    }


def _users(pid: Truth) -> list[tuple[int, int]]:
    users = []
    for process, kind in pid.attached:
        tgid = process.pids[PidType.TGID]
        users.append((int(kind), tgid.nr if tgid else 0))
    return sorted(users)


def of_table(table: Table, comm: bool = True) -> dict[str, Any]:
    """The same of the table."""
    tasks = {}
    for task in table.tasks():
        assert task.pid is not None
        spaces = _chain(task.pid.ns)
        links = {}
        for kind, field in FIELDS.items():
            link = getattr(task.group, field)
            # By tracepoints a link may be unknown for a moment: that equals no numbers.
            links[kind] = None if link is None else tuple(link.nr_in(ns) for ns in spaces)
        inums = tuple(ns.inum for ns in spaces)
        tasks[task.pid.nr] = (task.pid.numbers, inums, links, task.comm if comm else b"")
        assert task in task.group.threads
    return {
        "tasks": tasks,
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


def expect_equal(table: Table, kernel: Kernel, partial: bool = False) -> None:
    """Fail with both sides if anything differs."""
    truth = of_kernel(kernel, not partial)
    if partial:
        truth = masked(truth, table)
    assert of_table(table, not partial) == truth
    if kernel.act is None:
        ticks = {task.pid.nr: task.start_ns // NS_PER_TICK for task in kernel.threads() if task.pid}
        assert {t.pid.nr: table.start_ticks(t) for t in table.tasks() if t.pid} == ticks
