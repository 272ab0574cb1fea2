"""A workload without exact counts: PID namespaces made and destroyed, until asked to end."""

from __future__ import annotations

import itertools
import os
import signal

from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family
from pidscope_dev.workload.forks import MAX_DEPTH
from pidscope_dev.workload.storm import HOW_LONG_AND_MUCH, expect_storm, run_jobs
from pidscope_dev.workload.workload import Options, Workload

DEPTHS = (1, 3, 2, 6, MAX_DEPTH, 1, 4, 12)
"""How deep each chain of namespaces goes, in turn."""


def run_churn(family: Family, options: Options) -> str:
    """Several processes make chains of namespaces in a loop; at the end prints how many births."""
    return run_jobs(family, options, _churn)


def _churn(family: Family, stop: Channel, made: Channel) -> None:
    """One of several: chains that end from the bottom and from the top, in turn."""
    births = 0
    bottom, finish = family.channel(), family.channel()
    for turn, depth in enumerate(itertools.cycle(DEPTHS)):
        if stop.is_readable():
            break
        _chain(family, depth, bottom, finish, killed=bool(turn % 2))
        births += depth
    made.send(births)


def _chain(family: Family, depth: int, bottom: Channel, finish: Channel, *, killed: bool) -> None:
    """Make an init in each level; they end one by one, or all at once with the outermost."""
    outermost = _nested(family, depth, bottom, finish)
    bottom.receive()
    if killed:
        os.kill(outermost, signal.SIGKILL)
        family.reap(outermost, killed_by=signal.SIGKILL)
    else:
        finish.send()
        family.reap(outermost)


def _nested(family: Family, depth: int, bottom: Channel, finish: Channel) -> int:
    """Fork into a new namespace, and from there into the next one, down to the depth."""

    def init() -> None:
        if depth > 1:
            family.reap(_nested(family, depth - 1, bottom, finish))
        else:
            bottom.send()
            finish.receive()

    return family.fork(init, make=lambda: syscalls.clone3(syscalls.CLONE_NEWPID))


CHURN = Workload(
    "churn",
    run_churn,
    "namespaces made and destroyed, down to level 32",
    expect_storm,
    HOW_LONG_AND_MUCH,
)
