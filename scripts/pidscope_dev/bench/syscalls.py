"""What tracepoint mode costs system calls that it does not watch, and what it does without."""

from __future__ import annotations

import contextlib
from typing import Callable

from pidscope_dev.bench.programs import attached, compiled, cpu_ns_of
from pidscope_dev.bench.row import Goal, Row
from pidscope_dev.bench.taken import Take, Taken, in_turn
from pidscope_dev.bench.tracefs import counting

BARE, OURS, SYSCALLS = "nothing attached", "tracepoint mode", "tracepoints of setpgid and setsid"
_GETPPIDS = "700000"


def measure() -> Taken:
    """A loop of getppid, in CPU time, with each attached."""
    with compiled("loops") as loops:
        return in_turn(
            {
                BARE: _taking(loops, contextlib.nullcontext),
                OURS: _taking(loops, attached),
                SYSCALLS: _taking(loops, counting),
            }
        )


def _taking(loops: str, attach: Callable[[], contextlib.AbstractContextManager[object]]) -> Take:
    def take() -> float:
        with attach():
            return cpu_ns_of([loops, "getppid", _GETPPIDS])

    return take


def rows(taken: Taken) -> list[Row]:
    """Tracepoint mode, and what it would cost to see setpgid and setsid at once."""
    what = "getppid loop, tracepoint mode attached"
    without = "getppid loop, as it would be if setpgid and setsid were watched"
    return [
        taken.row(what, "ns", OURS, BARE, Goal(1.05)),
        taken.row(without, "ns", SYSCALLS, BARE),
    ]
