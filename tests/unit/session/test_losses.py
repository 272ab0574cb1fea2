"""Losses: the repair is told, the accounts close, and what may come without end is bounded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies

from pidscope.events import Lost, PidDetached, Repaired, TaskExited
from pidscope.verify.grammar import KEPT
from pidscope.verify.hook_counts import hooks_agree
from tests.unit.watched import Watch, is_birth


def repairs(w: Watch) -> list[Repaired]:
    return [event for event in w.told if isinstance(event, Repaired)]


def test_a_repair_is_told_after_what_it_was_read_with(w: Watch) -> None:
    assert not repairs(w)  # the first start repairs nothing
    task = w.fork()
    w.lose(w.kernel.setsid(task))
    w.hear().clear()
    w.fork(task)
    assert w.session.repair()
    (repaired,) = repairs(w)
    assert w.told[-1] is repaired and any(map(is_birth, w.told))
    assert (repaired.lost, repaired.tasks) == (2, len(list(w.kernel.tasks())))
    assert 0 < repaired.suspect_ns < repaired.ts_ns
    w.session.pump()
    assert w.session.starts == 2 and len(repairs(w)) == 1


def test_a_repair_tells_of_its_own_gap_alone(w: Watch) -> None:
    for lost in (3, 5):
        w.world.lost += lost
        w.session.pump()
        w.session.begin()
        assert repairs(w)[-1].lost == lost
    w.world.left_out["change_pid"] = 1
    w.check_all()
    assert w.check_all().complete
    assert [repair.lost for repair in repairs(w)] == [3, 5, 0]


def test_while_records_are_being_lost_nothing_is_judged_and_nothing_given_up(w: Watch) -> None:
    w.fork()
    w.world.lose_one_a_look()
    for _ in range(200):
        tally = w.check_all()
        assert not tally.complete and tally.compared == 0
    assert w.session.suspect and w.session.starts == 1 and not repairs(w)
    w.quiet()
    w.check_all()  # the last loss may be seen only now
    assert w.check_all().good
    assert w.session.starts == 2 and len(repairs(w)) == 1


@given(strategies.integers(0, 1 << 40))
def test_with_losses_the_hooks_runs_are_what_was_read_and_what_was_lost(seed: int) -> None:
    w = Watch(seed, acts=50)
    w.world.lose = lambda event: rng.random() < 0.3
    rng = random.Random(seed)
    w.world.others_act(w.rng, 60)
    w.check_all()
    w.quiet()
    short = sum(w.uneven().values())
    hooks, lost = w.session.hooks()[0], w.session.stream.lost
    assert lost == w.world.lost
    assert hooks_agree(hooks, lost)
    assert not hooks_agree(hooks, short + 7)  # more lost than there were runs, and in flight
    if short:
        assert not hooks_agree(hooks, (short - 1) // 4)  # fewer than a record for four runs


@pytest.mark.parametrize(
    ("hook", "hits", "accounted", "lost", "agree"),
    [
        ("change_pid", 9, 9, 0, True),
        ("change_pid", 9, 8, 0, False),  # vanished
        ("change_pid", 9, 8, 1, True),
        ("change_pid", 9, 9, 1, False),  # lost, but of no run
        ("change_pid", 8, 9, 0, False),  # told of without a run
        ("attach_pid", 9, 12, 0, True),  # the hook came on in the middle of a fork
        ("attach_pid", 8, 12, 0, False),
        ("attach_pid", 12, 8, 0, False),
        ("attach_pid", 12, 8, 1, True),  # a process
        ("attach_pid", 12, 8, 4, True),  # four threads
        ("attach_pid", 13, 8, 1, False),
        ("attach_pid", 12, 8, 8, False),
    ],
)
def test_one_hooks_account(hook: str, hits: int, accounted: int, lost: int, agree: bool) -> None:
    assert hooks_agree({hook: {"hits": hits, "accounted": accounted}}, lost) is agree


def test_what_could_not_follow_is_counted_and_the_latest_kept(w: Watch) -> None:
    w.unhook(PidDetached)
    for _ in range(3 * KEPT):
        w.end(w.fork())
        w.session.pump()
        if w.session.suspect:
            w.session.begin()
    assert len(w.session.broken) == KEPT < w.session.breaks
    assert not w.check_all().complete


def test_faults_without_end_are_counted_and_the_latest_kept(w: Watch) -> None:
    w.unhook(TaskExited)
    for _ in range(2 * KEPT):
        w.end(w.fork())
    w.session.pump()
    assert w.session.faults.count({}) == 2 * KEPT
    assert len(w.session.ungrammatical) == KEPT
    w.world.left_out["sched_process_exit"] = 2 * KEPT - 3
    assert not w.check_all().complete and len(w.session.ungrammatical) == 3
    w.world.left_out["sched_process_exit"] = 2 * KEPT
    assert w.check_all().complete and w.session.ungrammatical == []


def test_a_loss_has_the_time_of_the_first_record_after_it(w: Watch) -> None:
    """Issue 15: LOST carried the time at which it was noticed, later than what came below it."""
    stream = w.session.stream
    before = stream.position
    w.world.lost += 1
    w.fork(w.kernel.init)
    (lost,) = stream.read(before)
    first = next(iter(stream.records(stream.position)))
    assert isinstance(lost, Lost) and lost.ts_ns == first.ts_ns


def test_a_loss_before_any_record_has_the_present_time(w: Watch) -> None:
    w.world.lost += 1
    (lost,) = w.session.stream.unrecorded()
    assert isinstance(lost, Lost) and lost.ts_ns <= w.world.now_ns()
