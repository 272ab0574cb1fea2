"""Workloads without exact counts, until asked to end: everything at once, namespaces in a loop."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from pidscope_dev.arguments import positive
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family
from pidscope_dev.workload.forks import MAX_DEPTH, clone_into_new
from pidscope_dev.workload.workload import SECONDS, Options, Workload

JOBS = 2

Job = Callable[[Family, Channel, Channel], None]  # until it may stop; then how many births it made


def run_jobs(job: Job, family: Family, options: Options) -> None:
    """Several processes make births in a loop; at the end prints how many there were."""
    stop, made = family.channel(), family.channel()
    jobs = [family.fork(lambda: job(family, stop, made)) for _ in range(options.jobs)]
    family.hold(options.seconds)
    stop.send()
    births = len(jobs)
    for process in jobs:
        births += made.receive()[0]
        family.reap(process)
    print(json.dumps({"births": births}), file=sys.stderr, flush=True)


def _storm(family: Family, stop: Channel, made: Channel) -> None:
    """One of several: each act in turn until the sign, which stays unread for the others."""
    acts: tuple[Callable[[Family], int], ...] = (_fork, _fork, _lead, _thread, _change, _nest)
    syscalls.become_subreaper()
    births = 0
    while not stop.is_readable():
        for act in acts:
            births += act(family)
    made.send(births)


def _fork(family: Family) -> int:
    """One short life."""
    family.reap(family.fork(lambda: None))
    return 1


def _lead(family: Family) -> int:
    """A session whose member may outlive its leader; it comes to this process, the subreaper."""

    def lead() -> None:
        os.setsid()
        family.fork(lambda: None, outlives=True)

    family.reap(family.fork(lead))
    os.waitpid(-1, 0)
    return 2


def _thread(family: Family) -> int:
    """Two threads in another process: this one has to be able to unshare."""

    def run() -> None:
        threads = [threading.Thread(target=int) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    family.reap(family.fork(run))
    return 3


def _change(family: Family) -> int:
    """A child that is moved to its own group, alive or dead as it happens."""
    pid = family.fork(lambda: None)
    os.setpgid(pid, pid)
    family.reap(pid)
    return 1


def _nest(family: Family) -> int:
    """A namespace with two members, one of which dies with it."""

    def init() -> None:
        os.setsid()
        family.reap(family.fork(lambda: None))
        family.fork(lambda: None)

    family.reap(family.fork(lambda: family.in_new_namespace(init)))
    return 4


DEPTHS = (1, 3, 2, 6, MAX_DEPTH, 1, 4, 12)
"""How deep each chain of namespaces goes, in turn."""


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

    return family.fork(init, make=clone_into_new)


HOW_LONG_AND_MUCH = {**SECONDS, "--jobs": {"type": positive, "default": JOBS, "metavar": "J"}}
STORM = Workload(
    "storm",
    partial(run_jobs, _storm),
    "forks, threads, sessions, namespaces until asked to end",
    lambda options: {},
    HOW_LONG_AND_MUCH,
)
CHURN = Workload(
    "churn",
    partial(run_jobs, _churn),
    "namespaces made and destroyed, down to level 32",
    lambda options: {},
    HOW_LONG_AND_MUCH,
)
