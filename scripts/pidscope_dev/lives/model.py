"""Lives of random workloads on the model: its life stream against its full stream.

Every life goes the way of a kernel's: to a row, into columns, and back.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from pidscope.errors import ScenarioError
from pidscope.history.lives import Columns
from pidscope.model.features import TODAY, Features
from pidscope.model.kernel import Kernel
from pidscope.simulated.iterator import iterate
from pidscope.simulated.lives import LifeHooks
from pidscope.simulated.play import Play
from pidscope.simulated.procfs import Reading, T
from pidscope.simulated.random_workload import random_steps
from pidscope.wire.lives import Born, Life, LifeKind, pack_born, pack_life
from pidscope_dev.lives.full_stream import FullStream


class Lived(NamedTuple):
    """What both streams reported of one workload."""

    seed: int
    lives: list[Life]
    births: list[Born]
    full: FullStream


def lived(seed: int, steps: int, features: Features = TODAY) -> Lived:
    """Play a random workload, with the hooks of both streams in its kernel."""
    kernel, full = Kernel(features), FullStream()
    full.adopt(_finished(iterate(kernel)), kernel.cgroup_root.id)
    kernel.listener = full.add
    found: list[Born | Life] = []
    LifeHooks(kernel, found.append)
    play = Play(kernel)
    for at, step in enumerate(random_steps(play, random.Random(seed))):
        if at == steps:
            break
        try:
            play.perform(step)
        except ScenarioError:
            break
    lives = [each for each in found if isinstance(each, Life)]
    births = [each for each in found if isinstance(each, Born)]
    return Lived(seed, list(map(_life, lives)), list(map(_born, births)), full)


def _finished(reading: Reading[T]) -> T:
    """The result of a reading, while nothing else goes on."""
    try:
        while True:
            next(reading)
    except StopIteration as end:
        result: T = end.value
        return result


def _life(life: Life) -> Life:
    """The same, out of columns of its row."""
    of, row = pack_life(life)
    columns = Columns(of, 2)
    assert not list(columns.add(row))
    return columns.flush().life(0)


def _born(born: Born) -> Born:
    of, row = pack_born(born)
    columns = Columns(of, 2)
    assert not list(columns.add(row))
    return columns.flush().born(0)


def compare(it: Lived) -> list[str]:
    """What differs, a line each; of the fields that the full stream knows."""
    lines = []
    full = it.full
    if len(it.lives) != len(full.lives):
        lines.append(f"{len(it.lives)} lives, {len(full.lives)} by the full stream")
    for mine, theirs, process in zip(it.lives, full.lives, full.processes):
        known = mine._replace(ppid=theirs.ppid, parent_start_ns=0, joined=None)
        if mine.kind is LifeKind.PROCESS:
            known = known._replace(status=None)
            if process.status not in (None, mine.status):
                lines.append(f"status {process.status}: {mine}")
        if known != theirs:
            lines.append(f"{known}, {theirs} by the full stream")
    lines += [
        f"{mine}, {theirs} by the full stream"
        for mine, theirs in zip(it.births, full.births)
        if mine != theirs
    ]
    if len(it.births) != len(full.births):
        lines.append(f"{len(it.births)} births, {len(full.births)} by the full stream")
    return [f"seed {it.seed}: {line}" for line in lines]
