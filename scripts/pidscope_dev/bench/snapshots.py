"""All tasks read at once: by the task iterator, and in /proc."""

from __future__ import annotations

import time
from collections.abc import Callable

from pidscope.gc_pause import gc_paused
from pidscope.host.proc import PROC_PID_INIT_INO, ProcFs
from pidscope.live.program import Program
from pidscope.snapshot import Snapshot
from pidscope.table.snapshot_rows import Row as TaskRow
from pidscope.table.snapshot_rows import rows as rows_of
from pidscope_dev.bench.programs import attached, crowd
from pidscope_dev.bench.row import Goal
from pidscope_dev.bench.taken import Asked, Taken, Unable, in_turn

TASKS, _CONTAINERS = 5_000, 10
ITERATOR, PROC = "task iterator", "/proc"
_REPETITIONS = 9


def measure() -> Taken:
    """Each gives the same rows, as a start needs them; raises Unable if they are not the same."""
    with attached() as program, crowd(TASKS, _CONTAINERS):
        return _compared(lambda: _rows(_iterated(program)), lambda: _rows(ProcFs().snapshot()))


def _compared(iterate: Callable[[], list[TaskRow]], read: Callable[[], list[TaskRow]]) -> Taken:
    _expect_same(iterate, read)
    return in_turn({ITERATOR: lambda: _ms(iterate), PROC: lambda: _ms(read)}, _REPETITIONS)


def _expect_same(iterate: Callable[[], list[TaskRow]], read: Callable[[], list[TaskRow]]) -> None:
    one, other = _of_crowd(iterate()), _of_crowd(read())
    if one != other or len(one) < TASKS:
        raise Unable(f"rows differ: {len(one)} by the iterator, {len(other)} in /proc")


def _iterated(program: Program) -> Snapshot:
    return Snapshot((), {}, tuple(program.tasks() or ()))


def _rows(snapshot: Snapshot) -> list[TaskRow]:
    return list(rows_of(snapshot, (), PROC_PID_INIT_INO))


def _of_crowd(rows: list[TaskRow]) -> set[tuple[tuple[int, ...], int, int]]:
    """Those who stay; others come and go, and the iterator may not show all."""
    return {(row.numbers, row.ns, row.tgid) for row in rows if row.comm == b"crowd"}


def _ms(read: Callable[[], object]) -> float:
    begun = time.perf_counter()
    with gc_paused():  # as a session has it
        read()
    return (time.perf_counter() - begun) * 1e3


ROWS = (Asked(f"snapshot of {TASKS:,} tasks, the same rows", "ms", ITERATOR, PROC, Goal(1 / 20)),)
