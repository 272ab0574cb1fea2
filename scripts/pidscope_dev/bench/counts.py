"""`watch --by`, counted in the kernel, against the stream: hooks, collector, memory.

As in `pidscope_dev.bench.life_stream`. The stream counts where only the tasks of a CMD are asked
for, and takes every event for that.
"""

from __future__ import annotations

from functools import partial
from typing import Callable

from pidscope.live.count_program import CountProgram
from pidscope.wire.hooks import TRACEPOINT
from pidscope_dev.bench.life_stream import (
    CPU,
    DEFAULT,
    HOOKS,
    IDLE,
    MEMORY,
    Attached,
    collected,
    hooks_us,
    watching,
)
from pidscope_dev.bench.programs import compiled
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, TakeFigures, Taken, figures_in_turn, in_turn

COMM, WHERE, STREAM = "watch --by comm", "watch --by where", "watch --by comm, by the stream"
_WAITING = ("--", "cat")
_ARGUMENTS = {
    COMM: ("-J", "--by", "comm", "--all", *_WAITING),
    WHERE: ("-J", "--by", "where", "--all", *_WAITING),
    STREAM: ("-J", "--by", "comm", *_WAITING),
}


def measure_hooks() -> Taken:
    """Both keys, and the default stream."""
    attached: dict[str, Callable[[], Attached]] = {
        COMM: partial(CountProgram, TRACEPOINT),
        WHERE: partial(CountProgram, TRACEPOINT, by_namespace=True),
        DEFAULT: HOOKS[DEFAULT],
    }
    with compiled("loops") as loops:
        return in_turn({name: partial(hooks_us, each, loops) for name, each in attached.items()})


def measure_collectors() -> Taken:
    """CPU time of a fork, and of seconds without any; resident memory."""
    with compiled("loops") as loops:
        contenders: dict[str, TakeFigures] = {
            name: partial(collected, partial(watching, *arguments), loops)
            for name, arguments in _ARGUMENTS.items()
        }
        return figures_in_turn(contenders, repetitions=3)


_HOOKS_WHAT = "time in all hooks per fork+exec+exit"
HOOK_ROWS = (
    Asked(f"{_HOOKS_WHAT}, {COMM}", "µs", COMM, DEFAULT, Goal(1 / 3)),
    Asked(f"{_HOOKS_WHAT}, {WHERE}", "µs", WHERE, DEFAULT, Goal(1 / 3)),
)
_CPU_WHAT = "CPU of the collector per process born and gone"
COLLECTOR_ROWS = (
    Asked(f"{_CPU_WHAT}, {COMM}", "µs", COMM, STREAM, Goal(1 / 50), figure=CPU),
    Asked(f"{_CPU_WHAT}, {WHERE}", "µs", WHERE, STREAM, Goal(1 / 50), figure=CPU),
    Asked(f"resident memory, {COMM}", "MB", COMM, STREAM, figure=MEMORY),
    Asked(f"{COMM}, nothing is born: of a core", "%", COMM, "", Goal(0.05), By.VALUE, figure=IDLE),
)
