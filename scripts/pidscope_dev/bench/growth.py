"""What grows: tables of 1,000 to 1,000,000 tasks, streams of 10,000 to 10,000,000 events.

Of tables: look-ups, memory, the cost of each birth. Of events: the cost of each.
"""

from __future__ import annotations

import os

from pidscope_dev.bench.grown import grown
from pidscope_dev.bench.replay import Recording, Replay, cpu_ns, crowd, storm
from pidscope_dev.bench.row import By, Goal, Row
from pidscope_dev.bench.taken import Take, TakeFigures, Taken, figures_in_turn, in_turn

SMALLEST, BIGGEST = 1_000, 1_000_000
SIZES = (SMALLEST, 10_000, 100_000, BIGGEST)
_FEWEST = 10_000
_RECORDED = 1_000_000  # more events than these are the same ones again
_EVENTS = (_FEWEST, 100_000, _RECORDED, 10 * _RECORDED)
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


def measure_events() -> Taken:
    """Each number of events in turn, each time with a new table."""
    recordings = {count: storm(count // 2) for count in _EVENTS if count <= _RECORDED}
    try:
        contenders = {
            name(count): _playing(recordings[min(count, _RECORDED)], count) for count in _EVENTS
        }
        return in_turn(contenders, _REPETITIONS)
    finally:
        for recording in recordings.values():
            os.close(recording.fd)


def _playing(recording: Recording, count: int) -> Take:
    def take() -> float:
        follower = Replay()
        times = count // recording.events
        return sum(cpu_ns(lambda: follower.play(recording)) for _ in range(times)) / count

    return take


def name(count: int) -> str:
    """The name of a table of so many tasks, or of so many events, among the samples."""
    return f"of {count:,}"


def lookup_rows(taken: Taken) -> list[Row]:
    """The biggest table against the smallest: of any task, out of no cache, and of tasks in one."""
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


def event_rows(taken: Taken) -> list[Row]:
    """Each number of events against the fewest: 1 is linear."""
    what, goal = "cost of an event as events grow", Goal(_LINEAR)
    return [_against_smallest(taken, "", count, what, goal, _FEWEST) for count in _EVENTS[1:]]


def _against_smallest(
    taken: Taken, figure: str, size: int, what: str, goal: Goal, smallest: int = SMALLEST
) -> Row:
    row = taken.row(what, "ns", name(size), name(smallest), goal, figure=figure)
    return row._replace(label=f"{size:,} against {smallest:,}")
