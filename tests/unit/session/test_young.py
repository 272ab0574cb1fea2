"""Processes that are born and gone in one stretch: with or without them the table is the same.

Each stream goes the quick way, where a young process enters the table only if something needs it,
and event by event, where each enters it. Numbers and ends are made by hand, since the model gives
no number out twice before its last task is reported as gone; tracepoints may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pidscope import events
from pidscope.events import Event, PidNumbers, PidType
from pidscope.session.fast_path import FastPath
from pidscope.simulated.world import SimulatedWorld
from pidscope.wire.encode import encode
from tests.unit.session.test_fast_path import HOOKS, WORLDS, Stage, outcome, refill

START_NS = 1 << 50
ENTER = events.TaskMoved(4, 1, 1, 7)  # is not plain: what is young enters the table
Make = Callable[["Acts"], list[Event]]
in_each_world = pytest.mark.parametrize("of", WORLDS)


class Acts:
    """Events in a container, in which a shell lives already."""

    def __init__(self, stage: Stage, of: type[SimulatedWorld]) -> None:
        shell = stage.table.root.pids[stage.shell.pid]
        assert shell.process is not None and shell.process.pgid and shell.process.sid
        self.of = of
        self.shell = shell
        self.root = stage.table.root.inum
        self.pgid, self.sid = (
            PidNumbers(link.numbers, link.ns.inum)
            for link in (shell.process.pgid, shell.process.sid)
        )

    def pid(self, nr: int, inner: int = 0) -> PidNumbers:
        return PidNumbers((nr, inner or nr + 1000), self.shell.ns.inum)

    def born(
        self,
        pid: PidNumbers,
        by: int = 0,
        links: tuple[PidNumbers, PidNumbers] | None = None,
        ns_parent: int = 0,
        ppid: int = 0,
    ) -> Event:
        assert self.shell.ns.parent is not None
        pgid, sid = links or (self.pgid, self.sid)
        by = by or self.shell.nr
        ns_parent = ns_parent or (self.shell.ns.parent.inum if pid.level else 0)
        start_ns = START_NS + pid.nr
        birth = events.Birth(pid.nr, ppid or by, start_ns, b"sh", ns_parent, pgid, sid)
        return events.PidAttached(birth.start_ns, by, pid.nr, PidType.PID, pid, birth)

    def grouped(self, pid: PidNumbers, pgid: PidNumbers, sid: PidNumbers) -> list[Event]:
        """It changes its group and session, as the world reports that: at once, or at an exec."""
        nr = pid.nr
        if self.of is HOOKS:
            kinds = {PidType.SID: sid, PidType.PGID: pgid}
            return [events.PidAttached(1, nr, nr, kind, link) for kind, link in kinds.items()]
        return [self.seen(pid, pgid, sid)]

    def seen(
        self, pid: PidNumbers, pgid: PidNumbers, sid: PidNumbers, start_ns: int = 0
    ) -> events.TaskSeen:
        assert self.shell.ns.parent is not None
        start_ns, parent = start_ns or START_NS + pid.nr, self.shell.ns.parent.inum
        birth = events.Birth(pid.nr, self.shell.nr, start_ns, b"other", parent, pgid, sid)
        return events.TaskSeen(1, pid.nr, pid.nr, pid, birth)

    def exited(self, nr: int) -> Event:
        return events.TaskExited(2, nr, nr, nr, 0)

    def gone(self, nr: int, start_ns: int = 0) -> list[Event]:
        """Its exit and release, as the world reports them."""
        if self.of is HOOKS:
            return [self.exited(nr), events.PidDetached(3, self.shell.nr, nr, nr, 0)]
        return [self.exited(nr), events.TaskFreed(3, 0, nr, nr, start_ns or START_NS + nr)]


def last_of_its_group(a: Acts) -> list[Event]:
    """A leader is released while its group's other member is young."""
    leader = a.pid(500)
    links = (leader, leader)
    return [
        *(a.born(leader), *a.grouped(leader, *links), a.born(a.pid(501), 500, links)),
        *(*a.gone(500), a.born(a.pid(502), links=links), *a.gone(501)),
    ]


def last_of_a_group_without_leader(a: Acts) -> list[Event]:
    """The leader was released; the last member in the table goes, another one is young."""
    leader = a.pid(500)
    links = (leader, leader)
    return [
        *(a.born(leader), *a.grouped(leader, *links)),
        *(a.born(a.pid(501), 500, links), *a.gone(500), ENTER),
        *(a.born(a.pid(502), links=links), *a.gone(501), a.born(a.pid(503), links=links)),
    ]


def last_of_its_namespace(a: Acts) -> list[Event]:
    """Number 1 is released while the only other task of its namespace is young."""
    outer, inum = a.shell.ns.inum, 77
    init, child = PidNumbers((500, 1500, 1), inum), PidNumbers((501, 1501, 2), inum)
    third = PidNumbers((502, 1502, 3), inum)
    return [
        a.born(init, ns_parent=outer),
        *(a.born(child, ns_parent=outer), *a.gone(500), a.born(third, ns_parent=outer)),
    ]


def group_that_ended_between_two_stretches(a: Acts) -> list[Event]:
    leader = a.pid(500)
    links = (leader, leader)
    return [
        *(a.born(leader), *a.grouped(leader, *links)),
        *(a.born(a.pid(501), 500, links), *a.gone(500), ENTER),
        *(a.born(a.pid(502), links=links), *a.gone(502)),
        *(*a.grouped(a.pid(501), a.pgid, a.sid), a.born(a.pid(503), links=links)),
    ]


def parent_that_is_gone(a: Acts) -> list[Event]:
    parent = [a.born(a.pid(500)), ENTER]
    return [*parent, a.born(a.pid(501), 500), *a.gone(501), *a.gone(500), a.born(a.pid(502), 500)]


def parent_that_did_not_fork_it(a: Acts) -> list[Event]:
    """By clone(CLONE_PARENT)."""
    parent = [a.born(a.pid(500)), ENTER]
    return [*parent, a.born(a.pid(501), 500, ppid=a.shell.nr), *a.gone(500)]


def number_in_use_on_the_host(a: Acts) -> list[Event]:
    pids = [PidNumbers((nr,), a.root) for nr in (500, 501, 501)]
    return [*map(a.born, pids), *a.gone(501)]


def number_given_out_again(a: Acts) -> list[Event]:
    first = a.born(a.pid(500))
    return [first, *a.gone(500), first, a.born(a.pid(501))]


def number_in_use(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.born(a.pid(500)), *a.gone(500)]


def inner_number_in_use(a: Acts) -> list[Event]:
    return [a.born(a.pid(500, 900)), a.born(a.pid(501, 900)), *a.gone(500), *a.gone(501)]


def inner_number_in_use_by_siblings(a: Acts) -> list[Event]:
    first = [a.born(a.pid(499))]
    return [*first, a.born(a.pid(500, 900)), a.born(a.pid(501, 900)), *a.gone(500)]


def inner_number_given_out_again(a: Acts) -> list[Event]:
    return [a.born(a.pid(500, 900)), *a.gone(500), a.born(a.pid(501, 900)), a.born(a.pid(502, 901))]


def child_of_a_young_one(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.born(a.pid(501), 500), *a.gone(501), *a.gone(500)]


def parent_exits_before_it_grows_up(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.exited(a.shell.nr), a.born(a.pid(501))]


def exited_and_not_released(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.exited(500), a.born(a.pid(501)), *a.gone(501)]


def exits_twice(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.exited(500), *a.gone(500), *a.gone(500)]


def end_of_another_of_its_number(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), *a.gone(500, start_ns=5), a.born(a.pid(501))]


def end_without_exit(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), a.gone(500)[1], a.born(a.pid(501))]


def new_name(a: Acts) -> list[Event]:
    return [a.born(a.pid(500)), events.TaskRenamed(2, 500, 500, b"other")]


def executes(a: Acts) -> list[Event]:
    pid = a.pid(500)
    if a.of is HOOKS:
        return [a.born(pid), events.TaskExecuted(2, 500, 500, 500, b"other")]
    return [a.born(pid), a.seen(pid, a.pgid, a.sid)]


def executes_as_another(a: Acts) -> list[Event]:
    """The record of another task of its number, which was born without a record."""
    if a.of is HOOKS:
        return [a.born(a.pid(500)), events.TaskExecuted(2, 500, 500, 499, b"other")]
    others = (a.seen(a.pid(500), a.pgid, a.sid, 7), a.seen(a.pid(500, 900), a.pgid, a.sid))
    return [a.born(a.pid(500)), *others]


MAKES: Sequence[Make] = (
    last_of_its_group,
    last_of_a_group_without_leader,
    last_of_its_namespace,
    group_that_ended_between_two_stretches,
    parent_that_is_gone,
    parent_that_did_not_fork_it,
    number_in_use_on_the_host,
    number_given_out_again,
    number_in_use,
    inner_number_in_use,
    inner_number_in_use_by_siblings,
    inner_number_given_out_again,
    child_of_a_young_one,
    parent_exits_before_it_grows_up,
    exited_and_not_released,
    exits_twice,
    end_of_another_of_its_number,
    end_without_exit,
    new_name,
    executes,
    executes_as_another,
)


def known(of: type[SimulatedWorld], make: Make, tells_all: bool) -> dict[str, Any]:
    """All that a session knows after those events, and every struct pid with its names."""
    stage = Stage(tells_all, of)
    refill(stage.world, list(map(_record, make(Acts(stage, of)))))
    result = outcome(stage.session)
    tasks = stage.table.tasks()
    result["names"] = sorted((t.pid.nr, t.comm) for t in tasks if t.pid is not None)
    result["held"] = sorted(pid.nr for pid in stage.table.held())
    result["order"] = list(stage.table.root.pids)
    result["spaces"] = sorted((ns.inum, sorted(ns.pids)) for ns in stage.table.namespaces.values())
    return result


def _record(event: Event) -> bytes:
    """An exec is reported with its task, which is what is of interest here."""
    if isinstance(event, events.TaskSeen):
        comm = event.birth.comm
        executed = events.TaskExecuted(event.ts_ns, event.by, event.tid, event.tid, comm)
        return encode(executed, then=event)
    return encode(event)


@in_each_world
@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_both_ways_are_the_same(of: type[SimulatedWorld], make: Make) -> None:
    assert known(of, make, tells_all=False) == known(of, make, tells_all=True)


@in_each_world
def test_what_lives_shortly_never_enters_the_table(
    of: type[SimulatedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[int] = []
    stage = Stage(False, of)
    add_pid = stage.table.add_pid

    def add(numbers: tuple[int, ...], *rest: Any) -> Any:
        entered.append(numbers[0])
        return add_pid(numbers, *rest)

    monkeypatch.setattr(stage.table, "add_pid", add)
    a = Acts(stage, of)
    lives = [[a.born(a.pid(nr)), *a.gone(nr)] for nr in range(500, 523)]
    refill(stage.world, [encode(event) for life in lives for event in life])
    before = stage.table.generation
    stage.session.pump()
    assert entered == [] and stage.table.generation == before + 23
    assert stage.session.stream.births == 23 and not stage.session.suspect


def test_nothing_stays_young_behind_a_stretch() -> None:
    stage = Stage(False)
    a = Acts(stage, HOOKS)
    refill(stage.world, [encode(a.born(a.pid(nr))) for nr in range(500, 523)])
    stage.session.pump()
    path = stage.session._fast_path
    assert isinstance(path, FastPath) and not path._young and not path._young_exits
    assert all(stage.table.task(nr) is not None for nr in range(500, 523))
