"""A sweep that takes only what is new: the same table and events as one that takes every row."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from pidscope import events
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.syscalls import call
from pidscope.session import tracepoint as sweeping
from pidscope.session.believed import Believed
from pidscope.wire import batch
from tests.unit.compare import of_table
from tests.unit.session.test_tracepoint import SECOND_NS, Shell, random_watch


class Nothing(Believed):
    """Believes no row, so that each sweep takes all of them."""

    def are_all(self, written: bytes) -> bool:
        return False

    def believe(self, rows: Iterable[events.TaskSeen]) -> None:
        pass


def swept(seed: int) -> Iterator[Any]:
    """What is known and was told after each second of a busy host."""
    w = random_watch(seed)
    w.world.busy = seed % 2 == 0
    w.observer.begin()
    rng = random.Random(seed)
    for _ in range(25):
        for _ in range(rng.choice((0, 0, 1, 5, 20))):
            w.world.step()
        if rng.random() < 0.3:
            w.tracer.settle()
        w.second()
        table = w.observer._tracepoint_table
        yield (
            of_table(table),
            sorted((nr, pid.generation) for nr, pid in table.root.pids.items()),
            (table.exited.copy(), table.unsure.copy(), w.faults(), w.observer.suspect),
            [event._replace(ts_ns=0) for event in w.told],
        )
    tally = w.check_all()
    yield tally.counts, tally.bugs


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_same_as_taking_every_row(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    new = list(swept(seed))
    monkeypatch.setattr(sweeping, "Believed", Nothing)
    assert new == list(swept(seed))


@pytest.fixture
def s() -> Shell:
    """A host that was swept, and on which nothing has happened since."""
    shell = Shell()
    shell.observer.begin()
    shell.second()
    shell.second()
    return shell


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each sweep decodes that decodes any."""
    numbers: list[int] = []

    def decode(data: bytes) -> list[events.TaskSeen]:
        rows = batch.decode_batch(data)
        numbers.append(len(rows))
        return rows

    monkeypatch.setattr("pidscope.session.believed.decode_batch", decode)
    return numbers


def test_what_has_not_changed_is_not_decoded(s: Shell, decoded: list[int]) -> None:
    for _ in range(3):
        s.second()
    assert decoded == []
    call(s.shell, "setsid")
    s.second()
    assert decoded == [1] and len(s.changes()) == 2
    s.second()
    assert decoded == [1]


def test_a_task_that_was_reported_is_read_again(s: Shell, decoded: list[int]) -> None:
    child = s.born()
    s.second()
    s.second()
    assert decoded == [1, 0][: len(decoded)]
    call(s.shell, "set_comm", b"other")
    s.second()
    s.second()
    assert s.observer.table is not None
    task = s.observer.table.task(s.shell.pid)
    assert task is not None and task.comm == b"other"
    s.end(child)
    s.expect_equal()


def test_a_process_that_lost_its_group_is_read_again(s: Shell) -> None:
    """The table gave the group up for another one of its numbers, which was not there after all."""
    call(s.shell, "setsid")
    child = s.born()
    s.second()
    s.second()
    table = s.observer._tracepoint_table
    pid = table.root.pids[s.shell.pid]
    group = table.group(child.pid)
    assert group is not None and group.pgid is pid
    table.forget(pid)
    assert group.pgid is None
    s.silence()
    for _ in range(3):
        s.second()
    group = table.group(child.pid)
    assert group is not None and group.pgid is not None and group.sid is not None
    s.expect_equal()


def test_a_repair_believes_nothing_of_before(s: Shell) -> None:
    s.born(flags=CLONE_NEWPID)
    s.observer.pump()
    s.second()
    assert s.observer.repair()
    s.kernel.now_ns += SECOND_NS
    s.expect_equal()
