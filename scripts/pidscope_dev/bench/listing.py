"""All processes at once: listed by commands, and read by the task iterator and in /proc."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pidscope.gc_pause import gc_paused
from pidscope.host.proc import PROC_PID_INIT_INO, ProcFs
from pidscope.live.program import Program
from pidscope.snapshot import Snapshot
from pidscope.table.snapshot_rows import Row as TaskRow
from pidscope.table.snapshot_rows import rows as rows_of
from pidscope_dev.bench.programs import attached, crowd, find, pidscope, wall_ms
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Take, Taken, Unable, in_turn

PROCESSES, _CONTAINERS = 5_000, 10
OURS, LSNS, PS, PSUTIL, BARE = "pidscope ps", "lsns -t pid", "procps ps", "psutil", "bare Python"
DRGN = "drgn"
_ALL = 'import psutil\nfor p in psutil.process_iter(["pid", "name", "ppid"]): p.info'
_COLUMNS = "pid,ppid,pgid,sess,pidns,stat,comm"
_DRGN_SCRIPT = os.fspath(Path(__file__).with_name("drgn_tasks.py"))
_CROWD_REPETITIONS = 5
ITERATOR, PROC = "task iterator", "/proc"
_SNAPSHOT_REPETITIONS = 9


def measure_crowd() -> Taken:
    """Each from start to end."""
    with crowd(PROCESSES, _CONTAINERS):
        return in_turn(
            {
                OURS: partial(wall_ms, pidscope("ps")),
                LSNS: _peer("lsns", "util-linux", "-t", "pid"),
                PS: _peer("ps", "procps", "-e", "-o", _COLUMNS),
                PSUTIL: partial(wall_ms, [sys.executable, "-c", _ALL]),
                DRGN: _peer("drgn", "python3-drgn", "-q", _DRGN_SCRIPT),
            },
            _CROWD_REPETITIONS,
        )


def measure_idle() -> Taken:
    """The same without a crowd, and Python with nothing to do."""
    return in_turn(
        {
            OURS: partial(wall_ms, pidscope("ps")),
            BARE: partial(wall_ms, [sys.executable, "-c", "pass"]),
            LSNS: _peer("lsns", "util-linux", "-t", "pid"),
        }
    )


def _peer(program: str, package: str, *arguments: str) -> Take:
    return lambda: wall_ms([find(program, package), *arguments])


# But for drgn none of the peers has all numbers.
_CROWD = f"ps of {PROCESSES:,} processes, every number at every level"
CROWD_ROWS = (
    Asked(_CROWD, "ms", OURS, LSNS, Goal(1)),
    Asked(_CROWD, "ms", OURS, PSUTIL, Goal(1 / 5)),
    Asked(_CROWD, "ms", OURS, PS),
    Asked(_CROWD, "ms", OURS, DRGN),
)
_IDLE = "ps on an idle host, start to end"
IDLE_ROWS = (
    Asked(_IDLE, "ms", OURS, BARE, Goal(100), By.DIFFERENCE),  # how much later than Python itself
    Asked(_IDLE, "ms", OURS, LSNS),
)


def measure_snapshots() -> Taken:
    """Each gives the same rows, as a start needs them; raises Unable if they are not the same."""
    with attached() as program, crowd(PROCESSES, _CONTAINERS):
        return _compared(lambda: _rows(_iterated(program)), lambda: _rows(ProcFs().snapshot()))


def _compared(iterate: Callable[[], list[TaskRow]], read: Callable[[], list[TaskRow]]) -> Taken:
    _expect_same(iterate, read)
    return in_turn({ITERATOR: lambda: _ms(iterate), PROC: lambda: _ms(read)}, _SNAPSHOT_REPETITIONS)


def _expect_same(iterate: Callable[[], list[TaskRow]], read: Callable[[], list[TaskRow]]) -> None:
    one, other = _of_crowd(iterate()), _of_crowd(read())
    if one != other or len(one) < PROCESSES:
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


SNAPSHOT_ROWS = (
    Asked(f"snapshot of {PROCESSES:,} tasks, the same rows", "ms", ITERATOR, PROC, Goal(1 / 20)),
)
