"""Make random hosts, and look up numbers in their containers: scripts/hosts --help."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from pidscope_dev.arguments import command_line, positive
from pidscope_dev.hosts.ask import ask
from pidscope_dev.hosts.make import make

_DESCRIPTION = """\
Make random hosts (cgroup trees of v1, v2 and hybrid, containers of many runtimes in each other,
monitors, sandboxes, shared namespaces, cgroups that users call by others' names, processes that
were moved), ask pidscope for numbers in their containers, and judge each answer by what is true of
the host. A fault is a number that is given out though it is not of the namespace asked for.
"""
_EPILOG = """\
exit status: 0 no fault; 1 faults, of which the first are printed with their seeds
"""
_SHOWN = 20
_CHUNK = 250


class Judged(NamedTuple):
    """What came of some hosts; ``faults`` begin with the seed."""

    faults: list[str]
    counts: Counter[str]


def judge(seeds: Iterable[int]) -> Judged:
    """Make the hosts of seeds, and ask."""
    judged = Judged([], Counter())
    for seed in seeds:
        answers = ask(make(seed))
        judged.faults.extend(f"seed {seed}: {fault}" for fault in answers.faults)
        judged.counts.update(answers.counts)
    return judged


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = command_line(
        "scripts/hosts",
        _DESCRIPTION,
        {
            "--hosts": {"type": positive, "default": 100_000, "help": "how many (100,000)"},
            "--seed": {"type": int, "default": 0, "help": "of the first; the others follow it"},
            "--jobs": {"type": positive, "default": os.cpu_count() or 1, "help": "processes"},
        },
        _EPILOG,
    )
    args = parser.parse_args(arguments)
    began = time.monotonic()
    last = args.seed + args.hosts
    chunks = [range(at, min(at + _CHUNK, last)) for at in range(args.seed, last, _CHUNK)]
    faults: list[str] = []
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for judged in pool.map(judge, chunks):
            faults += judged.faults
            counts.update(judged.counts)
    for line in faults[:_SHOWN]:
        print(line)
    print(f"{args.hosts} hosts from seed {args.seed} on, in {time.monotonic() - began:.0f} s:")
    for what, times in sorted(counts.items()):
        print(f"  {times:9} {what}")
    print(f"  {len(faults):9} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
