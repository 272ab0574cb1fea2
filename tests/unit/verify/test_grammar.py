"""The second judge: it finds nothing in a whole stream, and the hook that fell silent in others."""

from __future__ import annotations

import errno
from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies

from pidscope import events
from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.syscalls import call
from pidscope.simulated.hooks import runs
from pidscope.simulated.random_workload import random_play
from pidscope.verify.grammar import Grammar
from pidscope.wire.hooks import FUNCTION_HOOKS, hooks_of
from pidscope.wire.hooks import STEPS as ON_DEMAND
from tests.unit.acting import boot, container, fork, heard, refused
from tests.unit.stepped_kernel import ROOT

STEPS = 700
SEEDS, BEGINS = strategies.integers(0, 1 << 40), strategies.integers(0, 2_000)
HOOKS = tuple(hook.name for hook in FUNCTION_HOOKS)
WITHOUT_STEPS = {hook.name for hook in hooks_of("fentry", steps=False)}
# Which judge notices that a hook has fallen silent; each line is tested below or where it says.
GRAMMAR = {
    "attach_pid",
    "detach_pid",
    "exchange_tids",
    "transfer_pid",
    "alloc_pid",
    "free_pid",
    "copy_process",
    "copy_pid_ns",
    "zap_pid_ns_processes",
    "task_rename",
    "sched_process_exit",
}
PROC_ALONE = {"change_pid"}  # test_planted_faults.py, test_simulated_world.py
NOBODY = {"sched_process_exec", "cgroup_attach_task"}


def stream(seed: int, features: Features = TODAY) -> list[events.Event]:
    """What a random workload makes a kernel tell."""
    told: list[events.Event] = []
    play = random_play(Kernel(features, told.append), seed)
    for _ in range(STEPS):
        play.step()
    return told


def faults(
    stream: Iterable[events.Event], without: str = "", grammar: Grammar | None = None
) -> list[str]:
    """What a judge finds in a stream without the records of a hook."""
    judge = grammar or Grammar()
    found = [judge.add(event) for event in stream if runs(event)[0] != without]
    return [str(fault) for fault in found if fault is not None]


@settings(max_examples=40, deadline=None)
@given(
    strategies.integers(0, 1 << 40),
    strategies.integers(0, 2_000),
    strategies.sampled_from([TODAY, LINUX_4_4]),
)
def test_a_whole_stream_has_no_faults_wherever_one_begins_to_read(
    seed: int, begin: int, features: Features
) -> None:
    assert faults(stream(seed, features)[begin:]) == []


@pytest.mark.parametrize("hook", HOOKS)
def test_which_hook_has_fallen_silent(hook: str) -> None:
    found = [fault for seed in range(4) for fault in faults(stream(seed)[100:], hook)]
    assert bool(found) is (hook in GRAMMAR)
    if hook == "exchange_tids":  # its first trace is a release without the exit that it moved
        assert any("exchange_tids did not tell" in fault for fault in found)
    elif found:
        assert found[0].endswith(f": {hook} did not tell")


def test_every_hook_has_its_judge() -> None:
    assert set(HOOKS) == GRAMMAR | PROC_ALONE | NOBODY


@pytest.mark.parametrize("hook", sorted(GRAMMAR))
def test_one_record_that_is_missing_is_found(hook: str) -> None:
    """Not only a hook that never runs: one run that told nothing, if its like comes again."""
    told = stream(1)
    places = [n for n, event in enumerate(told) if runs(event)[0] == hook and n > 300]
    found = [n for n in places[:40] if faults(told[:n] + told[n + 1 :])]
    assert found


def test_hooks_that_are_not_there_are_not_missed() -> None:
    for hook in sorted(GRAMMAR):
        grammar = Grammar(lambda name, hook=hook: name != hook)  # type: ignore[misc]
        found = faults([*stream(0), *stream(1)], hook, grammar)
        assert not [fault for fault in found if f": {hook} did not tell" in fault]


def without_steps(stream: list[events.Event], hook: str = "") -> list[str]:
    """The faults of a stream without the single steps, and without a hook."""
    told = (event for event in stream if not isinstance(event, ON_DEMAND))
    return faults(told, hook, Grammar(WITHOUT_STEPS.__contains__, steps=False))


@settings(max_examples=40, deadline=None)
@given(SEEDS, BEGINS)
def test_steps_that_are_not_told_are_not_missed(seed: int, begin: int) -> None:
    assert without_steps(stream(seed)[begin:]) == []


@pytest.mark.parametrize(
    "hook", ["exchange_tids", "zap_pid_ns_processes", "sched_process_exit", "copy_process"]
)
def test_what_else_is_silent_is_found_without_the_steps(hook: str) -> None:
    found = [fault for seed in range(8) for fault in without_steps(stream(seed)[100:], hook)]
    assert any(fault.endswith(f": {hook} did not tell") for fault in found)


def test_a_fork_that_was_refused_a_number_fails_with_the_same_error() -> None:
    refused = events.PidRefused(1, 5, errno.EAGAIN)
    failed = events.ForkFailed(2, 5, errno.EAGAIN, 0, 1, ROOT)
    born = events.PidAllocated(3, 5, events.PidNumbers((9,), ROOT))
    assert faults([refused, failed, refused, failed, born]) == []
    again = ["5 forks, and was refused a number: copy_process did not tell"]
    assert faults([refused, refused, failed]) == again
    assert faults([refused, born]) == again
    assert faults([refused, failed._replace(errno=errno.EFAULT)]) == [
        "5 was refused a number with EAGAIN: copy_process did not tell"
    ]
    assert faults([refused, failed, failed._replace(errno=errno.EFAULT)]) == []


def test_what_began_before_is_nobodys_fault() -> None:
    shell = boot()
    told = heard(shell)
    call(fork(shell, CLONE_THREAD), "execve", b"new")
    for begin in range(len(told)):
        assert faults(told[begin:]) == []


def test_a_cpu_that_comes_up_forks_an_idle_task() -> None:
    assert faults([events.TaskCreated(1, 9, 0, 0, 1, 0)]) == []


def test_messages_name_the_number_and_the_hook() -> None:
    shell = boot()
    told = heard(shell)
    call(container(shell), "exit")
    call(shell, "wait4", -1)
    assert refused(shell, "clone", 0, (), True) == errno.EFAULT
    births = [e for e in told if not (isinstance(e, events.PidAttached) and e.birth)]
    assert faults(births) == ["copy_process() returned 4: attach_pid did not tell"]
    released = [e for e in told if not isinstance(e, events.PidDetached)]
    assert faults(released) == ["4 is free again: detach_pid did not tell"]
    freed = [e for e in told if not (isinstance(e, events.PidFreed) and e.pid.nr == 5)]
    assert isinstance(told[-1], events.ForkFailed)
    assert faults(freed) == ["the fork of 5 failed: free_pid did not tell"]
    assert not any(isinstance(e, events.TaskExecuted) for e in told)
