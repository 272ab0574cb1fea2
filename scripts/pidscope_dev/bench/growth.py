"""What grows: tables of 1,000 to 1,000,000 tasks, streams of 10,000 to 10,000,000 events.

Of tables: look-ups, memory, the cost of each birth. Of events: the cost of each. A table is
measured in its own process, ``growth FD SIZE END N``. It inherits the recording of the births as a
descriptor, so that making it is in no figure.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pidscope_dev.bench.replay import Recording, Replay, cpu_ns, crowd, inner_number, storm
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Taken, figures_in_turn, in_turn

SMALLEST, BIGGEST = 1_000, 1_000_000
SIZES = (SMALLEST, 10_000, 100_000, BIGGEST)
_FEWEST = 10_000
_RECORDED = 1_000_000  # more events than these are the same ones again
_EVENTS = (_FEWEST, 100_000, _RECORDED, 10 * _RECORDED)
_REPETITIONS = 3
_LOOKUPS, _REPEATED = 100_000, 1_000
_LINEAR = 2.0  # a thousandfold crowd, each at most twice as dear: the exponent is below 1.1


class Grown(NamedTuple):
    """Of one table: CPU time of a birth and of look-ups, anonymous memory of a task."""

    ns_per_birth: float
    ns_per_lookup: float  # of any task, once
    ns_per_repeated_lookup: float  # of the same thousand, over and over
    bytes_per_task: float


def grown(recording: Recording) -> Grown:
    """Make a table of the births, in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "pidscope_dev.bench.growth", *map(str, recording)],
        pass_fds=[recording.fd],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Grown(**json.loads(done.stdout))


def main() -> None:
    """Measure a table in this process, and print JSON."""
    recording = Recording(*map(int, sys.argv[1:]))
    follower, tasks = Replay(), recording.events
    chance = random.Random(7)
    numbers = [inner_number(chance.randrange(tasks)) for _ in range(_LOOKUPS)]
    before = _anonymous_bytes()
    birth_ns = cpu_ns(lambda: follower.play(recording)) / tasks
    memory = (_anonymous_bytes() - before) / tasks
    repeated = numbers[:_REPEATED] * (_LOOKUPS // _REPEATED)
    lookup_ns = cpu_ns(lambda: _look_up(follower, numbers)) / _LOOKUPS
    repeated_ns = cpu_ns(lambda: _look_up(follower, repeated)) / _LOOKUPS
    print(json.dumps(Grown(birth_ns, lookup_ns, repeated_ns, memory)._asdict()))


def _look_up(follower: Replay, numbers: Sequence[int]) -> None:
    for nr in numbers:
        follower.lookup(nr)


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no RssAnon in /proc/{os.getpid()}/status")


def measure() -> Taken:
    """Each size in turn."""
    recordings = {size: crowd(size) for size in SIZES}
    try:
        contenders = {name(size): partial(_grown, made) for size, made in recordings.items()}
        return figures_in_turn(contenders, _REPETITIONS)
    finally:
        for recording in recordings.values():
            os.close(recording.fd)


def _grown(recording: Recording) -> dict[str, float]:
    return grown(recording)._asdict()


def measure_events() -> Taken:
    """Each number of events in turn, each time with a new table."""
    recordings = {count: storm(count // 2) for count in _EVENTS if count <= _RECORDED}
    try:
        contenders = {
            name(count): partial(_event_ns, recordings[min(count, _RECORDED)], count)
            for count in _EVENTS
        }
        return in_turn(contenders, _REPETITIONS)
    finally:
        for recording in recordings.values():
            os.close(recording.fd)


def _event_ns(recording: Recording, count: int) -> float:
    follower = Replay()
    times = count // recording.events
    return sum(cpu_ns(lambda: follower.play(recording)) for _ in range(times)) / count


def name(count: int) -> str:
    """The name of a table of so many tasks, or of so many events, among the samples."""
    return f"of {count:,}"


def _against_smallest(
    what: str, figure: str, size: int, goal: Goal, smallest: int = SMALLEST
) -> Asked:
    label = f"{size:,} against {smallest:,}"
    return Asked(what, "ns", name(size), name(smallest), goal, figure=figure, label=label)


# Of any task, out of no cache, and of tasks in one.
LOOKUP_ROWS = (
    _against_smallest("look-up of anyone", "ns_per_lookup", BIGGEST, Goal(1.5)),
    _against_smallest(
        "look-up of the same 1,000 tasks", "ns_per_repeated_lookup", BIGGEST, Goal(1.5)
    ),
)
MEMORY_ROWS = (
    Asked(
        *(f"memory per live task at depth 2, {BIGGEST:,} tasks", "bytes", name(BIGGEST)),
        goal=Goal(800),
        by=By.VALUE,
        figure="bytes_per_task",
    ),
)
# 1 is linear.
GROWTH_ROWS = [
    _against_smallest("cost of a birth as tasks grow", "ns_per_birth", size, Goal(_LINEAR))
    for size in SIZES[1:]
]
EVENT_ROWS = [
    _against_smallest("cost of an event as events grow", "", count, Goal(_LINEAR), _FEWEST)
    for count in _EVENTS[1:]
]


if __name__ == "__main__":
    main()
