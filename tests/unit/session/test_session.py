"""The session over a kernel that the test moves: position, fence and reading; losses; repairs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope import events
from pidscope.errors import HostError
from pidscope.live.session import LiveWorld
from pidscope.snapshot import Mount
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Verdict
from tests.unit.machine import nr
from tests.unit.stepped_kernel import SteppedKernel, never
from tests.unit.watched import Watch


@pytest.fixture
def w() -> Watch:
    return Watch()


SEEDS = given(st.integers(0, 1 << 40))


@settings(max_examples=150)
@SEEDS
def test_a_start_under_activity_is_exact(seed: int) -> None:
    w = Watch(seed, acts=50)
    w.world.others_act(w.rng, 60)
    w.session.begin()
    assert not w.session.broken
    w.expect_exact()


@settings(max_examples=150)
@given(st.integers(0, 1 << 40), st.sets(st.integers(1, 12), max_size=3))
def test_a_start_by_the_iterator_is_exact_whoever_it_hides(seed: int, hidden: set[int]) -> None:
    w = Watch(seed, acts=50)
    w.world.iterates, w.world.hidden = True, hidden
    w.world.others_act(w.rng, 60)
    w.session.begin()
    assert not w.session.broken
    w.expect_exact()


@settings(max_examples=60)
@SEEDS
def test_snapshots_under_activity_have_no_bug(seed: int) -> None:
    w = Watch(seed, acts=50)
    w.session.begin()
    for _ in range(2):
        w.world.others_act(w.rng, 80)
        assert w.check_all().bugs == []
    w.quiet()
    tally = w.check_all()
    assert tally.good
    assert tally.compared == len(list(w.kernel.tasks()))
    assert w.session.broken == [] and w.session.starts == 1
    w.expect_exact()


@settings(max_examples=60)
@SEEDS
def test_losses_under_activity_end_exact_or_unjudged(seed: int) -> None:
    w = Watch(seed, acts=50)
    w.world.iterates = bool(seed % 2)
    w.session.begin()
    rng = random.Random(seed)
    w.world.lose = lambda event: rng.random() < 0.05
    w.world.others_act(w.rng, 80)
    assert w.check_all().bugs == []
    w.world.lose = never
    w.quiet()
    w.check_all()  # a loss seen only now makes it suspect
    tally = w.check_all()
    assert tally.complete
    assert not tally.bugs
    assert w.session.stream.lost == w.world.lost
    w.expect_exact()


def test_a_loss_is_told_then_repaired(w: Watch) -> None:
    w.session.begin()
    task = w.fork(w.kernel.init)
    w.session.pump()
    w.told.clear()
    w.world.lose = lambda event: True
    w.run(w.kernel.setsid(task))
    w.world.lose = never
    w.fork(task)
    w.session.pump()
    assert isinstance(w.told[0], events.Lost) and w.told[0].total == 2
    assert w.session.suspect
    assert w.session.check(nr(task)).verdict is Verdict.UNJUDGED
    w.session.begin()
    assert (w.session.starts, w.session.stream.lost, w.session.broken) == (2, 2, [])
    assert w.session.check(nr(task)).verdict is Verdict.AGREE
    w.expect_exact()


def test_the_last_record_may_be_the_lost_one(w: Watch) -> None:
    """No later record tells of it: the map does."""
    w.session.begin()
    w.world.lose = lambda event: True
    w.run(w.kernel.setsid(w.kernel.init))
    w.session.pump()
    assert w.session.suspect and w.session.stream.lost == 2
    assert isinstance(w.told[-1], events.Lost)


def test_a_loss_during_the_start_starts_again(w: Watch) -> None:
    task = w.fork(w.kernel.init)
    position = iter(range(1000))

    def lose_once() -> None:
        if next(position) == 5:
            w.world.lose = lambda event: True
            w.run(w.kernel.setsid(task))
            w.world.lose = never

    w.world.between = lose_once
    w.session.begin()
    assert w.session.stream.lost == 2 and w.session.starts == 1
    assert w.procfs.read_numbers.count(1) == 2
    w.expect_exact()


def test_an_older_count_in_a_record_is_not_another_loss(w: Watch) -> None:
    """The map was read when more had been lost than the next record in the ring tells."""
    w.session.begin()
    w.world.lost = 3
    w.fork(w.kernel.init)
    w.world.lost = 5
    w.session.pump(0)
    assert w.session.stream.lost == 5
    w.session.begin()
    w.told.clear()
    w.world.lost = 3  # when the next is written
    w.fork(w.kernel.init)
    w.world.lost = 5
    w.session.pump()
    assert w.told and not any(isinstance(event, events.Lost) for event in w.told)
    assert w.session.stream.lost == 5 and not w.session.suspect


def test_the_count_in_a_record_wraps(w: Watch) -> None:
    w.world.lost = (1 << 32) - 1
    w.session.begin()
    assert w.session.stream.lost == (1 << 32) - 1
    w.world.lost += 2
    w.fork(w.kernel.init)
    w.session.pump()
    (lost,) = [
        event for event in w.told if isinstance(event, events.Lost) and event.total > 1 << 32
    ]
    assert lost.total == w.session.stream.lost == (1 << 32) + 1
    told = w.told[w.told.index(lost) + 1 :]
    assert any(_is_birth(event) for event in told)  # in its place, before what came later


def test_an_event_that_cannot_follow_is_reported(w: Watch) -> None:
    w.session.begin()
    task = w.fork(w.kernel.init)
    w.world.skip = lambda event: isinstance(event, events.PidDetached)
    number = nr(task)
    w.end(task)
    w.world.skip = never
    again = w.fork(w.kernel.init)
    assert nr(again) == number
    w.session.pump()
    assert w.session.suspect and "still in use" in w.session.broken[0]
    w.quiet()
    tally = w.check_all()
    assert not tally.bugs and not tally.complete  # repaired, but the proof is spoilt


def test_a_start_during_which_a_thread_ends_lists_its_process_again(w: Watch) -> None:
    leader = w.fork(w.kernel.init)
    threads = [w.fork(leader, thread=True) for _ in range(3)]
    steps = iter(range(10_000))
    seen: list[int] = []

    def between() -> None:
        if w.procfs.listed[-1:] == [nr(leader)] and next(steps) == 3:
            w.run(w.kernel.exit(threads[0]))  # while the listing stands at it
            seen.append(1)

    w.world.between = between
    w.session.begin()
    assert seen
    assert w.procfs.listed.count(nr(leader)) == 2
    assert w.procfs.read_numbers.count(nr(leader)) == 1
    w.expect_exact()


def test_a_start_during_an_exec_waits_for_it_before_reading_again(w: Watch) -> None:
    """The record was reserved, the pointers are not yet written: without a fence it is torn."""
    leader = w.fork(w.kernel.init)
    thread = w.fork(leader, thread=True)
    w.run(w.kernel.exit(leader))
    number, other = nr(leader), nr(thread)
    started = []

    def between() -> None:
        if number in w.procfs.read_numbers and not started:
            started.append(True)
            w.kernel.begin(w.kernel.execute(thread), until=events.TidsExchanged)

    w.world.between = between
    w.session.begin()
    assert started and {number, other} <= set(w.procfs.read_numbers)
    w.expect_exact()


def test_who_execs_under_the_iterator_is_read_in_proc(w: Watch) -> None:
    leader = w.fork(w.kernel.init)
    thread = w.fork(leader, thread=True)
    w.run(w.kernel.exit(leader))
    number = nr(leader)
    w.world.iterates = True
    tasks = w.world.tasks

    def torn() -> list[events.TaskSeen] | None:
        rows = tasks()
        w.kernel.begin(w.kernel.execute(thread), until=events.TidsExchanged)
        return rows

    w.world.tasks = torn  # type: ignore[method-assign]
    w.session.begin()
    assert set(w.procfs.listed) == {number} == set(w.procfs.read_numbers) - {3}
    w.expect_exact()
    assert w.session.table is not None
    assert len(w.session.table.init_struct_pid.groups) == 2  # of the two readings one is left


def test_only_who_is_hidden_is_read_in_proc(w: Watch) -> None:
    """Process 1 with its thread; of the others not even the threads are listed."""
    leader = w.fork(w.kernel.init)
    threads = [w.fork(one, thread=True) for one in (leader, w.kernel.init)]
    w.world.iterates, w.world.hidden = True, {1}
    w.session.begin()
    assert (w.procfs.listed, w.procfs.read_numbers) == ([1], [1, nr(threads[1])])
    assert w.session.table is not None
    known = {task.pid.nr: task.start_ns is not None for task in w.session.table.tasks() if task.pid}
    assert known == {1: False, 2: True, 3: True, 4: False}
    w.expect_exact()
    assert w.check_all().good


def test_a_thread_whose_leader_is_hidden_is_read_with_its_process(w: Watch) -> None:
    leader = w.fork(w.kernel.init)
    thread = w.fork(leader, thread=True)
    w.world.iterates = True
    tasks = w.world.tasks
    w.world.tasks = lambda: [row for row in tasks() or [] if row.tid != 2]  # type: ignore
    w.session.begin()
    assert w.procfs.read_numbers == [nr(leader), nr(thread)]
    w.expect_exact()


def test_an_iterator_that_fails_is_told_of_and_done_without(w: Watch) -> None:
    w.fork(w.kernel.init)
    w.world.fails = True
    w.session.begin()
    assert "no iterator today" in w.session.iterator_refused
    assert set(w.procfs.read_numbers) == {1, 2}
    w.expect_exact()
    w.world.fails, w.world.iterates = False, True
    w.session.begin()
    assert w.session.iterator_refused and len(w.procfs.read_numbers) == 2
    w.expect_exact()


def test_a_repair_by_the_iterator_knows_who_was_there(w: Watch) -> None:
    w.world.iterates = True
    w.session.begin()
    task, other = w.fork(w.kernel.init), w.fork(w.kernel.init)
    w.session.pump()
    assert w.session.table is not None
    before = {pid.nr: pid.generation for pid in w.session.table.root.pids.values()}
    w.world.lose = lambda event: True
    number = nr(other)
    w.end(other)
    assert nr(w.fork(w.kernel.init)) == number
    w.world.lose = never
    w.session.pump()
    w.session.begin()
    after = {pid.nr: pid.generation for pid in w.session.table.root.pids.values()}
    assert after[1] == before[1] and after[nr(task)] == before[nr(task)]
    assert after[number] > max(before.values())


def test_a_birth_under_way_at_the_start_is_waited_for(w: Watch) -> None:
    """Its record lies before the window, but no listing shows it yet."""
    w.kernel.begin(w.kernel.fork(w.kernel.init), until=events.PidAttached)
    assert _is_birth(w.kernel.records[-1])
    w.session.begin()
    w.expect_exact()
    assert w.session.table is not None and w.session.table.task(2) is not None


def test_a_start_time_changes_before_there_is_a_record_of_it(w: Watch) -> None:
    """de_thread() writes it, then exchanges: whoever reads in between must wait for the rest."""
    leader = w.fork(w.kernel.init)
    thread = w.fork(leader, thread=True)
    w.run(w.kernel.exit(leader))
    w.session.begin()
    read, number = w.procfs.start_ticks, nr(thread)

    def in_between(n: int) -> int | None:
        w.kernel.begin(w.kernel.execute(thread))
        while thread.start_boottime != leader.start_boottime:
            w.kernel.step()
        assert not any(isinstance(event, events.TidsExchanged) for event in w.kernel.records)
        return read(n)

    w.procfs.start_ticks = in_between  # type: ignore[method-assign]
    assert w.session.check(number).verdict is Verdict.AGREE
    assert w.kernel.act is None  # it was waited for

    w.procfs.start_ticks = lambda n: 1  # type: ignore[method-assign]
    assert w.session.check(nr(w.kernel.init)).reason == "start ticks"


def test_a_number_born_again_as_a_thread_is_not_read_as_a_process(w: Watch) -> None:
    """/proc/N/task lists N's whole process, which has a listing of its own."""
    leader, other = w.fork(w.kernel.init), w.fork(w.kernel.init)
    number = nr(other)

    def between() -> None:
        if nr(leader) in w.procfs.read_numbers and not other.exit_state:
            w.end(other)
            assert nr(w.fork(leader, thread=True)) == number

    w.world.between = between
    w.session.begin()
    assert other.thread_pid is None
    w.expect_exact()
    table = w.session.table
    assert table is not None
    assert len(table.init_struct_pid.groups) == 2


def test_every_hooks_runs_are_accounted_for() -> None:
    w = Watch(seed=3, acts=200)
    w.world.others_act(w.rng, 200)
    w.session.begin()
    w.check_all()
    w.quiet()
    hooks, at_rest = w.session.hooks()
    assert at_rest
    assert all(hook["hits"] == hook["accounted"] for hook in hooks.values()), hooks
    assert hooks["attach_pid"]["hits"] > 8 and hooks["detach_pid"]["hits"]


def test_a_record_that_vanished_without_count_shows_in_the_accounts(w: Watch) -> None:
    w.session.begin()
    w.world.vanish = _is_birth
    w.fork(w.kernel.init)
    hooks, at_rest = w.session.hooks()
    uneven = {name for name, hook in hooks.items() if hook["hits"] != hook["accounted"]}
    assert at_rest and uneven == {"attach_pid"}
    assert not hooks_agree(hooks)


def _is_birth(event: events.Event) -> bool:
    return isinstance(event, events.PidAttached) and event.birth is not None


def test_the_listener_hears_every_event_once() -> None:
    w = Watch(seed=4, acts=60)
    w.world.others_act(w.rng, 100)
    w.session.begin()
    w.check_all()
    w.quiet()
    w.session.pump()
    assert w.told == w.kernel.records[len(SteppedKernel().records) :]  # all since the boot
    assert w.session.stream.events == len(w.told)


def test_a_nested_namespace_is_refused(w: Watch) -> None:
    w.procfs.mount = lambda: Mount(4026532000, initial=False)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="initial PID namespace"):
        LiveWorld(w.world, w.procfs)  # type: ignore[arg-type]


def test_a_start_that_never_succeeds_gives_up(w: Watch) -> None:
    def between() -> None:
        w.world.lost += 1

    w.world.between = between
    with pytest.raises(HostError, match="no exact start in 100 attempts"):
        w.session.begin()


def test_a_group_that_is_nowhere_inside_is_judged(w: Watch) -> None:
    """NSpgid is "2 0": the leader died outside, its member had gone into a container."""
    leader = w.fork(w.kernel.init)
    w.run(w.kernel.setpgid(leader, leader.thread_pid))
    member = w.fork(leader)
    w.run(w.kernel.unshare(member))
    w.fork(member)
    w.end(leader)
    w.session.begin()
    tally = w.check_all()
    assert tally.good
    assert tally.counts[Verdict.UNJUDGED] == 0 and tally.counts[Verdict.HELD] == 1


def test_without_the_exit_hook_no_parent_is_judged(w: Watch) -> None:
    w.session.begin()
    parent = w.fork(w.kernel.init)
    w.fork(parent)
    w.world.skip = lambda event: isinstance(event, events.TaskExited)
    w.run(w.kernel.exit(parent))
    assert [bug.reason for bug in w.check_all().bugs] == ["PPid"]
    w.world.blind_to = "sched_process_exit"
    assert w.check_all().good


def test_a_run_of_a_state_hook_left_out_asks_for_a_repair() -> None:
    w = Watch(acts=20)
    w.session.begin()
    assert w.check_all().complete
    w.world.left_out["change_pid"] = 3
    assert not w.check_all().complete and w.session.suspect
    assert w.check_all().complete and w.session.starts == 2


def test_a_run_left_out_explains_one_fault_of_its_hook() -> None:
    w = Watch(acts=20)
    w.session.begin()
    w.world.skip = lambda event: isinstance(event, events.TaskExited)
    w.end(w.fork(w.kernel.init))
    w.end(w.fork(w.kernel.init))
    assert not w.check_all().complete
    assert [fault.hook for fault in w.session.ungrammatical] == ["sched_process_exit"] * 2
    w.world.left_out["sched_process_exit"] = 1
    assert not w.check_all().complete and len(w.session.ungrammatical) == 1
    w.world.left_out["sched_process_exit"] = 2
    assert w.check_all().complete and w.session.ungrammatical == [] and w.session.starts == 1


def test_births_are_those_of_proc_stat() -> None:
    w = Watch(acts=20)
    w.session.begin()
    assert w.session.forks() == (0, 0)
    for _ in range(23):
        w.end(w.fork(w.kernel.init))
    assert w.session.forks() == (23, 23)
    w.world.skip = lambda event: isinstance(event, events.PidAttached) and bool(event.birth)
    w.fork(w.kernel.init)
    assert w.session.forks() == (24, 23)


def test_births_that_never_rest_cannot_be_compared() -> None:
    w = Watch(acts=20)
    w.session.begin()
    w.world.between = lambda: w.world._hooked(events.TaskExited(1, 1, 1, 1, 0))
    assert w.session.forks() is None
