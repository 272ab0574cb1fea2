"""The cost of an event as there are more of them, 10,000 to 10,000,000."""

from __future__ import annotations

import os
from collections.abc import Callable

from pidscope_dev.bench.replay import Recording, Replay, cpu_ns, storm
from pidscope_dev.bench.row import Goal, Row
from pidscope_dev.bench.taken import Taken, in_turn

_FEWEST = 10_000
_RECORDED = 1_000_000  # more than so many are the same ones again
_EVENTS = (_FEWEST, 100_000, _RECORDED, 10 * _RECORDED)
_REPETITIONS = 3
_LINEAR = 2.0  # as of tables


def measure() -> Taken:
    """Each number of events in turn, each time with a new table."""
    recordings = {count: storm(count // 2) for count in _EVENTS if count <= _RECORDED}
    try:
        return in_turn({name(count): _take(recordings, count) for count in _EVENTS}, _REPETITIONS)
    finally:
        for recording in recordings.values():
            os.close(recording.fd)


def _take(recordings: dict[int, Recording], count: int) -> Callable[[], float]:
    recording = recordings[min(count, _RECORDED)]

    def take() -> float:
        follower = Replay()
        times = count // recording.events
        return sum(cpu_ns(lambda: follower.play(recording)) for _ in range(times)) / count

    return take


def name(count: int) -> str:
    """What so many events are called among the samples."""
    return f"of {count:,}"


def rows(taken: Taken) -> list[Row]:
    """Each against the fewest: 1 is linear."""
    what, goal = "cost of an event as events grow", Goal(_LINEAR)
    return [
        taken.row(what, "ns", name(count), name(_FEWEST), goal)._replace(
            label=f"{count:,} against {_FEWEST:,}"
        )
        for count in _EVENTS[1:]
    ]
