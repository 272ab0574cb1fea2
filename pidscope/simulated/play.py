"""A play: steps made on a model kernel, one after the other."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.errors import PidscopeError, ScenarioError
from pidscope.model import syscalls
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_vpid, pid_vnr, task_active_pid_ns
from pidscope.model.sched import TaskStruct
from pidscope.simulated.calls import BadStep, is_errno, is_number
from pidscope.simulated.cast import Cast
from pidscope.simulated.resolve import SystemCall, resolve
from pidscope.simulated.steps import ANYTHING, Step, cgroup_arguments, sleep_ns

_LAST_NS = (1 << 63) - 1


class Outcome(NamedTuple):
    """What a call gave: a value, None if it does not return; or an error."""

    value: int | None
    errno: int = 0

    def __str__(self) -> str:
        if self.errno:
            return errno.errorcode.get(self.errno, f"errno {self.errno}")
        return "nothing" if self.value is None else str(self.value)


class Play:
    """Makes steps happen.

    Args:
        kernel: a booted one, where others may have played before.
        steps: what to play; they may be made up while it is played.
        source: what an error calls the place that they are from.
    """

    def __init__(
        self, kernel: Kernel, steps: Iterable[Step] = (), source: str = "scenario"
    ) -> None:
        self.kernel = kernel
        self.source = source
        self.cast = Cast(kernel)
        self.steps: Iterator[Step] = iter(steps)  # may be replaced by what needs to know the play

    @property
    def names(self) -> dict[str, TaskStruct]:
        """The tasks by name, ended ones included."""
        return self.cast.tasks

    def step(self) -> bool:
        """Make the next step; False if there is none. Raises ScenarioError as `perform`."""
        step = next(self.steps, None)
        if step is None:
            return False
        self.perform(step)
        return True

    def perform(self, step: Step) -> Outcome:
        """Make one step.

        Raises:
            ScenarioError: a name has no task, the actor cannot act, or the result differs.
        """
        try:
            if step.actor:
                return self._call(step, resolve(self.cast, step))
            self._direct(step)
            return Outcome(None)
        except BadStep as problem:
            raise ScenarioError(self.source, step.line, str(problem)) from problem

    def resolve(self, step: Step) -> SystemCall:
        """The system call that `perform` would make; raises ScenarioError as it does."""
        try:
            return resolve(self.cast, step)
        except BadStep as problem:
            raise ScenarioError(self.source, step.line, str(problem)) from problem

    def _direct(self, step: Step) -> None:
        if step.call == "sleep":
            self.kernel.now_ns += sleep_ns(step.args)
            if self.kernel.now_ns > _LAST_NS:
                raise BadStep("the clock ends after 292 years")
        else:
            self.cast.make_cgroup(*cgroup_arguments(step.args))

    def _call(self, step: Step, call: SystemCall) -> Outcome:
        current, leader = call.current, call.current.group_leader
        try:
            value = syscalls.call(current, call.name, *call.args)
        except OSError as refusal:
            outcome = Outcome(None, refusal.errno or 0)
        except PidscopeError as problem:  # the kernel has panicked
            raise BadStep(str(problem)) from problem
        else:
            outcome = Outcome(_returned(current, value))
        if call.name == "execve" and leader is not current:
            self.cast.exchanged(current, leader)
        if step.name and not outcome.errno:
            child = find_task_by_vpid(outcome.value or 0, current)
            assert child is not None
            self.cast.name(child, step.name)
        self._check(step, current, outcome)
        return outcome

    def _check(self, step: Step, current: TaskStruct, outcome: Outcome) -> None:
        """Raise BadStep if the result is not the one of the step."""
        result = step.result
        if result == ANYTHING or not (result or outcome.errno):
            return
        if not result or is_errno(result):
            agrees = str(outcome) == result
        elif is_number(result):
            agrees = outcome.value == int(result)
        else:
            nr = self.cast.number(result, task_active_pid_ns(current))
            agrees = outcome.value == nr != 0
            result = f"{result} ({nr or 'without a number'} there)"
        if not agrees:
            expected = f", expected {result}" if result else ""
            raise BadStep(f"{step.call} gave {outcome}{expected}")


def _returned(current: TaskStruct, value: int | None) -> int | None:
    """What a call returned; what a vfork will return, once its child lets the caller go on."""
    if value is None and current.vfork_child is not None:
        return pid_vnr(current.vfork_child.thread_pid, current)
    return value
