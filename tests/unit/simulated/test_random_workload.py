"""Random workloads: the same for the same seed, bounded, and all over the language."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pidscope.events import PidType
from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.kernel import Kernel
from pidscope.model.pid import pid_nr_ns, task_active_pid_ns
from pidscope.simulated.calls import CALLS, tasks_named
from pidscope.simulated.play import Outcome, Play
from pidscope.simulated.random_workload import STEPS, random_play, random_steps
from pidscope.simulated.scenario import parse_step
from pidscope.simulated.steps import Step

LENGTH = 1_500
SEEDS = range(8)


def run(
    seed: int, length: int = LENGTH, features: Features = TODAY
) -> Iterator[tuple[Play, Step, Outcome]]:
    """Each step of a workload, just made."""
    play = Play(Kernel(features))
    for n, step in enumerate(random_steps(play, random.Random(seed))):
        if n == length:
            return
        yield play, step, play.perform(step)


def test_the_same_seed_gives_the_same_steps() -> None:
    one, same, other = ([str(step) for _, step, _ in run(seed, 500)] for seed in (1, 1, 2))
    assert one == same != other
    assert one[0] == other[0] == "init: clone NEWPID -> one"


def test_steps_are_of_the_language() -> None:
    for _, step, _ in run(3):
        assert parse_step(str(step), step.line) == step


@pytest.mark.parametrize("seed", SEEDS)
def test_bounded_and_away_from_the_host(seed: int) -> None:
    host: list[object] = []
    for play, step, _ in run(seed):
        tasks = list(play.kernel.tasks())
        assert len(tasks) <= 2 + 24
        host = host or [tasks[0].signal.pids[:], tasks[1].signal.pids[:]]
        assert [tasks[0].signal.pids, tasks[1].signal.pids] == host
        assert not tasks[0].exit_state and not tasks[1].exit_state
        if step.line > 1:
            named = {step.actor, *tasks_named(step.call, step.args)}
            assert not named & {"init", "kthreadd"}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_signal_leaves_the_world(seed: int) -> None:
    play = Play(Kernel())
    steps = random_steps(play, random.Random(seed))
    play.perform(next(steps))
    world = task_active_pid_ns(play.names["one"])
    for _, step in zip(range(LENGTH), steps):
        if step.call == "kill" and play.resolve(step).args[0] == 0:
            group = play.names[step.actor].signal.pids[PidType.PGID]
            assert pid_nr_ns(group, world), "its group has members outside"
        play.perform(step)


def test_every_call_and_every_refusal_comes() -> None:
    calls: Counter[str] = Counter()
    refusals: Counter[tuple[str, str]] = Counter()
    deepest = 0
    for seed in SEEDS:
        for play, step, outcome in run(seed):
            calls[step.call] += 1
            if outcome.errno:
                refusals[step.call, errno.errorcode[outcome.errno]] += 1
            elif step.name:
                pid = play.names[step.name].thread_pid
                deepest = max(deepest, pid.level if pid is not None else 0)
    assert set(calls) == set(CALLS) - {"join"}
    assert set(refusals) >= {
        *(("clone", name) for name in ("EAGAIN", "EEXIST", "EFAULT", "EINVAL", "ENOMEM")),
        *(("setpgid", name) for name in ("EACCES", "EINVAL", "EPERM", "ESRCH")),
        *(("kill", name) for name in ("EINVAL", "ESRCH")),
        ("fork", "EAGAIN"),
        ("fork", "ENOMEM"),
        ("getpgid", "ESRCH"),
        ("getsid", "ESRCH"),
        ("setns", "EINVAL"),
        ("setsid", "EPERM"),
        ("sysctl", "EINVAL"),
        ("unshare", "EINVAL"),
        ("wait", "ECHILD"),
    }
    assert deepest >= 5


@pytest.mark.parametrize(
    "features",
    [
        LINUX_4_4,
        replace(TODAY, pid_max_per_ns=False),
        replace(TODAY, first_fork_may_fail=False, entered_before_init=False),
    ],
)
def test_other_kernels(features: Features) -> None:
    for seed in SEEDS:
        for _, step, _ in run(seed, 600, features):
            if not features.pid_max_per_ns:
                assert step.args[:1] != ("pid_max",) or len(step.args) == 1, "that is the host's"


@pytest.mark.parametrize("reaped", [False, True])
def test_it_ends_with_its_world(reaped: bool) -> None:
    play = Play(Kernel())
    steps = random_steps(play, random.Random(0))
    play.perform(next(steps))
    play.perform(parse_step("init: kill one KILL"))
    if reaped:
        play.perform(parse_step("init: wait = one"))
    assert next(steps, None) is None


def test_the_scenario_goes_on_in_another_world() -> None:
    play = random_play(Kernel(), seed=3)
    worlds = 0
    for line in range(1, STEPS + 1):
        one = play.names.get("one")
        if line % 100 == 0 and one is not None and not one.blocked:
            play.perform(parse_step("one: exit_group = ?"))
        assert play.step()
        worlds += play.names.get("one") is not one
    assert not play.step()
    assert worlds > 2
