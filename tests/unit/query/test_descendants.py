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
    ended = {it.tid for it in stream if isinstance(it, (events.TaskExited, events.PidDetached))}
    assert ended == {6}  # not the stranger, which is 5


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
    pid, own = events.PidNumbers((9,), ROOT), events.PidNumbers((7,), ROOT)
    for by, mine in ((7, True), (8, False)):
        done = [
            events.PidAllocated(0, by, pid),
            events.ForkFailed(0, by, 11, 0, 0, ROOT),
            events.PidRefused(0, by, 11),
            events.NamespaceCreated(0, by, 5, ROOT, 1),
        ]
        assert [tree.includes(event) for event in done] == [mine] * 4
    others = [events.PidFreed(0, 1, pid), events.PidFreed(0, 1, own), events.Lost(0, 1)]
    assert [tree.includes(event) for event in others] == [False, True, True]


def test_who_is_there_already_belongs_with_its_children() -> None:
    tree = TreeFilter(7, (8, 9))
    happened = [
        events.ForkFailed(0, 9, 11, 0, 0, ROOT),
        events.PidAllocated(0, 8, events.PidNumbers((20,), ROOT)),
        events.ForkFailed(0, 20, 11, 0, 0, ROOT),
        events.ForkFailed(0, 10, 11, 0, 0, ROOT),
    ]
    assert [tree.includes(event) for event in happened] == [True, True, True, False]


def test_descendants_are_those_whose_parents_are() -> None:
    parents = {1: 0, 2: 0, 7: 1, 8: 7, 9: 8, 10: 1, 11: 10, 12: 7}
    expected = {7: {7, 8, 9, 12}, 1: {1, 7, 8, 9, 10, 11, 12}, 99: {99}}
    assert {root: descendants(root, parents) for root in expected} == expected
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
    counts = TreeCounts(2)
    for event in (*m.kernel.records, events.ForkFailed(0, 2, events.ERESTARTNOINTR, 0, 0, ROOT)):
        counts.add(event)  # the last is restarted, and has not failed
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
    kinds = (events.PidAllocated, events.PidFreed)
    happened = [kind(0, by, taken) for by in (5, 1) for kind in kinds]
    assert [tree.includes(event) for event in happened] == [True, True, False, False]
