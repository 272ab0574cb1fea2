"""The rules of the table, one by one: a machine of a few acts, and what must hold after them."""

from __future__ import annotations

import pytest

from pidscope import events
from pidscope.errors import IllegalEvent
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.table.pid import Pid
from pidscope.table.table import Table
from tests.unit.compare import of_table
from tests.unit.illegal import ZERO, impossible
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT


@pytest.fixture
def m() -> Machine:
    return Machine()


def expect_refused(table: Table, event: events.Event) -> None:
    """The table says no, and is as it was."""
    before, generation = of_table(table), table.generation
    with pytest.raises(IllegalEvent):
        table.apply(event)
    assert of_table(table) == before, event
    assert table.generation == generation


def test_a_number_stays_taken_while_its_group_lives(m: Machine) -> None:
    leader = m.group_leader()
    number, member = nr(leader), m.fork(leader)
    m.end(leader)
    assert [pid.nr for pid in m.table.held()] == [number]
    assert m.table.task(number) is None
    birth = events.Birth(number, 1, 0, b"", 0, ZERO, ZERO)
    names = events.PidNumbers((number,), ROOT)
    expect_refused(m.table, events.PidAttached(0, 1, number, events.PidType.PID, names, birth))
    m.run(m.kernel.setpgid(member, member.thread_pid))
    assert number not in m.table.root.pids
    assert nr(m.fork()) == number


def test_a_session_holds_its_number_too(m: Machine) -> None:
    leader = m.session_leader()
    number, member = nr(leader), m.group_leader(leader)
    m.end(leader)
    assert [pid.nr for pid in m.table.held()] == [number]
    m.end(member)
    assert number not in m.table.root.pids


def linked(m: Machine, task: TaskStruct) -> tuple[Pid, Pid]:
    """A task's struct pid, and its group's."""
    row = m.table.task(nr(task))
    assert row is not None and row.pid is not None and row.group.pgid is not None
    return row.pid, row.group.pgid


def test_a_group_shallower_than_its_member_prints_0_inside(m: Machine) -> None:
    outside = m.group_leader()
    pid, pgid = linked(m, m.contain(outside))
    assert pid.numbers[1] == 1
    assert [pgid.nr_in(m.table.root), pgid.nr_in(pid.ns)] == [nr(outside), 0]


def guest_of(m: Machine) -> tuple[TaskStruct, TaskStruct]:
    """A group's leader one level further in, and a member outside."""
    outside = m.session_leader()
    inner = m.contain(outside)
    m.run(m.kernel.setpgid(inner, inner.thread_pid))
    guest = m.fork(outside)
    m.run(m.kernel.setpgid(guest, inner.thread_pid))
    return inner, guest


def test_a_group_deeper_than_its_member_keeps_its_inner_number(m: Machine) -> None:
    inner, guest = guest_of(m)
    m.end(inner)
    (held,) = m.table.held()
    assert held.numbers[1] == 1
    assert held.ns.pids == {1: held}
    m.end(guest)
    assert list(m.table.namespaces) == [ROOT]


def test_a_group_of_another_namespace_prints_0_at_its_level(m: Machine) -> None:
    inner, guest = guest_of(m)
    pid, pgid = linked(m, m.contain(guest))
    assert pgid.numbers == (nr(inner), 1)
    assert pgid.nr_in(pid.ns) == 0


def test_group_and_session_0_are_init_struct_pid(m: Machine) -> None:
    task = m.table.task(1)
    assert task is not None
    assert task.group.pgid is task.group.sid is m.table.init_struct_pid
    assert 0 not in m.table.root.pids


def test_number_1_makes_a_namespace_and_its_end_ends_it(m: Machine) -> None:
    outer = m.contain()
    inner = m.contain(outer)
    ns = m.table.namespaces[inum(inner)]
    assert (ns.level, ns.parent) == (2, m.table.namespaces[inum(outer)])
    assert m.table.root.pids[nr(inner)].numbers[1:] == (2, 1)
    m.end(inner, outer)
    assert list(m.table.namespaces) == [ROOT]


def test_a_reused_inum_is_another_namespace(m: Machine) -> None:
    first = m.contain()
    number = inum(first)
    before = m.table.namespaces[number]
    m.end(first)
    assert inum(m.contain()) == number
    after = m.table.namespaces[number]
    assert after is not before and after.ordinal > before.ordinal


def test_a_reused_number_is_another_struct_pid(m: Machine) -> None:
    first = m.fork()
    before = m.table.root.pids[nr(first)]
    m.end(first)
    after = m.table.root.pids[nr(m.fork())]
    assert before.nr == after.nr and before.generation != after.generation


def test_an_exchange_swaps_tasks_and_leaves_the_rows(m: Machine) -> None:
    leader, thread = m.survived()
    rows = [m.table.root.pids[nr(task)] for task in (leader, thread)]
    tasks = [row.task for row in rows]
    m.begin(m.kernel.execute(thread), until=events.PidTransferred)
    assert [row.task for row in rows] == tasks[::-1]
    m.kernel.finish()
    m.follow()
    assert rows[1].nr not in m.table.root.pids
    assert rows[0].task is tasks[1]


def test_threads_share_what_their_process_has(m: Machine) -> None:
    leader, thread = m.threaded()
    m.run(m.kernel.setsid(leader))
    task = m.table.task(nr(thread))
    assert task is not None and task.group.sid is m.table.root.pids[nr(leader)]


def test_each_kind_of_illegal_event_is_refused(m: Machine) -> None:
    leader, thread = m.threaded()
    for task in (leader, thread, m.contain(leader)):
        for event in impossible(m.kernel, task):
            expect_refused(m.table, event)


def test_a_repair_uses_no_generation_and_no_ordinal_again(m: Machine) -> None:
    ns = inum(m.contain())
    after = Table(ROOT, NS_PER_TICK, m.table)
    assert after.generation > max(pid.generation for pid in m.table.root.pids.values())
    made = after.add_namespace(ns, after.root, 1)
    assert made.ordinal > m.table.namespaces[ns].ordinal
