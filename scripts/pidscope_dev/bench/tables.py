"""Tables of 1,000 to 1,000,000 tasks: look-ups, memory, and the cost of each birth."""

from __future__ import annotations

import os

from pidscope_dev.bench.grown import grown
from pidscope_dev.bench.replay import Recording, crowd
from pidscope_dev.bench.row import By, Goal, Row
from pidscope_dev.bench.taken import TakeFigures, Taken, figures_in_turn

SMALLEST, BIGGEST = 1_000, 1_000_000
SIZES = (SMALLEST, 10_000, 100_000, BIGGEST)
_REPETITIONS = 3
_LINEAR = 2.0  # a thousandfold crowd, each at most twice as dear: the exponent is below 1.1


def measure() -> Taken:
    """Each size in turn."""
    recordings = {size: crowd(size) for size in SIZES}
    try:
        contenders = {name(size): _taking(made) for size, made in recordings.items()}
        return figures_in_turn(contenders, _REPETITIONS)
    finally:
        for recording in recordings.values():
            os.close(recording.fd)


def _taking(recording: Recording) -> TakeFigures:
    return lambda: grown(recording)._asdict()


def name(tasks: int) -> str:
    """What a table of so many tasks is called."""
    return f"of {tasks:,}"


def lookup_rows(taken: Taken) -> list[Row]:
    """The biggest table against the smallest: of anyone, out of no cache, and of who is in one."""
    goal = Goal(1.5)
    return [
        _against_smallest(taken, "ns_per_lookup", BIGGEST, "look-up of anyone", goal),
        _against_smallest(
            taken, "ns_per_repeated_lookup", BIGGEST, "look-up of the same 1,000 tasks", goal
        ),
    ]


def memory_rows(taken: Taken) -> list[Row]:
    """Bytes of anonymous memory."""
    what = f"memory per live task at depth 2, {BIGGEST:,} tasks"
    return [
        taken.row(what, "bytes", name(BIGGEST), "", Goal(800), By.VALUE, figure="bytes_per_task")
    ]


def growth_rows(taken: Taken) -> list[Row]:
    """Each size against the smallest: 1 is linear."""
    what, goal = "cost of a birth as tasks grow", Goal(_LINEAR)
    return [_against_smallest(taken, "ns_per_birth", size, what, goal) for size in SIZES[1:]]


def _against_smallest(taken: Taken, figure: str, size: int, what: str, goal: Goal) -> Row:
    row = taken.row(what, "ns", name(size), name(SMALLEST), goal, figure=figure)
    return row._replace(label=f"{size:,} against {SMALLEST:,}")
