"""Workloads that only fork: short lives, and lives nested in PID namespaces."""

from __future__ import annotations

import argparse
import errno
import os
from functools import partial

from pidscope_dev.arguments import positive
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family, check, fork_undisturbed, refuse, stay
from pidscope_dev.workload.workload import Options, Workload, counts, exactly

SHORT_LIVES = 2000
LEAVES = (7, 6, 6)
"""Leaves in each of the three namespaces of `nested`: with three inits and one outside, 23."""
MAX_DEPTH = 32
"""MAX_PID_NS_LEVEL: the deepest level a PID namespace can have."""


def run_short(family: Family, options: Options) -> None:
    """Fork children that end at once, in this process or in several at the same time."""
    if options.jobs == 1:
        live_shortly(options.lives)
        return
    share, rest = divmod(options.lives, options.jobs)
    shares = [share + (index < rest) for index in range(options.jobs)]
    family.reap(*[family.fork(partial(live_shortly, share)) for share in shares])


def live_shortly(lives: int) -> None:
    """Fork, let the child end, reap it; so many times."""
    for _ in range(lives):
        pid = fork_undisturbed()
        if pid == 0:
            os._exit(0)
        check(os.waitpid(pid, 0) == (pid, 0), "a short life ended badly")


def run_nested(family: Family, options: Options) -> None:
    """Three namespaces, one in the other, all 23 processes alive at the same time."""
    ready, finish = family.channel(), family.channel()
    outside = family.fork(lambda: family.in_new_namespace(lambda: _nest(family, 1, ready, finish)))
    ready.collect(sum(LEAVES))
    finish.give(sum(LEAVES))
    family.reap(outside)


def _nest(family: Family, level: int, ready: Channel, finish: Channel) -> None:
    """The init of a level: its leaves, then the next level."""
    check(os.getpid() == 1, f"level {level}: the first process is not number 1")
    leaves = [family.fork(lambda: stay(ready, finish)) for _ in range(LEAVES[level - 1])]
    check(leaves == list(range(2, len(leaves) + 2)), f"level {level}: numbers {leaves}")
    if level < len(LEAVES):
        family.in_new_namespace(lambda: _nest(family, level + 1, ready, finish))
    family.reap(*leaves)


def run_deep(family: Family, options: Options) -> str | None:
    """A namespace in each level down to the depth, an init with its own session in each."""
    bottom, finish = family.channel(), family.channel()
    outside = family.fork(lambda: _descend(family, 1, options.depth, bottom, finish))
    bottom.receive()
    finish.send()
    family.reap(outside)
    return f"level {MAX_DEPTH + 1} refused" if options.depth == MAX_DEPTH else None


def _descend(family: Family, level: int, depth: int, bottom: Channel, finish: Channel) -> None:
    """Make the next level, by unshare or (even ones) by clone3; at the bottom, wait."""

    def next_init() -> None:
        os.setsid()
        check(os.getpid() == os.getsid(0) == 1, f"level {level}: not number 1")
        _descend(family, level + 1, depth, bottom, finish)

    if level > depth:
        if depth == MAX_DEPTH:
            # ENOSPC from create_pid_namespace.
            refuse(errno.ENOSPC, syscalls.unshare_pid_namespace, f"unshare at level {MAX_DEPTH}")
        stay(bottom, finish)
    elif level % 2:
        family.in_new_namespace(next_init)
    else:
        family.reap(family.fork(next_init, make=clone_into_new))


def clone_into_new() -> int:
    """Fork into a new PID namespace in one step."""
    return syscalls.clone3(syscalls.CLONE_NEWPID)


def _depth(text: str) -> int:
    number = positive(text)
    if number > MAX_DEPTH:
        raise argparse.ArgumentTypeError(f"not deeper than {MAX_DEPTH}: {text}")
    return number


SHORT = Workload(
    "short",
    run_short,
    "short lives, 2,000 or COUNT, from one forker or several",
    lambda it: counts(it.lives + (it.jobs if it.jobs > 1 else 0)),  # and forkers, if several
    {
        "lives": {"nargs": "?", "type": positive, "default": SHORT_LIVES, "metavar": "COUNT"},
        "--jobs": {"type": positive, "default": 1, "metavar": "J"},
    },
)
NESTED = Workload(
    "nested",
    run_nested,
    "23 processes in 3 nested namespaces",
    exactly(1 + sum(1 + leaves for leaves in LEAVES), namespaces=len(LEAVES)),
)
DEEP = Workload(
    "deep",
    run_deep,
    "namespaces down to level 32, a session in each",
    lambda it: counts(it.depth + 1, change_pid=2 * it.depth, namespaces=it.depth),
    {"--depth": {"type": _depth, "default": MAX_DEPTH, "metavar": "LEVELS"}},
)
