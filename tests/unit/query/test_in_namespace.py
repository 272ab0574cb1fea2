"""Which events are of a namespace: against who has a number there, and across reuse and repairs."""

from __future__ import annotations

import pytest

from pidscope import events
from pidscope.model.kernel import Kernel
from pidscope.model.pid import pid_nr_ns, task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import NS_PER_TICK
from pidscope.query.in_namespace import NamespaceFilter
from pidscope.session.session import Session
from pidscope.simulated.stage import set_stage
from pidscope.simulated.world import SimulatedWorld
from pidscope.table.table import Table
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT


@pytest.fixture
def m() -> Machine:
    return Machine()


@pytest.fixture
def inside(m: Machine) -> NamespaceFilter:
    """Of a namespace with a namespace in it, and a stranger beside it."""
    outer = m.contain(m.fork(m.kernel.init))
    m.contain(outer)
    m.contain(m.fork(m.kernel.init))
    return NamespaceFilter(inum(outer), m.table)


def test_the_initial_one_has_every_task(m: Machine, inside: NamespaceFilter) -> None:
    everything = NamespaceFilter(ROOT, m.table)
    assert all(everything.includes(event, m.table) for event in m.kernel.records)


def has_number(kernel: Kernel, ns: PidNamespace, event: events.Event) -> bool:
    """Whether the task or the struct pid that the event is about has a number in ``ns``."""
    of_a_pid = isinstance(event, (events.PidAllocated, events.PidFreed))
    number = event.pid.nr if of_a_pid else getattr(event, "tid", event.by)
    return pid_nr_ns(kernel.init_pid_ns.allocator.pids.get(number), ns) != 0


def first_namespace(world: SimulatedWorld) -> PidNamespace:
    """Play until there is a namespace in the initial one."""
    found: set[PidNamespace | None] = set()
    while not found:
        assert world.step(), "no namespace was made"
        active = {task_active_pid_ns(task) for task in world.kernel.tasks() if task.thread_pid}
        found = active - {world.kernel.init_pid_ns, None}
    return found.pop()  # type: ignore[return-value]


@pytest.mark.parametrize("scenario", ["nested", "dying-init", "random:3", "random:4"])
def test_those_are_shown_whose_tasks_have_a_number_there(scenario: str) -> None:
    """The judge is the model: ``pid_nr_ns()`` of the task, while its hook runs."""
    world = set_stage(scenario).world
    told: list[tuple[events.Event, bool]] = []

    def hooked(event: events.Event) -> None:
        told.append((event, has_number(world.kernel, ns, event)))
        before(event)

    ns = first_namespace(world)
    before = world._hooked
    world.kernel.listener = hooked
    checked = 0
    inside: NamespaceFilter | None = None

    def listen(event: events.Event, session: Session) -> None:
        nonlocal checked
        if inside is None or not told or session.table is None:
            return
        original, expected = told.pop(0)
        assert original == event
        if isinstance(event, (events.NamespaceCreated, events.NamespaceDying, events.ForkFailed)):
            inside.includes(event, session.table)
        else:
            assert inside.includes(event, session.table) is expected, event
            checked += 1

    session = Session(world, listen)
    session.begin()
    told.clear()
    assert session.table is not None
    inside = NamespaceFilter(ns.inum, session.table)
    while world.step():
        session.pump()
    session.pump()
    assert checked > 10


def test_a_failed_fork_is_where_its_child_would_have_been(
    m: Machine, inside: NamespaceFilter
) -> None:
    outsider = nr(m.kernel.init)
    member = next(iter(m.table.namespaces[inside.inum].pids.values())).nr
    expected = {
        events.ForkFailed(1, outsider, 11, 0, 0, inside.inum): True,
        events.ForkFailed(1, outsider, 11, 0, 0, ROOT): False,
        events.PidRefused(1, outsider, 11): False,
        events.ForkFailed(1, member, 11, 0, 0, ROOT): True,
        events.PidRefused(1, member, 11): True,
    }
    assert {event: inside.includes(event, m.table) for event in expected} == expected


def test_a_namespace_made_inside_is_inside_before_anybody_is_in_it(
    m: Machine, inside: NamespaceFilter
) -> None:
    in_it = events.PidAllocated(1, 1, events.PidNumbers((90, 9, 1), 77))
    made_inside = events.NamespaceCreated(1, 1, 77, inside.inum, 2)
    made_outside = events.NamespaceCreated(1, 1, 77, ROOT, 1)
    happened = [in_it, made_inside, in_it, made_outside, in_it]
    included = [inside.includes(event, m.table) for event in happened]
    assert included == [False, True, True, False, False]


def test_another_one_with_its_inum_is_another_one(m: Machine, inside: NamespaceFilter) -> None:
    born = [e for e in m.kernel.records if isinstance(e, events.PidAttached) and e.birth]
    first = next(e for e in born if e.pid.ns == inside.inum)
    assert not inside.ended(m.table)
    assert not inside.includes(first, m.table)  # a number 1: nobody can be born as one twice
    assert inside.ended(m.table)


REPAIRED = events.Repaired(1, 3, 4, 5)


def test_after_a_repair_it_is_looked_at_again(m: Machine, inside: NamespaceFilter) -> None:
    stranger = events.NamespaceCreated(1, 1, 77, ROOT, 1)
    assert inside.includes(REPAIRED, m.table) and inside.includes(events.Lost(1, 2), m.table)
    assert inside.is_sure and not inside.ended(m.table) and not inside.includes(stranger, m.table)
    again = Table(ROOT, NS_PER_TICK, before=m.table)
    for event in m.kernel.records:
        again.apply(event)
    assert inside.includes(REPAIRED, again)
    assert not inside.is_sure and not inside.ended(again)  # its identity was not proved
    assert inside.includes(REPAIRED, Table(ROOT, NS_PER_TICK))
    assert inside.ended(again)  # and it does not come back
