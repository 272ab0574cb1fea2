"""What a table of N tasks takes and needs, in its own process: ``grown FD SIZE END N``.

The recording of the births is inherited as a descriptor, so that making it is in no figure.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pidscope_dev.bench.replay import Recording, Replay, cpu_ns, inner_number

_LOOKUPS, _REPEATED = 100_000, 1_000


class Grown(NamedTuple):
    """Of one table: CPU time of a birth and of look-ups, anonymous memory of a task."""

    ns_per_birth: float
    ns_per_lookup: float  # of any task, once
    ns_per_repeated_lookup: float  # of the same thousand, over and over
    bytes_per_task: float


def grown(recording: Recording) -> Grown:
    """Make a table of the births, in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "pidscope_dev.bench.grown", *map(str, recording)],
        pass_fds=[recording.fd],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Grown(**json.loads(done.stdout))


def main() -> None:
    """Measure, and print JSON."""
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


if __name__ == "__main__":
    main()
