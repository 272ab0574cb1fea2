"""The simulated world: a session over it proves itself, its files tear, and faults are caught."""

from __future__ import annotations

from typing import Callable
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope.events import Event, Lost, PidAttached, PidDetached
from pidscope.model.kernel import Kernel
from pidscope.session.session import Session
from pidscope.simulated import world as world_module
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.ring import HEADER, SimulatedRing
from pidscope.simulated.world import SimulatedWorld
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Tally, Verdict
from pidscope.wire.hooks import FUNCTION_HOOKS
from tests.unit.played import scenario_world


def random_world(seed: int, ring_bytes: int = 8 << 20) -> SimulatedWorld:
    kernel = Kernel()
    return SimulatedWorld(kernel, random_play(kernel, seed).step, seed, ring_bytes)


def run_out(world: SimulatedWorld) -> None:
    """Play what is left."""
    while world.step():
        pass


def begun(world: SimulatedWorld) -> Session:
    """A session over it that has started."""
    session = Session(world)
    session.begin()
    return session


def is_proved(session: Session, tally: Tally) -> bool:
    accounts, at_rest = session.hooks()
    return tally.good and not session.broken and at_rest and hooks_agree(accounts)


def verify(world: SimulatedWorld, before: int = 600, steps: int = 400) -> tuple[Session, Tally]:
    """Some steps, an exact start, then readings among steps, then one at rest."""
    for _ in range(before):
        world.step()
    world.busy = True
    session, tally = begun(world), Tally()
    left = iter(range(steps))
    play, world._play = world._play, lambda: next(left, None) is not None and play()
    while not world.ended:
        session.check_all(tally)
    world.busy = False
    session.check_all(tally)
    return session, tally


@settings(max_examples=30)
@given(st.integers(0, 1 << 40))
def test_any_workload_is_proved_right(seed: int) -> None:
    session, tally = verify(random_world(seed))
    assert tally.bugs == [] and session.broken == [] and is_proved(session, tally)
    assert session.stream.lost == 0 and session.starts == 1


@settings(max_examples=20)
@given(st.integers(0, 1 << 40))
def test_it_is_proved_as_well_without_the_single_steps(seed: int) -> None:
    world = random_world(seed)
    world.steps = False
    session, tally = verify(world)
    assert tally.bugs == [] and session.broken == [] and is_proved(session, tally)
    stream = session.stream
    assert stream.accounted["attach_pid"] and not stream.accounted["free_pid"]
    assert stream.accounted["alloc_pid"] <= stream.accounted["copy_process"]


def test_the_readings_are_torn() -> None:
    """Else the proof would be of something easier than a kernel."""
    counts = Tally().counts
    for seed in range(12):
        counts.update(verify(random_world(seed))[1].counts)
    assert counts[Verdict.MOVED] > 3 and counts[Verdict.GONE] and counts[Verdict.HELD]


def test_the_same_seed_gives_the_same_run() -> None:

    def run() -> tuple[object, ...]:
        world = random_world(7)
        world.busy = True
        session, tally = begun(world), Tally()
        for _ in range(5):
            session.check_all(tally)
        return tally.counts, session.stream.events, world.now_ns(), world.hits()

    assert run() == run()


def test_the_hooks_are_those_of_a_host() -> None:
    world = scenario_world("init: fork\n")
    assert all(world.sees(hook.name) for hook in FUNCTION_HOOKS) and not world.sees("bogus")
    world.steps = False
    unseen = {hook.name for hook in FUNCTION_HOOKS if not world.sees(hook.name)}
    assert unseen == {"transfer_pid", "free_pid", "task_rename"}


def test_hooks_run_as_often_as_a_kernels() -> None:
    """A process is attached four times, a thread once, an exec by a thread transfers three."""
    world = scenario_world(
        "init: fork -> leader\nleader: clone THREAD -> thread\nthread: exec sh\n"
        "init: clone NEWPID -> inner\ninner: setsid\ninner: exit\ninit: wait inner\n"
    )
    run_out(world)
    assert {name: count for name, count in world.hits().items() if count} == {
        "attach_pid": 4 + 1 + 4,
        "change_pid": 2,
        "detach_pid": 1 + 4,  # the old leader, released under the thread's number, and inner
        "exchange_tids": 1,
        "transfer_pid": 3,
        "alloc_pid": 3,
        "free_pid": 2,
        "copy_process": 3,
        "copy_pid_ns": 1,
        "zap_pid_ns_processes": 1,
        "sched_process_exec": 1,
        "task_rename": 1,
        "sched_process_exit": 2,
    }


@pytest.mark.parametrize(("step_rate", "read_rate"), [(1.0 / 4, 0.0), (1.0 / 64, 0.9)])
def test_a_step_comes_between_two_numbers_and_a_number_between_two_writes(
    monkeypatch: pytest.MonkeyPatch, step_rate: float, read_rate: float
) -> None:
    """Both ways of tearing, each alone."""
    monkeypatch.setattr(world_module, "_STEP_RATE", step_rate)
    monkeypatch.setattr(world_module, "_READ_RATE", read_rate)
    moves = "a: setpgid 0 0\ninit: setpgid a 1\n" * 2000
    world = scenario_world("init: setsid\ninit: fork -> a\n" + moves)
    world.step()
    world.step()
    session = begun(world)
    world.busy = True
    verdicts = {session.check(3).verdict for _ in range(100)}
    assert verdicts == {Verdict.AGREE, Verdict.MOVED}


def test_a_full_ring_loses_and_the_session_repairs() -> None:
    world = random_world(3, ring_bytes=1 << 12)
    told: list[Event] = []
    session = Session(world, lambda event, session: told.append(event))
    session.begin()
    for _ in range(300):
        world.step()
    session.pump()
    assert world.lost == session.stream.lost > 0 and session.suspect
    assert any(isinstance(event, Lost) for event in told)
    tally = Tally()
    session.check_all(tally)
    session.check_all(tally)
    assert tally.good and session.starts == 2


def test_positions_are_bytes_and_a_drain_ends_where_it_is_told() -> None:
    ring = SimulatedRing(64)
    assert ring.write(b"12345") and ring.position == HEADER + 8
    assert ring.write(bytes(24)) and ring.position == 16 + 32
    assert not ring.write(bytes(16)) and ring.position == 48
    assert list(ring.drain(16)) == [b"12345"]
    assert ring.write(bytes(16))
    assert [len(record) for record in ring.drain(ring.position)] == [24, 16]


def test_a_stretch_is_laid_out_as_in_a_kernels_ring() -> None:
    ring = SimulatedRing(64)
    ring.write(b"12345")
    ring.write(b"x" * 16)
    first, second = b"\5" + bytes(7) + b"12345" + bytes(3), b"\20" + bytes(7) + b"x" * 16
    assert ring.stretch(16) == first and ring.stretch(ring.position) == first + second
    ring.advance(16)
    assert (ring.consumed, ring.stretch(ring.position)) == (16, second)
    assert list(ring.drain(ring.position)) == [b"x" * 16]


# Planted faults


def is_change(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is None


def is_birth(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is not None


def is_release(event: Event) -> bool:
    return isinstance(event, PidDetached)


def skip(world: SimulatedWorld, which: Callable[[Event], bool], times: int) -> None:
    """The hook does not run: neither a hit nor a record."""
    left = iter(range(times))
    hooked = world._hooked

    def some(event: Event) -> None:
        if not (which(event) and next(left, None) is not None):
            hooked(event)

    world.kernel.listener = some


SMALL = "init: setsid\n" + "init: fork -> a\na: fork -> b\nb: setsid\nb: exit\na: wait\n" * 8


EACH_HOOK = pytest.mark.parametrize("which", [is_change, is_birth, is_release])


@pytest.mark.parametrize("planted", [0, 1])
@EACH_HOOK
def test_a_hook_that_does_not_run_is_caught(which: Callable[[Event], bool], planted: int) -> None:
    world = scenario_world(SMALL)
    session, tally = begun(world), Tally()
    skip(world, which, planted)
    while world.step():
        session.check_all(tally)
    assert is_proved(session, tally) is not bool(planted)
    assert bool(tally.bugs or session.broken) is bool(planted)


@EACH_HOOK
def test_a_record_that_vanishes_silently_is_caught(which: Callable[[Event], bool]) -> None:
    """Even where /proc cannot tell any more: the hook's runs do."""
    world = scenario_world(SMALL)
    session = begun(world)
    vanish = Mock(return_value=True)  # as if it had been written
    write, hooked = world.ring.write, world._hooked

    def some(event: Event) -> None:
        vanishes = which(event) and not vanish.called
        world.ring.write = vanish if vanishes else write  # type: ignore[method-assign]
        hooked(event)

    world.kernel.listener = some
    run_out(world)
    session.check_all(Tally())
    assert vanish.called and session.stream.lost == 0
    accounts, at_rest = session.hooks()
    assert at_rest and not hooks_agree(accounts)


def test_a_proc_of_yesterday_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    world = scenario_world("init: fork -> a\ninit: setsid\na: setsid\n")
    world.step()
    session, stale = begun(world), world.procfs.read_status(3)
    run_out(world)
    assert session.check(3).verdict is Verdict.AGREE
    monkeypatch.setattr(world.procfs, "read_status", lambda number: stale)
    assert session.check(3).verdict is Verdict.WRONG


def test_a_file_opened_in_an_exchange_is_left_unjudged() -> None:
    """It is the other's, and says so in its Pid line, or is gone with the other."""
    world = scenario_world("init: fork -> a\na: clone THREAD -> thread\nthread: exec sh\n")
    world.step()
    session = begun(world)
    world.step()
    session.pump()
    finish = world.procfs._finish

    def found_before(reading):  # type: ignore[no-untyped-def]
        next(reading)  # the leader is found
        world.step()
        return finish(reading)

    world.procfs._finish = found_before
    judgement = session.check(3)
    assert not world.step() and judgement.verdict is Verdict.UNJUDGED
    assert judgement.reason == "the other's of an exchange"
