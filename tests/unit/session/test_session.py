"""The session over a kernel that the test moves: position, fence and reading; losses; repairs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies

from pidscope import events
from pidscope.errors import HostError
from pidscope.live.session import LiveWorld
from pidscope.model.sched import TaskStruct
from pidscope.snapshot import Mount
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Verdict
from tests.unit.machine import nr
from tests.unit.stepped_kernel import SteppedKernel, never
from tests.unit.watched import Watch, is_birth, nth

SEEDS = strategies.integers(0, 1 << 40)


@settings(max_examples=150)
@given(SEEDS)
def test_a_start_under_activity_is_exact(seed: int) -> None:
    w = Watch(seed, acts=50)
    w.world.others_act(w.rng, 60)
    w.expect_exact_start()


@settings(max_examples=150)
@given(SEEDS, strategies.sets(strategies.integers(1, 12), max_size=3))
def test_a_start_by_the_iterator_is_exact_whoever_it_hides(seed: int, hidden: set[int]) -> None:
    w = Watch(seed, acts=50)
    w.world.iterates, w.world.hidden = True, hidden
    w.world.others_act(w.rng, 60)
    w.expect_exact_start()


@settings(max_examples=60)
@given(SEEDS)
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
@given(SEEDS)
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
    task = w.fork()
    w.session.pump()
    w.lose(w.kernel.setsid(task))
    w.fork(task)
    lost = w.hear()[0]
    assert isinstance(lost, events.Lost) and lost.total == 2
    assert w.session.suspect
    assert w.session.check(nr(task)).verdict is Verdict.UNJUDGED
    w.expect_exact_start()
    assert (w.session.starts, w.session.stream.lost) == (2, 2)
    assert w.session.check(nr(task)).verdict is Verdict.AGREE


def test_the_last_record_may_be_the_lost_one(w: Watch) -> None:
    """No later record tells of it: the map does."""
    w.lose(w.kernel.setsid(w.kernel.init))
    assert isinstance(w.hear()[-1], events.Lost)
    assert w.session.suspect and w.session.stream.lost == 2


def test_a_loss_during_the_start_starts_again(new: Watch) -> None:
    task = new.fork()
    new.meanwhile(lambda: new.lose(new.kernel.setsid(task)), nth(5))
    new.expect_exact_start()
    assert new.session.stream.lost == 2 and new.session.starts == 1
    assert new.procfs.read_numbers.count(1) == 2


def test_an_older_count_in_a_record_is_not_another_loss(w: Watch) -> None:
    """The map was read when more had been lost than the next record in the ring tells."""
    w.world.lost = 3
    w.fork()
    w.world.lost = 5
    w.session.pump(0)
    assert w.session.stream.lost == 5
    w.session.begin()
    w.world.lost = 3  # when the next is written
    w.fork()
    w.world.lost = 5
    told = w.hear()
    assert told and not any(isinstance(event, events.Lost) for event in told)
    assert w.session.stream.lost == 5 and not w.session.suspect


def test_the_count_in_a_record_wraps(new: Watch) -> None:
    new.world.lost = (1 << 32) - 1
    new.session.begin()
    assert new.session.stream.lost == (1 << 32) - 1
    new.world.lost += 2
    new.fork()
    lost, *later = new.hear()
    assert isinstance(lost, events.Lost)
    assert lost.total == new.session.stream.lost == (1 << 32) + 1
    assert any(is_birth(event) for event in later)  # the loss is in its place, before them
    assert not any(isinstance(event, events.Lost) for event in later)


def test_an_event_that_cannot_follow_is_reported(w: Watch) -> None:
    task = w.fork()
    number = nr(task)
    w.unhook(events.PidDetached)
    w.end(task)
    w.unhook()
    assert nr(w.fork()) == number
    w.session.pump()
    assert w.session.suspect and "still in use" in w.session.broken[0]
    w.quiet()
    tally = w.check_all()
    assert not tally.bugs and not tally.complete  # repaired, but the proof is spoilt


def test_a_start_during_which_a_thread_ends_lists_its_process_again(new: Watch) -> None:
    leader, thread = new.threaded()
    new.fork(leader, thread=True)
    new.fork(leader, thread=True)
    listed, fourth = new.procfs.listed, nth(3)
    ended = new.meanwhile(
        lambda: new.run(new.kernel.exit(thread)),
        lambda: listed[-1:] == [nr(leader)] and fourth(),  # while the listing stands at it
    )
    new.expect_exact_start()
    assert ended
    assert listed.count(nr(leader)) == 2
    assert new.procfs.read_numbers.count(nr(leader)) == 1


def exec_begins(w: Watch, thread: TaskStruct) -> Callable[[], None]:
    """A thread's exec up to the record of its exchange, which is reserved and not yet done."""
    return lambda: w.kernel.begin(w.kernel.execute(thread), until=events.TidsExchanged)


def test_a_start_during_an_exec_waits_for_it_before_reading_again(new: Watch) -> None:
    """The record was reserved, the pointers are not yet written: without a fence it is torn."""
    leader, thread = new.survived()
    number, other = nr(leader), nr(thread)
    read = new.procfs.read_numbers
    started = new.meanwhile(exec_begins(new, thread), lambda: number in read)
    new.expect_exact_start()
    assert started and {number, other} <= set(read)


def test_who_execs_under_the_iterator_is_read_in_proc(new: Watch) -> None:
    leader, thread = new.survived()
    number, tasks, begin_exec = nr(leader), new.world.tasks, exec_begins(new, thread)
    new.world.iterates = True

    def torn() -> list[events.TaskSeen] | None:
        rows = tasks()
        begin_exec()
        return rows

    new.world.tasks = torn  # type: ignore[method-assign]
    new.session.begin()
    assert set(new.procfs.listed) == {number} == set(new.procfs.read_numbers) - {3}
    new.expect_exact()
    assert len(new.table.init_struct_pid.groups) == 2  # of the two readings one is left


def test_only_who_is_hidden_is_read_in_proc(new: Watch) -> None:
    """Process 1 with its thread; of the others not even the threads are listed."""
    new.threaded()
    thread = new.fork(thread=True)
    new.world.iterates, new.world.hidden = True, {1}
    new.session.begin()
    assert (new.procfs.listed, new.procfs.read_numbers) == ([1], [1, nr(thread)])
    known = {task.pid.nr: task.start_ns is not None for task in new.table.tasks() if task.pid}
    assert known == {1: False, 2: True, 3: True, 4: False}
    new.expect_exact()
    assert new.check_all().good


def test_a_thread_whose_leader_is_hidden_is_read_with_its_process(new: Watch) -> None:
    leader, thread = new.threaded()
    new.world.iterates, tasks = True, new.world.tasks
    new.world.tasks = lambda: [row for row in tasks() or [] if row.tid != 2]  # type: ignore
    new.expect_exact_start()
    assert new.procfs.read_numbers == [nr(leader), nr(thread)]


def test_an_iterator_that_fails_is_told_of_and_done_without(new: Watch) -> None:
    new.fork()
    new.world.fails = True
    new.expect_exact_start()
    assert "no iterator today" in new.session.iterator_refused
    assert set(new.procfs.read_numbers) == {1, 2}
    new.world.fails, new.world.iterates = False, True
    new.expect_exact_start()
    assert new.session.iterator_refused and len(new.procfs.read_numbers) == 2


def test_a_repair_by_the_iterator_knows_who_was_there(new: Watch) -> None:
    new.world.iterates = True
    new.session.begin()
    task, other = new.fork(), new.fork()
    new.session.pump()
    before, number = generations(new), nr(other)
    new.lose(new.kernel.exit(other), new.kernel.release(other), new.kernel.fork(new.kernel.init))
    assert new.kernel.find(number) is not other
    new.session.pump()
    new.session.begin()
    after = generations(new)
    assert after[number] > max(before.values())
    assert after == {**before, number: after[number]} and nr(task) in before


def generations(w: Watch) -> dict[int, int]:
    return {pid.nr: pid.generation for pid in w.table.root.pids.values()}


def test_a_birth_under_way_at_the_start_is_waited_for(new: Watch) -> None:
    """Its record lies before the window, but no listing shows it yet."""
    new.kernel.begin(new.kernel.fork(new.kernel.init), until=events.PidAttached)
    assert is_birth(new.kernel.records[-1])
    new.expect_exact_start()
    assert new.table.task(2) is not None


def test_a_start_time_changes_before_there_is_a_record_of_it(new: Watch) -> None:
    """de_thread() writes it, then exchanges: whoever reads in between must wait for the rest."""
    leader, thread = new.survived()
    new.session.begin()
    read, number = new.procfs.start_ticks, nr(thread)

    def in_between(n: int) -> int | None:
        new.kernel.begin(new.kernel.execute(thread))
        while thread.start_boottime != leader.start_boottime:
            new.kernel.step()
        assert not any(isinstance(event, events.TidsExchanged) for event in new.kernel.records)
        return read(n)

    new.procfs.start_ticks = in_between  # type: ignore[method-assign]
    assert new.session.check(number).verdict is Verdict.AGREE
    assert new.kernel.act is None  # it was waited for

    new.procfs.start_ticks = lambda n: 1  # type: ignore[method-assign]
    assert new.session.check(nr(new.kernel.init)).reason == "start ticks"


def test_a_number_born_again_as_a_thread_is_not_read_as_a_process(new: Watch) -> None:
    """/proc/N/task lists N's whole process, which has a listing of its own."""
    leader, other = new.fork(), new.fork()
    number = nr(other)

    def born_again() -> None:
        new.end(other)
        assert nr(new.fork(leader, thread=True)) == number

    new.meanwhile(born_again, lambda: nr(leader) in new.procfs.read_numbers)
    new.expect_exact_start()
    assert other.thread_pid is None
    assert len(new.table.init_struct_pid.groups) == 2


def test_every_hooks_runs_are_accounted_for() -> None:
    w = Watch(seed=3, acts=200)
    w.world.others_act(w.rng, 200)
    w.session.begin()
    w.check_all()
    w.quiet()
    assert w.uneven() == {}
    hooks, _ = w.session.hooks()
    assert hooks["attach_pid"]["hits"] > 8 and hooks["detach_pid"]["hits"]


def test_a_record_that_vanished_without_count_shows_in_the_accounts(w: Watch) -> None:
    w.world.vanish = is_birth
    w.fork()
    assert w.uneven().keys() == {"attach_pid"}
    assert not hooks_agree(w.session.hooks()[0])


def test_the_listener_hears_every_event_once() -> None:
    w = Watch(seed=4, acts=60)
    w.world.others_act(w.rng, 100)
    w.session.begin()
    w.check_all()
    w.quiet()
    w.session.pump()
    assert w.told == w.kernel.records[len(SteppedKernel().records) :]  # all since the boot
    assert w.session.stream.events == len(w.told)


def test_a_nested_namespace_is_refused(new: Watch) -> None:
    new.procfs.mount = lambda: Mount(4026532000, initial=False)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="initial PID namespace"):
        LiveWorld(new.world, new.procfs)  # type: ignore[arg-type]


def test_a_start_that_never_succeeds_gives_up(new: Watch) -> None:
    new.world.lose_one_a_look()
    with pytest.raises(HostError, match="no exact start in 100 attempts"):
        new.session.begin()


def test_a_group_that_is_nowhere_inside_is_judged(new: Watch) -> None:
    """NSpgid is "2 0": the leader died outside, its member had gone into a container."""
    leader = new.group_leader()
    member = new.fork(leader)
    new.run(new.kernel.unshare(member), new.kernel.fork(member))
    new.end(leader)
    new.session.begin()
    tally = new.check_all()
    assert tally.good
    assert tally.counts[Verdict.UNJUDGED] == 0 and tally.counts[Verdict.HELD] == 1


def test_without_the_exit_hook_no_parent_is_judged(w: Watch) -> None:
    parent = w.fork()
    w.fork(parent)
    w.unhook(events.TaskExited)
    w.run(w.kernel.exit(parent))
    assert [bug.reason for bug in w.check_all().bugs] == ["PPid"]
    w.world.blind_to = "sched_process_exit"
    assert w.check_all().good


def test_a_run_of_a_state_hook_left_out_asks_for_a_repair(busy: Watch) -> None:
    assert busy.check_all().complete
    busy.world.left_out["change_pid"] = 3
    assert not busy.check_all().complete and busy.session.suspect
    assert busy.check_all().complete and busy.session.starts == 2


def test_a_run_left_out_explains_one_fault_of_its_hook(busy: Watch) -> None:
    busy.unhook(events.TaskExited)
    busy.end(busy.fork(), busy.fork())
    assert not busy.check_all().complete
    assert [fault.hook for fault in busy.session.ungrammatical] == ["sched_process_exit"] * 2
    busy.world.left_out["sched_process_exit"] = 1
    assert not busy.check_all().complete and len(busy.session.ungrammatical) == 1
    busy.world.left_out["sched_process_exit"] = 2
    assert busy.check_all().complete
    assert busy.session.ungrammatical == [] and busy.session.starts == 1


def test_births_are_those_of_proc_stat(busy: Watch) -> None:
    assert busy.session.forks() == (0, 0)
    for _ in range(23):
        busy.end(busy.fork())
    assert busy.session.forks() == (23, 23)
    busy.world.skip = is_birth
    busy.fork()
    assert busy.session.forks() == (24, 23)


def test_births_that_never_rest_cannot_be_compared(busy: Watch) -> None:
    busy.world.between = lambda: busy.world._hooked(events.TaskExited(1, 1, 1, 1, 0))
    assert busy.session.forks() is None
