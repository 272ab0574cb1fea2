"""The rule of a birth is the table's; the fast paths and the start make the same of each birth."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from hypothesis import given, settings, strategies

from pidscope.errors import IllegalEvent
from pidscope.events import Birth, PidAttached, PidNumbers, PidType, TaskSeen
from pidscope.model.fork import CLONE_THREAD
from pidscope.session.fast_path import FastPath
from pidscope.session.fast_path_hooks import HookFastPath
from pidscope.session.fast_path_tracepoints import TracepointFastPath
from pidscope.simulated.world import SimulatedWorld
from pidscope.snapshot import Snapshot
from pidscope.table import start as start_module
from pidscope.table.start import start
from pidscope.table.table import Table
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.grammar import Faults, Grammar
from pidscope.wire.encode import encode
from tests.unit.acting import boot, container, fork
from tests.unit.compare import of_table

NS_PER_TICK = 10_000_000


def rows() -> list[TaskSeen]:
    """Processes at two levels, one with a thread, as the model's task iterator shows them."""
    shell = container(fork(boot()))
    fork(shell, CLONE_THREAD)
    fork(fork(shell))
    return SimulatedWorld(shell.kernel, lambda: False).tasks()


ROWS = rows()
ROOT = next(row.pid.ns for row in ROWS if row.tid == 1)
SHELL = next(row for row in ROWS if len(row.pid.numbers) == 2)
FREE = max(row.tid for row in ROWS) + 1
INUMS = {row.pid.ns for row in ROWS} | {0, 4}  # no namespace has the last two


def table_of(seen: list[TaskSeen], window: tuple[PidAttached, ...] = ()) -> Table:
    return start(Snapshot((), {}, tuple(seen)), window, ROOT, NS_PER_TICK)


def tracepoint_table() -> TracepointTable:
    table = TracepointTable(ROOT, NS_PER_TICK)
    table.start(sorted(ROWS, key=lambda row: len(row.pid.numbers)), [])
    return table


def birth(rng: random.Random) -> PidAttached:
    """A legal birth in the container or outside, in which up to two facts may be others."""
    parent = rng.choice(ROWS)
    numbers = (FREE, 40)[: len(parent.pid.numbers)]
    born = parent.birth._replace(
        tgid=rng.choice((FREE, parent.birth.tgid)), ppid=parent.birth.tgid, start_ns=7
    )
    pid = PidNumbers(numbers, parent.pid.ns)
    for _ in range(rng.randrange(3)):
        pid, born = changed(pid, born, rng)
    return PidAttached(5, parent.tid, pid.nr, PidType.PID, pid, born)


def changed(pid: PidNumbers, born: Birth, rng: random.Random) -> tuple[PidNumbers, Birth]:
    """The same birth with another fact."""
    some, inum = rng.choice(ROWS), rng.choice(sorted(INUMS))
    return rng.choice(
        [
            (pid, born._replace(tgid=some.tid)),
            (pid, born._replace(ppid=rng.choice((0, some.tid, FREE + 1)))),
            (pid, born._replace(ns_parent=inum)),
            (pid, born._replace(pgid=rng.choice((some.birth.pgid, some.pid)))),
            (pid, born._replace(sid=born.sid._replace(ns=inum))),
            (pid._replace(ns=inum), born),
            (pid._replace(numbers=(*pid.numbers[:-1], some.pid.numbers[-1])), born),
            (pid._replace(numbers=(FREE, 40, 41)[: rng.randrange(1, 4)]), born),
        ]
    )


def outcome(table: Table, event: PidAttached) -> object:
    try:
        table.apply(event)
    except IllegalEvent:
        return "illegal"
    return of_table(table)


def fast_outcome(table: Table, path: FastPath[Any], event: PidAttached) -> object:
    """None: it is not plain, and nothing was changed."""
    record, before = encode(event), of_table(table)
    applied = path.apply(memoryview(struct.pack("=II", len(record), 0) + record), 0, frozenset())
    if applied.events:
        return of_table(table)
    return None if of_table(table) == before else "changed, and was not plain"


def disagreements(event: PidAttached) -> Iterator[str]:
    """The places that make something else of a birth than the table's rule does."""
    rule = outcome(table_of(ROWS), event)
    table = table_of(ROWS)
    if fast_outcome(table, HookFastPath(table, Grammar(), Faults()), event) not in (None, rule):
        yield "hooks"
    traced = tracepoint_table()
    found = fast_outcome(traced, TracepointFastPath(traced, set()), event)
    if found not in (None, outcome(tracepoint_table(), event)):
        yield "tracepoints"
    assert event.birth is not None
    if rule != "illegal":
        if of_table(table_of(ROWS, (event,))) != rule:
            yield "window"
        row = TaskSeen(5, event.tid, event.tid, event.pid, event.birth)
        if of_table(table_of([*ROWS, row])) != rule:
            yield "rows"


@settings(max_examples=150, deadline=None)
@given(strategies.randoms(use_true_random=False))
def test_every_place_makes_the_same_of_a_birth(rng: random.Random) -> None:
    assert list(disagreements(birth(rng))) == []


attached = Table._attached


def attached_outside_a_replay(self: Table, event: PidAttached) -> None:
    if not self.replay:
        attached(self, event)


@pytest.mark.parametrize(
    ("owner", "method", "other", "places"),
    [
        pytest.param(
            Table,
            "is_plain_birth",
            lambda self, numbers, ns, _: len(numbers) == ns.level + 1,
            {"hooks", "tracepoints"},
            id="plain_if_the_level_is_right",
        ),
        pytest.param(
            FastPath,
            "_find",
            lambda self, link: self._table.root.pids.get(link.nr),
            {"hooks"},
            id="a_group_by_its_first_number",
        ),
        pytest.param(
            start_module._Base,
            "_find",
            lambda self, *_: self._table.init_struct_pid,
            {"rows"},
            id="rows_without_groups",
        ),
        pytest.param(
            Table, "_attached", attached_outside_a_replay, {"window"}, id="nothing_is_replayed"
        ),
    ],
)
def test_another_rule_in_one_place_is_found(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    other: Callable[..., object],
    places: set[str],
) -> None:
    monkeypatch.setattr(owner, method, other)
    found = {place for seed in range(150) for place in disagreements(birth(random.Random(seed)))}
    assert found >= places


def test_both_kinds_of_births_are_drawn() -> None:
    """Legal and illegal ones, and most of the legal ones go the fast way."""
    results = []
    for seed in range(100):
        event, table = birth(random.Random(seed)), table_of(ROWS)
        fast = fast_outcome(table, HookFastPath(table, Grammar(), Faults()), event)
        results.append((outcome(table_of(ROWS), event) != "illegal", fast is not None))
    legal, illegal = [fast for ok, fast in results if ok], [fast for ok, fast in results if not ok]
    assert len(illegal) > 20 and not any(illegal)
    assert len(legal) > 20 and sum(legal) > len(legal) / 2
