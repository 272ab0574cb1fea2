"""Who had a number before: lives of the model, told event by event."""

from __future__ import annotations

import pytest

from pidscope.events import PidDetached, TaskExited
from pidscope.model.proc import NS_PER_TICK
from pidscope.query.ended import Ended, Life
from pidscope.table.pid import Namespace
from pidscope.table.table import Table
from tests.unit.acting import numbers
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT


@pytest.fixture
def m() -> Machine:
    return Machine()


def watched(m: Machine, kept: int = 100) -> tuple[Ended, Table]:
    """What is remembered of all that the kernel did."""
    ended, table = Ended(kept), Table(ROOT, NS_PER_TICK)
    for event in m.kernel.records:
        ended.add(event, table)
        table.apply(event)
    return ended, table


def test_a_life_is_told_with_its_numbers_its_times_and_its_exit_code(m: Machine) -> None:
    task = m.fork(m.kernel.init)
    number, start_ns = nr(task), task.start_boottime
    m.end(task)
    ended, table = watched(m)
    [life] = ended.of(table.root, number)
    [exited] = [e for e in m.kernel.records if isinstance(e, TaskExited)]
    [released] = [e for e in m.kernel.records if isinstance(e, PidDetached)]
    assert life == Life(
        (ROOT,),
        (number,),
        (number,),
        task.comm,
        start_ns,
        exited.ts_ns,
        released.ts_ns,
        released.exit_code,
    )
    assert exited.ts_ns < released.ts_ns


def test_a_zombie_has_not_ended(m: Machine) -> None:
    task = m.fork(m.kernel.init)
    m.run(m.kernel.exit(task))
    ended, table = watched(m)
    assert ended.of(table.root, nr(task)) == []


def test_a_life_is_found_by_its_number_at_every_level(m: Machine) -> None:
    inner = m.contain(m.kernel.init)
    task = m.fork(inner)
    outside, inside = numbers(task)
    m.end(task)
    ended, table = watched(m)
    ns = table.namespaces[inum(inner)]
    [life] = ended.of(ns, inside)
    assert [life] == ended.of(table.root, outside)
    assert life.numbers == (outside, inside)
    assert life.inums == (ROOT, ns.inum)
    assert inside != outside and ended.of(ns, outside) == []


def test_the_same_inum_of_another_namespace_is_another(m: Machine) -> None:
    inner = m.contain(m.kernel.init)
    task = m.fork(inner)
    inside = numbers(task)[1]
    m.end(task)
    ended, table = watched(m)
    ns = table.namespaces[inum(inner)]
    assert ended.of(Namespace(ns.inum, ns.ordinal + 1, table.root, 1), inside) == []


def test_the_latest_comes_first(m: Machine) -> None:
    found = []
    for _ in range(2):
        task = m.fork(m.kernel.init)
        found.append(nr(task))
        m.end(task)
    assert found[0] == found[1]
    ended, table = watched(m)
    newer, older = ended.of(table.root, found[0])
    assert older.released_ns <= newer.start_ns  # type: ignore[operator]


def test_who_execs_as_a_thread_does_not_end_but_the_leader_does(m: Machine) -> None:
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    own, other = nr(leader), nr(thread)
    m.run(m.kernel.exit(leader), m.kernel.execute(thread))
    ended, table = watched(m)
    [exited] = [e for e in m.kernel.records if isinstance(e, TaskExited)]
    assert exited.tid == own
    assert ended.of(table.root, own) == []
    [life] = ended.of(table.root, other)
    assert life.exited_ns == exited.ts_ns
    assert (life.numbers, life.tgids) == ((other,), (own,))


def test_what_is_forgotten_is_counted_and_the_oldest_goes_first(m: Machine) -> None:
    found = []
    for _ in range(3):
        keeper, task = m.fork(m.kernel.init), m.fork(m.kernel.init)
        found.append(nr(task))
        m.end(task)
        found.append(nr(keeper))
    ended, table = watched(m, kept=2)
    assert ended.dropped == 1
    lives = [life for number in set(found) for life in ended.of(table.root, number)]
    assert len(lives) == 2
    everything, _ = watched(m)
    oldest = min(
        (life for number in set(found) for life in everything.of(table.root, number)),
        key=lambda life: life.released_ns,
    )
    assert oldest not in lives and everything.dropped == 0


def test_of_two_that_had_one_number_the_older_is_forgotten(m: Machine) -> None:
    for _ in range(2):
        task = m.fork(m.kernel.init)
        m.end(task)
    everything, _ = watched(m)
    ended, table = watched(m, kept=1)
    number = ended._order[0][0].numbers[0]
    newer, older = everything.of(table.root, number)
    assert ended.of(table.root, number) == [newer] != [older]


def test_nobody_is_left_behind_in_memory(m: Machine) -> None:
    for _ in range(20):
        m.end(m.fork(m.kernel.init))
    ended, _ = watched(m, kept=1)
    assert len(ended._lives) == len(ended._order) == 1
    assert not ended._exits
