"""From the SCENARIO of ``--source simulated:SCENARIO`` to a world in which it is about to begin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from pidscope.errors import UsageError
from pidscope.escape import escape
from pidscope.model.kernel import Kernel
from pidscope.simulated.play import Play
from pidscope.simulated.random_workload import STEPS, random_play
from pidscope.simulated.scenario import (
    DEFAULT,
    SUFFIX,
    Scenario,
    builtin,
    builtin_names,
    read_scenario,
)
from pidscope.simulated.world import SimulatedWorld


class Stage(NamedTuple):
    """A world, the steps that will be made in it, and what both are called."""

    name: str
    world: SimulatedWorld
    steps: int


def set_stage(scenario: str) -> Stage:
    """Boot a kernel for a scenario: a built-in one, a file, ``random`` or ``random:SEED``.

    Args:
        scenario: the name; a file's has a ``/`` in it or ends in ``.scenario``; empty: the default.

    Raises:
        UsageError: there is no such scenario, or it cannot be read. ScenarioError: it is not one.
    """
    kernel = Kernel()
    match = re.fullmatch(r"random(?::([0-9]{1,18}))?", scenario)
    if match is not None:
        seed = int(match[1] or 0)
        play = random_play(kernel, seed)
        return Stage(play.source, SimulatedWorld(kernel, play.step, seed), STEPS)
    name, chosen = _find(scenario)
    play = Play(kernel, chosen.steps, chosen.source)
    return Stage(name, SimulatedWorld(kernel, play.step), len(chosen.steps))


def _find(scenario: str) -> tuple[str, Scenario]:
    if "/" in scenario or scenario.endswith(SUFFIX):
        name = escape(scenario.encode("utf-8", "surrogateescape"))
        return name, read_scenario(Path(scenario))
    name = scenario or DEFAULT
    if name not in builtin_names():
        raise UsageError(
            f"no scenario {name!r}",
            f"there are {', '.join(builtin_names())}, random[:SEED], and files "
            f"(with a / in the name, or {SUFFIX} at its end)",
        )
    return name, builtin(name)
