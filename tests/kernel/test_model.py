"""model == table == kernel: the same random calls, and the same events in the same order."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from pidscope_dev.differential.duel import Duel
from pidscope_dev.differential.probe import find_features
from pidscope_dev.differential.puppets import World, build
from pidscope_dev.differential.theatre import Theatre

from pidscope.errors import ScenarioError
from pidscope.events import Event, PidAttached, PidNumbers, PidType
from pidscope.host.btf import Btf
from pidscope.live.supply import BTF_PATH
from pidscope.model.features import Features
from pidscope.model.kernel import Kernel
from pidscope.model.pid import pid_nr_ns
from pidscope.query.descendants import TreeFilter
from pidscope.simulated.random_workload import random_steps
from pidscope.table.pid import Namespace
from pidscope.table.table import Table
from pidscope.verify.verdicts import Tally

from .conftest import Host

WORLDS = 6
STEPS = 60
LEVEL = 1  # of the world: its numbers are known; those of level 0 are shared with other tasks


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with Theatre(build(tmp_path_factory.mktemp("puppet"))) as theatre:
        yield theatre


@pytest.fixture(scope="module")
def features(theatre: Theatre) -> Features:
    return replace(find_features(theatre), freed_after_unlock=_freed_after_unlock())


@pytest.mark.parametrize(
    "seed",
    [0, 1, *(pytest.param(seed, marks=pytest.mark.matrix) for seed in range(2, WORLDS))],
)
def test_the_same_numbers_and_events(
    host: Host, theatre: Theatre, features: Features, seed: int
) -> None:
    with theatre.new_world() as world:
        duel = Duel(world, features)
        told: list[Event] = []
        duel.kernel.listener = told.append
        host.session.pump()
        inum = _inum(world)
        here, there = Names(), Names()
        tree = TreeFilter(_first(host.session.table, inum))
        here.know(_first(host.session.table, inum), 1)
        there.know(duel.play.names["one"].pid, 1)
        for step in islice(random_steps(duel.play, random.Random(seed)), 1, STEPS):
            host.events.clear()
            told.clear()
            try:
                duel.step(step)
            except ScenarioError:
                continue
            host.session.pump()
            assert not host.session.suspect
            seen = here.acts(event for event in host.events if tree.includes(event))
            assert seen == there.acts(told), str(step)
            assert of_table(host.session.table, inum) == of_model(duel.kernel), str(step)
    tally = Tally()
    host.session.check_all(tally)
    assert tally.complete and not tally.bugs


def _freed_after_unlock() -> bool:
    """Not visible from outside: since 6.15 functions collect what is to be freed."""
    return "pids" in (Btf(BTF_PATH.read_bytes()).function_args("detach_pid") or ())


def _inum(world: World) -> int:
    link = os.readlink("1/ns/pid", dir_fd=world.proc)
    return int(link[len("pid:[") : -1])


def _first(table: Table, inum: int) -> int:
    return table.namespaces[inum].pids[1].nr


def of_model(kernel: Kernel) -> dict[int, Any]:
    """Who has which numbers from level 1 inwards; None: a struct pid without a task."""
    rows: dict[int, Any] = {}
    for pid in kernel.init_pid_ns.allocator.pids.values():
        numbers = pid.pid_numbers.numbers[LEVEL:]
        task = next(iter(pid.tasks[PidType.PID]), None)
        if numbers:
            spaces = [upid.ns for upid in pid.numbers[LEVEL:]]
            rows[numbers[0]] = (
                numbers,
                task and [[pid_nr_ns(link, ns) for ns in spaces] for link in task.signal.pids[1:]],
            )
    return rows


def of_table(table: Table, inum: int) -> dict[int, Any]:
    """The same of the table."""
    if inum not in table.namespaces:
        return {}
    rows: dict[int, Any] = {}
    for number, pid in table.namespaces[inum].pids.items():
        group = pid.task.group if pid.task else None
        spaces = [ns for ns in _chain(pid.ns) if ns.level >= LEVEL]
        rows[number] = (
            pid.numbers[LEVEL:],
            group
            and [
                [link.nr_in(ns) for ns in spaces]
                for link in (group.tgid, group.pgid, group.sid)
                if link is not None
            ],
        )
    return rows


def _chain(ns: Namespace) -> list[Namespace]:
    return [*_chain(ns.parent), ns] if ns.parent else [ns]


class Names:
    """Brings one side's events to a form both have: numbers of level 1 for those of level 0."""

    def __init__(self) -> None:
        self._inner: dict[int, int] = {}

    def know(self, nr: int, inner: int) -> None:
        self._inner[nr] = inner

    def acts(self, events: Iterable[Event]) -> dict[int, list[tuple[Any, ...]]]:
        """What each task did, in its own order: the order of tasks is not promised."""
        acts: dict[int, list[tuple[Any, ...]]] = {}
        for event in events:
            told = self.of(event)
            acts.setdefault(self._inner.get(event.by, 0), []).append(told)  # type: ignore[union-attr]
        return acts

    def of(self, event: Event) -> tuple[Any, ...]:
        """The event without times, names, cgroups, and what else only a puppet has."""
        if isinstance(event, PidAttached) and event.birth is not None:
            self.know(event.tid, event.pid.numbers[LEVEL])
        fields = event._asdict()
        for name in ("ts_ns", "comm", "cgroup_id", "flags", "start_ns", "leader_start_ns"):
            fields.pop(name, None)
        return type(event).__name__, *(self._plain(name, fields[name]) for name in sorted(fields))

    def _plain(self, name: str, value: Any) -> Any:
        if isinstance(value, PidNumbers):
            return value.numbers[LEVEL:]
        if name in ("by", "tid", "tgid", "ppid", "old", "leader", "old_tid"):
            return self._inner.get(value, 0)
        if name == "birth" and value is not None:
            links = value.pgid.numbers[LEVEL:], value.sid.numbers[LEVEL:]
            return self._plain("tgid", value.tgid), self._plain("ppid", value.ppid), *links
        if name in ("ns", "ns_parent", "parent", "children_ns"):
            return None  # inums: the states are compared by what is in them
        return value
