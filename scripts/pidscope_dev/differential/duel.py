"""The duel: every call on the model and on the real kernel, and everything compared after each."""

from __future__ import annotations

import errno
import time
from typing import NamedTuple

from pidscope.model.features import Features
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_vpid
from pidscope.model.sched import PF_EXITING, TaskStruct
from pidscope.simulated.play import Outcome, Play
from pidscope.simulated.scenario import parse_step
from pidscope.simulated.steps import ANYTHING, Step
from pidscope_dev.differential.puppets import Command, NoAnswer, Reply, World
from pidscope_dev.differential.state import NotAtRest, State, expected_state, read_state
from pidscope_dev.differential.translate import concerns_host, translate

FIRST = parse_step("init: clone NEWPID -> one")
"""What makes the world: `one` is the first puppet; no process outside acts after that."""
_MAKES = ("FORK", "VFORK", "CLONE", "CLONE3")


class Difference(Exception):
    """The model and the kernel do not agree."""


class Played(NamedTuple):
    """One call that both have made and agree about."""

    call: str
    error: str


class Duel:
    """One world and its model.

    Args:
        world: a fresh one.
        features: of this kernel.
        spares_host: leave out what others than the world would feel, or what may never end.
        states: after each call compare the states of all tasks, too, which takes most of the time.
    """

    def __init__(
        self, world: World, features: Features, spares_host: bool = True, states: bool = True
    ) -> None:
        self.world = world
        self._spares_host = spares_host
        self._states = states
        self.kernel = Kernel(features)
        self.play = Play(self.kernel)
        self.play.perform(FIRST)
        self._channels: dict[TaskStruct, int] = {self.play.names["one"]: world.first}
        self._vforks: dict[TaskStruct, int] = {}  # waiting tasks, and what they will get

    def step(self, step: Step) -> Played | None:
        """Make a step on both sides; None if it is not for puppets.

        Raises:
            ScenarioError: the step means nothing now; nothing was done.
            Difference: what came out is not the same.
        """
        command = translate(self.play, step)
        if command is None or (self._spares_host and concerns_host(self.play, step)):
            return None
        current = self.play.names[step.actor]
        channel = self._channels[current]
        child = self.world.take_channel() if command.call in _MAKES else -1
        try:
            outcome = self.play.perform(step._replace(result=ANYTHING))
        except (AssertionError, LookupError, AttributeError, ValueError) as bug:
            raise Difference(f"the model failed: {bug!r}") from bug
        self.world.send(channel, command, child)
        if child >= 0:
            self._know_child(current, outcome, child)
        self._compare_replies(self._expected_replies(current, command, outcome, channel))
        if self._states:
            self._compare_states()
        self._bury()
        return Played(command.call, errno.errorcode[outcome.errno] if outcome.errno else "")

    def _know_child(self, current: TaskStruct, outcome: Outcome, channel: int) -> None:
        """Note which task listens to the channel, if one was born."""
        if outcome.errno:
            self.world.give_back(channel)
            return
        assert outcome.value
        child = find_task_by_vpid(outcome.value, current)
        assert child is not None
        self._channels[child] = channel

    def _expected_replies(
        self, current: TaskStruct, command: Command, outcome: Outcome, channel: int
    ) -> dict[int, Reply]:
        """The caller's reply if it returns, and those of tasks whose vfork child has let go."""
        replies = {}
        if current.vfork_child is not None:
            assert outcome.value is not None
            self._vforks[current] = outcome.value
        elif outcome.errno:
            replies[channel] = Reply(-outcome.errno, 0)
        elif outcome.value is not None:
            waited = command.call == "WAIT4" and outcome.value > 0
            replies[channel] = Reply(outcome.value, current.stat_addr if waited else 0)
        for parent in [task for task in self._vforks if task.vfork_child is None]:
            value = self._vforks.pop(parent)
            if not parent.flags & PF_EXITING:
                replies[self._channels[parent]] = Reply(value, 0)
        return replies

    def _compare_replies(self, expected: dict[int, Reply]) -> None:
        try:
            heard = self.world.hear(list(expected))
        except NoAnswer as problem:
            raise Difference(f"kernel: {problem}; model: {self._named(expected)}") from problem
        if heard != expected:
            raise Difference(f"kernel: {self._named(heard)}; model: {self._named(expected)}")

    def _compare_states(self) -> None:
        """Wait until all tasks rest and are what the model has; some may still be dying."""
        expected = expected_state(self.kernel)
        deadline = time.monotonic() + self.world.patience
        while True:
            try:
                found: State | None = read_state(self.world.proc)
                problem = ""
            except NotAtRest as why:
                found, problem = None, str(why)
            if found == expected:
                return
            if time.monotonic() > deadline:
                raise Difference(problem if found is None else state_difference(found, expected))

    def _bury(self) -> None:
        """The channels of the dead can be used again."""
        for task in [task for task in self._channels if task.flags & PF_EXITING]:
            self.world.give_back(self._channels.pop(task))
            self._vforks.pop(task, None)

    def _named(self, replies: dict[int, Reply]) -> str:
        names = {task: name for name, task in self.play.names.items()}
        callers = {channel: names.get(task, "?") for task, channel in self._channels.items()}
        heard = [f"{callers.get(channel, '?')} got {reply}" for channel, reply in replies.items()]
        return ", ".join(heard) or "no task got anything"


def state_difference(found: State, expected: State) -> str:
    """The tasks that differ, as both sides have them."""
    lines = ["the states differ:"]
    for tid in sorted({*found, *expected}):
        sides = found.get(tid), expected.get(tid)
        if sides[0] != sides[1]:
            lines += [f"  kernel: {sides[0] or 'no task'}", f"  model:  {sides[1] or 'no task'}"]
    return "\n".join(lines)
