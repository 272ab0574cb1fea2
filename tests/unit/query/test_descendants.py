"""Which events belong to a command, and how they are counted."""

from __future__ import annotations

import pytest

from pidscope import events
from pidscope.model.sched import TaskStruct
from pidscope.query.descendants import COUNTS, TreeCounts, TreeFilter, descendants
from tests.unit.machine import Machine, nr
from tests.unit.stepped_kernel import ROOT


@pytest.fixture
def m() -> Machine:
    return Machine()


def part(m: Machine, task: TaskStruct | int) -> list[events.Event]:
    tree = TreeFilter(task if isinstance(task, int) else nr(task))
    return [event for event in m.kernel.records if tree.includes(event)]


def births(stream: list[events.Event]) -> set[int]:
    return {event.tid for event in stream if isinstance(event, events.PidAttached) and event.birth}


def test_descendants_and_threads_belong_strangers_do_not(m: Machine) -> None:
    root = m.fork(m.kernel.init)
    child = m.fork(root)
    thread = m.fork(child, thread=True)
    stranger = m.fork(m.kernel.init)
    grandchild = m.fork(thread)
    m.end(stranger)
    m.end(grandchild)
    stream = part(m, root)
    assert births(stream) == {nr(root), nr(child), nr(thread), 6}
    assert nr(child) and not any(
        isinstance(event, (events.TaskExited, events.PidDetached)) and event.tid == 5
        for event in stream
    )
    assert any(isinstance(event, events.PidDetached) and event.tid == 6 for event in stream)


def test_a_number_born_again_elsewhere_no_longer_belongs(m: Machine) -> None:
    root = m.fork(m.kernel.init)
    child = m.fork(root)
    number = nr(child)
    m.end(child)
    stranger = m.fork(m.kernel.init)
    assert nr(stranger) == number
    m.run(m.kernel.setsid(stranger))
    assert births(part(m, root)) == {nr(root), number}
    assert sum(getattr(event, "tid", 0) == number for event in part(m, root)) == 3 + 1


def test_what_has_no_task_belongs_to_who_did_it(m: Machine) -> None:
    tree = TreeFilter(7)
    pid = events.PidNumbers((9,), ROOT)
    for by, mine in ((7, True), (8, False)):
        assert tree.includes(events.PidAllocated(0, by, pid)) is mine
        assert tree.includes(events.ForkFailed(0, by, 11, 0, 0, ROOT)) is mine
        assert tree.includes(events.PidRefused(0, by, 11)) is mine
        assert tree.includes(events.NamespaceCreated(0, by, 5, ROOT, 1)) is mine
    assert not tree.includes(events.PidFreed(0, 1, pid))
    assert tree.includes(events.PidFreed(0, 1, events.PidNumbers((7,), ROOT)))
    assert tree.includes(events.Lost(0, 1))


def test_who_is_there_already_belongs_with_its_children() -> None:
    tree = TreeFilter(7, (8, 9))
    assert tree.includes(events.ForkFailed(0, 9, 11, 0, 0, ROOT))
    assert tree.includes(events.PidAllocated(0, 8, events.PidNumbers((20,), ROOT)))
    assert tree.includes(events.ForkFailed(0, 20, 11, 0, 0, ROOT))
    assert not tree.includes(events.ForkFailed(0, 10, 11, 0, 0, ROOT))


def test_descendants_are_those_whose_parents_are() -> None:
    parents = {1: 0, 2: 0, 7: 1, 8: 7, 9: 8, 10: 1, 11: 10, 12: 7}
    assert descendants(7, parents) == {7, 8, 9, 12}
    assert descendants(1, parents) == {1, 7, 8, 9, 10, 11, 12}
    assert descendants(99, parents) == {99}
    assert descendants(5, {5: 6, 6: 5}) == {5, 6}  # a file is read after another


def test_counts_leave_out_the_command_itself(m: Machine) -> None:
    root = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(root))
    inner = m.contain(root)
    leader = m.fork(root)
    thread = m.fork(leader, thread=True)
    m.run(m.kernel.failed_fork(root))
    m.run(m.kernel.exit(leader), m.kernel.execute(thread))
    m.end(thread)
    m.end(inner)
    m.fork(m.kernel.init)
    m.end(root)
    counts = TreeCounts(nr_of_first := 2)
    for event in (*m.kernel.records, events.ForkFailed(0, 2, events.ERESTARTNOINTR, 0, 0, ROOT)):
        counts.add(event)  # the last is restarted, and has not failed
    assert nr_of_first == 2
    result = counts.result()
    assert tuple(result) == COUNTS
    assert result == {
        "births": 3,
        "processes": 2,
        "threads": 1,
        "releases": 3,
        "change_pid": 2,
        "exchange_tids": 1,
        "transfer_pid": 3,
        "failed_forks": 1,
        "namespaces": 1,
    }


def test_what_a_failed_fork_took_belongs_until_it_is_given_out_again() -> None:
    taken = events.PidNumbers((9,), ROOT)
    tree = TreeFilter(5)
    assert tree.includes(events.PidAllocated(1, 5, taken)) and tree.includes(
        events.PidFreed(2, 5, taken)
    )
    assert not tree.includes(events.PidAllocated(3, 1, taken))
    assert not tree.includes(events.PidFreed(4, 1, taken))
