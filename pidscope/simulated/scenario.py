"""Scenarios: steps from a text, checked as far as they can be before they are played."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pidscope.errors import ScenarioError, UsageError
from pidscope.escape import escape
from pidscope.simulated.calls import BOOTED, BadStep, is_name, quote, tasks_named
from pidscope.simulated.steps import Step, cgroup_arguments, parse_line

DEFAULT = "containers"
"""The built-in scenario to show when none was asked for."""

SUFFIX = ".scenario"
_STEPS_MAX = 100_000
_BYTES_MAX = 1 << 20


class Scenario(NamedTuple):
    """Steps, and where they were read: what an error names."""

    source: str
    steps: tuple[Step, ...]


class _Scope:
    """The names that the steps so far have given."""

    def __init__(self) -> None:
        self._tasks = set(BOOTED)
        self._cgroups: set[str] = set()

    def check(self, step: Step) -> None:
        if step.call == "cgroup":
            self._check_cgroup(step)
        elif step.actor:
            self._check_call(step)

    def _check_cgroup(self, step: Step) -> None:
        name, parent, _ = cgroup_arguments(step.args)
        if parent:
            self._check_has_cgroup(parent)
        if name in self._cgroups:
            raise BadStep(f"there is a cgroup {quote(name)} already")
        self._cgroups.add(name)

    def _check_call(self, step: Step) -> None:
        for task in (step.actor, *tasks_named(step.call, step.args)):
            self._check_has_task(task)
        if step.call == "join":
            self._check_has_cgroup(step.args[0])
        if step.name:
            self._tasks.add(step.name)
        if is_name(step.result):
            self._check_has_task(step.result)

    def _check_has_task(self, name: str) -> None:
        if name not in self._tasks:
            raise BadStep(f"no task named {quote(name)}")

    def _check_has_cgroup(self, name: str) -> None:
        if name not in self._cgroups:
            raise BadStep(f"no cgroup named {quote(name)}")


def parse_scenario(text: str, source: str) -> Scenario:
    """Read steps from text; raises ScenarioError with ``source`` and the first bad line."""
    scope = _Scope()
    steps: list[Step] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            for step in parse_line(line, number):
                scope.check(step)
                steps.append(step)
                if len(steps) > _STEPS_MAX:
                    raise BadStep(f"more than {_STEPS_MAX} steps")
        except BadStep as problem:
            raise ScenarioError(source, number, str(problem)) from None
    return Scenario(source, tuple(steps))


def parse_step(text: str, line: int = 1, source: str = "step") -> Step:
    """Read one step, whose names may be unknown; raises ScenarioError."""
    try:
        steps = list(parse_line(text, line))
        if len(steps) != 1 or "\n" in text:
            raise BadStep("expected one step")
    except BadStep as problem:
        raise ScenarioError(source, line, str(problem)) from None
    return steps[0]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario from a file of the user's.

    Raises:
        ScenarioError: it is not one, whatever its bytes are.
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except OSError as problem:
        raise UsageError(f"cannot read {quote(str(path))}: {problem.strerror}") from problem
    return parse_bytes(raw, escape(str(path).encode("utf-8", "surrogateescape")))


def parse_bytes(raw: bytes, source: str) -> Scenario:
    """Read steps from bytes that anyone may have written; raises ScenarioError."""
    if len(raw) > _BYTES_MAX:
        raise ScenarioError(source, raw.count(b"\n", 0, _BYTES_MAX) + 1, "more than 1 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise ScenarioError(source, line, f"not UTF-8: byte {raw[problem.start]:#04x}") from None
    return parse_scenario(text, source)


def builtin_names() -> list[str]:
    """What the scenarios that come with pidscope are called."""
    return sorted(_builtin_files())


def builtin(name: str) -> Scenario:
    """Read a scenario that comes with pidscope; raises UsageError if there is no such."""
    files = _builtin_files()
    if name not in files:
        raise UsageError(f"no scenario {quote(name)} ({', '.join(sorted(files))})")
    return parse_bytes(files[name], f"{name}{SUFFIX}")


def _builtin_files() -> dict[str, bytes]:
    directory = resources.files("pidscope.simulated") / "scenarios"
    return {
        file.name[: -len(SUFFIX)]: file.read_bytes()
        for file in directory.iterdir()
        if file.name.endswith(SUFFIX)
    }
