"""Lives a second: a recorded fork storm drained, decoded and applied, and the machine's forks."""

from __future__ import annotations

import os
import subprocess

from pidscope_dev.bench.programs import compiled
from pidscope_dev.bench.replay import Replay, cpu_ns, storm
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Taken, in_turn

_LIVES = 100_000
_FORKS = 3_000  # of one core, in one repetition
OURS, FORKS = "pidscope", "forks of two cores"


def measure() -> Taken:
    """Both in CPU time: others may be running."""
    recording, follower = storm(_LIVES), Replay()
    try:
        with compiled("loops") as loops:
            return in_turn(
                {
                    OURS: lambda: _LIVES * 1e9 / cpu_ns(lambda: follower.play(recording)),
                    FORKS: lambda: _fork_rate(loops),
                }
            )
    finally:
        os.close(recording.fd)


def _fork_rate(loops: str) -> float:
    """Forks, exits and waits in a second of CPU time, of as many loops at once as two cores."""
    command = [loops, "fork", str(_FORKS)]
    cores = min(2, len(os.sched_getaffinity(0)))
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(cores)]
    return sum(1e9 / float(loop.communicate()[0]) for loop in running)


_WHAT = "births and releases at depth 2: drained, decoded, applied"
ROWS = (
    Asked(_WHAT, "lives/s", OURS, goal=Goal(200_000, at_least=True), by=By.VALUE),
    Asked(_WHAT, "lives/s", OURS, FORKS, Goal(5, at_least=True)),
)
