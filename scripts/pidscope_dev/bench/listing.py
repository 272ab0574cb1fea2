"""Listing all processes: 5,000 in ten namespaces, and those of an idle host."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from pidscope_dev.bench.programs import crowd, find, pidscope, wall_ms
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Take, Taken, in_turn

PROCESSES, _CONTAINERS = 5_000, 10
OURS, LSNS, PS, PSUTIL, BARE = "pidscope ps", "lsns -t pid", "procps ps", "psutil", "bare Python"
DRGN = "drgn"
_ALL = 'import psutil\nfor p in psutil.process_iter(["pid", "name", "ppid"]): p.info'
_COLUMNS = "pid,ppid,pgid,sess,pidns,stat,comm"
_DRGN_SCRIPT = os.fspath(Path(__file__).with_name("drgn_tasks.py"))
_CROWD_REPETITIONS = 5


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
