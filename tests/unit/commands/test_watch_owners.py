"""Whose the namespaces are that a watch counts: of those that have ended, as far as it was seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest

import pidscope.commands.watch_owners as owners_module
from pidscope import events
from pidscope.commands.watch_owners import NamespaceOwners
from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.query.fork_counts import ByNamespace, First
from pidscope.render.fork_counts import rows_json
from pidscope.sources.listed import listed_host
from pidscope.sources.watch import LiveHost
from pidscope.table.table import Table
from tests.unit.commands.fake_host import HOST, FakeHost
from tests.unit.commands.test_containers import POD, WEB, A, B, C, proc
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT

__all__ = ["proc"]  # the fixture

SESSION: Any = SimpleNamespace(world=SimpleNamespace(ns_per_tick=1, start_offset_ns=0))
ONE, TWO = (Container("docker", digit * 64) for digit in "12")
NEW, INNER = 80, 81  # inums


class World:
    """Tells chains by number and start, and what a /proc would; None: it cannot be read."""

    def __init__(self, proc: FakeHost | None = None) -> None:
        self.proc = proc
        self.chains: dict[tuple[int, int], Chain] = {}

    def chain(self, tid: int, ticks: int) -> Chain:
        return self.chains.get((tid, ticks), ())

    def listed(self) -> Any:
        if self.proc is None:
            raise HostError("no /proc here")
        return listed_host(ProcFs(self.proc.root))


def birth(tid: int, ns: int, *inner: int, parent: int = HOST) -> events.PidAttached:
    """The start is ten times the number."""
    names = events.PidNumbers((tid,), HOST)
    about = events.Birth(tid, 1, tid * 10, b"sh", parent, names, names)
    return events.PidAttached(
        0, 1, tid, events.PidType.PID, events.PidNumbers((tid, *inner), ns), about
    )


def executed(tid: int) -> events.TaskExecuted:
    return events.TaskExecuted(0, tid, tid, tid, b"web")


@pytest.fixture
def watch() -> Callable[..., NamespaceOwners]:
    def made(world: World, *happened: events.Event | tuple[int, int, Chain]) -> NamespaceOwners:
        """Owners that observed this; a triple puts a task into containers from then on."""
        owners = NamespaceOwners(world)  # type: ignore[arg-type]
        owners.begin()
        for it in happened:
            if isinstance(it, tuple) and type(it) is tuple:
                world.chains[it[0], it[1]] = it[2]
            else:
                owners.observe(it, SESSION)  # type: ignore[arg-type]
        owners.end()
        return owners

    return made


def test_one_that_has_ended_is_known_by_its_first_process(watch: Any) -> None:
    for happened in (
        [(300, 3000, (ONE,)), birth(300, NEW, 1), (300, 3000, ())],
        [birth(300, NEW, 1), (300, 3000, (ONE,)), executed(300), (300, 3000, ())],
        [birth(300, NEW, 1), (300, 3000, (ONE,)), events.TaskExited(0, 300, 300, 300, 0)],
        [(300, 3000, (TWO,)), birth(300, NEW, 1), (300, 3000, (ONE,)), executed(300)],
    ):
        owners = watch(World(), *happened)
        assert owners.of(NEW, First(300, 3000), is_current=True) == ONE
        assert owners.of(NEW, First(300, 3001), is_current=True) is None
        assert owners.of(NEW, None, is_current=True) is None


def test_one_that_has_the_number_later_is_not_asked(watch: Any) -> None:
    ended = events.TaskExited(0, 300, 300, 300, 0)
    late = watch(World(), birth(300, NEW, 1), ended, (300, 3000, (ONE,)), executed(300))
    assert late.of(NEW, First(300, 3000), is_current=True) is None


def test_a_sandbox_in_a_container_is_not_the_containers(watch: Any) -> None:
    owners = watch(
        World(),
        (300, 3000, (ONE,)), birth(300, NEW, 1),
        (301, 3010, (ONE,)), birth(301, INNER, 2, 1, parent=NEW),
        (302, 3020, (ONE, TWO)), birth(302, 82, 3, 1, parent=NEW),
    )  # fmt: skip
    assert owners.of(NEW, First(300, 3000), is_current=True) == ONE
    assert owners.of(INNER, First(301, 3010), is_current=True) is None
    assert owners.of(82, First(302, 3020), is_current=True) == TWO


def test_one_that_starts_again_has_each_of_its_namespaces(watch: Any) -> None:
    owners = watch(
        World(),
        (300, 3000, (ONE,)), birth(300, NEW, 1), events.TaskExited(0, 300, 300, 300, 0),
        (301, 3010, (ONE,)), birth(301, NEW, 1),
    )  # fmt: skip
    assert owners.of(NEW, First(300, 3000), is_current=False) == ONE
    assert owners.of(NEW, First(301, 3010), is_current=True) == ONE


def test_services_and_threads_and_others_own_nothing(watch: Any) -> None:
    service = Container("systemd", "", unit="nginx.service")
    owners = watch(
        World(),
        (300, 3000, (service,)), birth(300, NEW, 1),
        (301, 3010, (ONE,)), birth(301, NEW, 2),
        (1, 10, (ONE,)), birth(1, HOST),
    )  # fmt: skip
    firsts = (First(300, 3000), First(301, 3010), First(1, 10))
    assert [owners.of(NEW, first, is_current=True) for first in firsts] == [None] * 3


def test_what_was_there_before_and_what_is_there_now(proc: FakeHost, watch: Any) -> None:
    proc.add(22, WEB, f"/docker/{C}", 18)  # came from another container: what counts is number 1
    owners = watch(
        World(proc),
        # in one that was there: a sandbox; of one that has no namespace of its own: no owner
        (300, 3000, (Container("docker", A),)), birth(300, NEW, 5, 1, parent=WEB),
        (301, 3010, (Container("docker", "d" * 64),)), birth(301, INNER, 1),
        # it has the number and the inum, but has started again
        (20, 200, (ONE,)), birth(20, WEB, 1),
    )  # fmt: skip
    expected = {
        (NEW, First(300, 3000), True): None,
        (INNER, First(301, 3010), True): None,
        (WEB, None, False): A,
        (WEB, None, True): A,
        (POD, None, True): B,
        (HOST, None, True): None,
        (WEB, First(20, 200), False): ONE.id,
    }
    owned = {asked: owners.of(*asked) for asked in expected}
    assert {asked: owner and owner.id for asked, owner in owned.items()} == expected


def test_memory_is_bounded(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners_module, "MAX_ROWS", 1)
    happened = [((n, n * 10, (ONE,)), birth(n, n, 1)) for n in (300, 301)]
    owners = watch(World(), *(it for both in happened for it in both))
    assert owners.of(300, First(300, 3000), is_current=True) == ONE
    assert owners.of(301, First(301, 3010), is_current=True) is None


def test_a_host_tells_of_a_task_only_if_it_is_the_same(proc: FakeHost) -> None:
    host = LiveHost(ProcFs(proc.root), "auto")
    tasks = {(21, 21): [A], (31, 31): [C], (21, 22): [], (99, 99): [], (1, 1): []}  # and ticks
    assert {task: [it.id for it in host.chain(*task)] for task in tasks} == tasks


def test_a_row_of_a_model_kernel_has_its_owner(watch: Any) -> None:
    m, by_namespace, world = Machine(), ByNamespace(), World()
    inner = m.contain(m.fork(m.kernel.init))
    table, owners = Table(ROOT, 1), NamespaceOwners(world)  # type: ignore[arg-type]
    world.chains[nr(inner), inner.start_boottime] = (ONE,)
    for event in m.kernel.records:
        by_namespace.add(event, table)
        owners.observe(event, SESSION)
        table.apply(event)
    owners.end()
    rows = rows_json(by_namespace, owners.of)
    owned = {row["ns"]: row["container"] and row["container"]["id"] for row in rows}
    assert owned == {inum(inner): ONE.id, ROOT: None}
