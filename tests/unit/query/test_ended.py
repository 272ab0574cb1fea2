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


def born_and_ended(m: Machine) -> int:
    """The number of a task that has been."""
    task = m.fork(m.kernel.init)
    number = nr(task)
    m.end(task)
    return number


def test_a_life_is_told_with_its_numbers_its_times_and_its_exit_code(m: Machine) -> None:
    task = m.fork(m.kernel.init)
    number, start_ns = nr(task), task.start_boottime
    m.end(task)
    ended, table = watched(m)
    [exited] = [e for e in m.kernel.records if isinstance(e, TaskExited)]
    [released] = [e for e in m.kernel.records if isinstance(e, PidDetached)]
    times = (start_ns, exited.ts_ns, released.ts_ns)
    life = Life((ROOT,), (number,), (number,), task.comm, *times, released.exit_code)
    assert ended.of(table.root, number) == [life]
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
    assert (life.numbers, life.inums) == ((outside, inside), (ROOT, ns.inum))
    assert inside != outside and ended.of(ns, outside) == []
    its_inum_again = Namespace(ns.inum, ns.ordinal + 1, table.root, 1)
    assert ended.of(its_inum_again, inside) == []


def test_the_latest_comes_first(m: Machine) -> None:
    number = born_and_ended(m)
    assert number == born_and_ended(m)
    ended, table = watched(m)
    newer, older = ended.of(table.root, number)
    assert older.released_ns <= newer.start_ns  # type: ignore[operator]


def test_who_execs_as_a_thread_does_not_end_but_the_leader_does(m: Machine) -> None:
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    own, other = nr(leader), nr(thread)
    m.run(m.kernel.exit(leader), m.kernel.execute(thread))
    ended, table = watched(m)
    [exited] = [e for e in m.kernel.records if isinstance(e, TaskExited)]
    assert exited.tid == own and ended.of(table.root, own) == []
    [life] = ended.of(table.root, other)
    assert (life.numbers, life.tgids, life.exited_ns) == ((other,), (own,), exited.ts_ns)


def test_what_is_forgotten_is_counted_and_the_oldest_goes_first(m: Machine) -> None:
    found = []
    for _ in range(3):
        m.fork(m.kernel.init)  # it keeps the number, so that the next life has another
        found.append(born_and_ended(m))
    ended, table = watched(m, kept=2)
    everything, _ = watched(m)
    lives = [life for number in found for life in everything.of(table.root, number)]
    assert len(lives) == 3 and lives == sorted(lives, key=lambda life: life.released_ns)
    assert [life for number in found for life in ended.of(table.root, number)] == lives[1:]
    assert (ended.dropped, everything.dropped) == (1, 0)


def test_of_two_that_had_one_number_the_older_is_forgotten(m: Machine) -> None:
    number = born_and_ended(m)
    assert number == born_and_ended(m)
    everything, _ = watched(m)
    ended, table = watched(m, kept=1)
    newer, older = everything.of(table.root, number)
    assert ended.of(table.root, number) == [newer] != [older]


def test_nobody_is_left_behind_in_memory(m: Machine) -> None:
    for _ in range(20):
        born_and_ended(m)
    ended, _ = watched(m, kept=1)
    assert len(ended._lives) == len(ended._order) == 1
    assert not ended._exits
