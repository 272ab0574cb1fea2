"""Who forks, and where: every birth and failed fork is counted once, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import pidscope.query.fork_counts as births_module
from pidscope.containers.container import Container
from pidscope.events import ERESTARTNOINTR, Event, ForkFailed, PidAttached
from pidscope.query.fork_counts import ByComm, ByNamespace, First
from pidscope.render.fork_counts import counts_json, counts_table, rows_json
from pidscope.session.session import Session
from pidscope.simulated.stage import set_stage
from pidscope.table.table import Table
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT


def counted(scenario: str) -> tuple[ByComm, ByNamespace, list[Event]]:
    world = set_stage(scenario).world
    by_comm, by_namespace, events = ByComm(), ByNamespace(), []

    def told(event: Event, session: Session) -> None:
        assert session.table is not None
        by_comm.add(event, session.table)
        by_namespace.add(event, session.table)
        events.append(event)

    session = Session(world, told)
    session.begin()
    while world.step():
        session.pump()
    session.pump()
    return by_comm, by_namespace, events


def add_all(m: Machine, by_namespace: ByNamespace) -> None:
    table = Table(ROOT, 1)
    for event in m.kernel.records:
        by_namespace.add(event, table)
        table.apply(event)


def births(events: list[Event]) -> list[PidAttached]:
    return [e for e in events if isinstance(e, PidAttached) and e.birth is not None]


def total(rows: Any, column: str) -> Counter[int]:
    """A column, by namespace."""
    return sum((Counter({row["ns"]: row[column]}) for row in rows), Counter())


@pytest.mark.parametrize("scenario", ["containers", "fork-bomb", "reuse", "random:2"])
def test_each_is_counted_once(scenario: str) -> None:
    by_comm, by_namespace, events = counted(scenario)
    failed = Counter(e.children_ns for e in events if isinstance(e, ForkFailed))
    born = Counter(e.pid.ns for e in births(events))
    comms = Counter(e.birth.comm for e in births(events) if e.birth is not None)
    rows = rows_json(by_namespace)
    assert total(rows, "births") == born and total(rows, "failed_forks") == failed
    told = {row["comm"]: row["births"] for row in rows_json(by_comm)}
    assert {k.decode(): n for k, n in comms.items()} == {k: n for k, n in told.items() if n}
    assert all(row["births"] == row["processes"] + row["threads"] for row in rows)
    sums = [row["births"] + row["failed_forks"] for row in rows]
    assert sums == sorted(sums, reverse=True)


def test_threads_are_told_from_processes() -> None:
    _, by_namespace, events = counted("containers")
    threads = sum(e.birth is not None and e.birth.tgid != e.tid for e in births(events))
    assert sum(row["threads"] for row in rows_json(by_namespace)) == threads > 0


def test_a_namespace_has_its_level_its_init_and_that_ones_name() -> None:
    _, by_namespace, _ = counted("containers")
    births = {(it["comm"], it["level"], it["init"]): it["births"] for it in rows_json(by_namespace)}
    assert births["nginx", 1, 19] == 18 and ("systemd", 0, 1) in births


def test_one_that_has_the_inum_again_has_a_row_of_its_own() -> None:
    m, by_namespace = Machine(), ByNamespace()
    for _ in range(2):
        outer = m.fork(m.kernel.init)
        inner = m.contain(outer)
        m.fork(inner)
        m.end(*[t for t in m.kernel.tasks() if inum(t) == inum(inner)][1:])
        m.end(inner)
    add_all(m, by_namespace)
    inner_rows = [row for row in rows_json(by_namespace) if row["level"] == 1]
    assert [row["births"] for row in inner_rows] == [2, 2]


def test_a_fork_that_is_restarted_has_not_failed() -> None:
    """It makes no row, either."""
    m = Machine()
    for births_so_far in (ByComm(), ByNamespace()):
        births_so_far.add(ForkFailed(1, 1, ERESTARTNOINTR, 0, 0, 100), m.table)
        assert rows_json(births_so_far) == []


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(births_module, "MAX_ROWS", 2)
    m = Machine()
    by_comm, by_namespace = ByComm(), ByNamespace()
    birth = births(m.kernel.records)[0]
    assert birth.birth is not None
    for n in range(5):
        by_comm.add(birth._replace(birth=birth.birth._replace(comm=bytes([65 + n]))), m.table)
        by_namespace.add(ForkFailed(1, 1, 11, 0, 0, 100 + n), m.table)
    assert (len(rows_json(by_comm)), by_comm.others.sum) == (2, 3)
    assert (len(rows_json(by_namespace)), by_namespace.others.sum) == (2, 3)
    document = counts_json(by_comm, None, sees_failures=True)
    assert document["others"]["births"] == 3


def test_failed_forks_that_nobody_can_see_are_not_none() -> None:
    by_comm, _, _ = counted("reuse")
    document = counts_json(by_comm, None, sees_failures=False)
    assert document["others"]["failed_forks"] is None
    cells, columns = counts_table(document["rows"], "comm")
    assert {row[columns.index("FAILED")] for row in cells} == {"?"}


def test_containers_are_told_and_hostile_names_are_escaped() -> None:
    m, by_namespace = Machine(), ByNamespace()
    inner = m.contain(m.fork(m.kernel.init))
    add_all(m, by_namespace)
    owner = Container("docker", "ab" * 32, "we\x1bb")
    first = First(nr(inner), inner.start_boottime)
    asked: list[tuple[int, First | None, bool]] = []

    def whose(ns: int, number_1: First | None, is_current: bool) -> Container | None:
        asked.append((ns, number_1, is_current))
        return owner if number_1 == first else None

    rows = rows_json(by_namespace, whose)
    assert (inum(inner), first, True) in asked
    (row,) = [row for row in rows if row["container"]]
    assert row["container"]["name"] == "we\\x1bb" and row["init"] == nr(inner)
    cells, columns = counts_table(rows, "where")
    assert columns[-1] == "CONTAINER" and [line[-1] for line in cells] == ["-", "we\\x1bb"]
    _, columns = counts_table(rows_json(by_namespace), "where")  # type: ignore[arg-type]
    assert columns == ["BIRTHS", "PROCS", "THREADS", "FAILED", "NS", "LEVEL", "INIT", "COMM"]
