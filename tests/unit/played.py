"""Scenarios as tests use them: a line that has a result (``= 4``, ``= EPERM``) is an assertion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from pidscope.events import Event
from pidscope.model.features import TODAY, Features
from pidscope.model.kernel import Kernel
from pidscope.model.sched import TaskStruct
from pidscope.simulated.calls import BOOTED
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import Scenario, parse_scenario, parse_step
from pidscope.simulated.world import SimulatedWorld
from tests.unit.acting import numbers

SHELL = "init: fork -> shell\nshell: setsid\n"
"""A shell in its own session; it is process 3."""


def play(
    text: str, features: Features = TODAY, listener: Callable[[Event], None] | None = None
) -> Play:
    """A scenario that has been played to its end on a kernel of its own.

    Raises ScenarioError if a call does not give what its line says.
    """
    return play_all(parse_scenario(text, "web.scenario"), Kernel(features, listener))


def play_all(scenario: Scenario, kernel: Kernel) -> Play:
    """The same of one that has been read."""
    played = Play(kernel, scenario.steps, scenario.source)
    while played.step():
        pass
    return played


def scenario_world(text: str) -> SimulatedWorld:
    """A world in which a scenario is still to be played, a step at a time."""
    kernel = Kernel()
    return SimulatedWorld(kernel, Play(kernel, parse_scenario(text, "web.scenario").steps).step)


def go_on(played: Play, text: str) -> None:
    """Play further lines; raises ScenarioError as `play` does."""
    for line in text.splitlines():
        played.perform(parse_step(line))


def numbers_of(played: Play, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """What these living tasks are called, outermost first."""
    return {name: numbers(played.names[name]) for name in names}


def fates(played: Play) -> dict[str, str]:
    """Of each task that the scenario named: whose child, thread or zombie it is, or released."""
    names = {task: name for name, task in played.names.items()}
    return {name: _fate(task, names) for task, name in names.items() if name not in BOOTED}


def _fate(task: TaskStruct, names: dict[TaskStruct, str]) -> str:
    if task.thread_pid is None:
        return "released"
    if task.group_leader is not task:
        return f"thread of {names[task.group_leader]}"
    return f"{'zombie' if task.exit_state else 'child'} of {names[task.real_parent]}"
