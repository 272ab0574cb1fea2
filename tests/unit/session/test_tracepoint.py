"""A watch by tracepoints over the model: begun, swept, judged, lost and begun again."""

from __future__ import annotations

import random
from typing import Callable

import pytest

from pidscope import events
from pidscope.errors import HostError
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_task_by_vpid
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.session.session import Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.ring import RING_BYTES
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Judgement, Tally, Verdict
from tests.unit.compare import of_model, of_table
from tests.unit.tracing import TracedWorld

SECOND_NS = 1_000_000_000


class Watch:
    """An observer of a world, with everything that it told its listener."""

    def __init__(self, world: TracedWorld) -> None:
        self.world = world
        self.kernel = world.kernel
        self.told: list[events.Event] = []
        self.observer = TracepointSession(world, self._listen)

    def _listen(self, event: events.Event, session: Session) -> None:
        self.told.append(event)

    def check_all(self) -> Tally:
        tally = Tally()
        self.observer.check_all(tally)
        return tally

    def second(self) -> None:
        """Let the time for a look come."""
        self.kernel.now_ns += SECOND_NS
        self.observer.pump()

    def expect_equal(self) -> None:
        """Once all is told and looked at, twice since the first look passes over who was told of,
        and once more for leaders that go after their threads."""
        self.world.quiet()
        for _ in range(3):
            self.second()
        assert self.observer.table is not None and not self.observer.suspect
        assert of_table(self.observer.table) == of_model(self.kernel)


def random_watch(seed: int, ring_bytes: int = RING_BYTES) -> Watch:
    kernel = Kernel()
    play = random_play(kernel, seed)
    for _ in range(seed % 50):
        play.step()
    return Watch(TracedWorld(kernel, play.step, seed, ring_bytes))


class Shell:
    """A world where nothing happens but what is asked for."""

    def __init__(self) -> None:
        kernel = Kernel()
        self.init = kernel.init
        self.shell = self.fork(kernel.init)
        self.kernel, self.shell_nr = kernel, self.shell.pid
        self.watch = Watch(TracedWorld(kernel, lambda: False))
        self.tracer = self.watch.world.tracer

    def fork(self, by: TaskStruct, flags: int = 0) -> TaskStruct:
        task = find_task_by_vpid(call(by, "clone", flags) or 0, by)
        assert task is not None
        return task

    def end(self, task: TaskStruct) -> None:
        parent, nr = task.real_parent, task.pid
        call(task, "exit_group", 0)
        call(parent, "wait4", nr)


@pytest.mark.parametrize("seed", range(12))
def test_a_busy_host_is_followed_without_a_false_word(seed: int) -> None:
    w = random_watch(seed)
    w.world.busy = True
    w.observer.begin()
    compared = 0
    rng = random.Random(seed)
    for _ in range(12):
        for _ in range(rng.randrange(20)):
            w.world.step()
        w.kernel.now_ns += rng.choice((0, SECOND_NS))
        tally = w.check_all()
        assert tally.bugs == [] and not tally.complete
        compared += tally.compared
    w.expect_equal()
    assert w.observer.faults.latest({}) == [] and w.observer.broken == []
    assert compared > 20
    hooks, accounted = w.observer.hooks()
    assert accounted and hooks["task_newtask"]["hits"] > 20
    assert w.observer.forks() is None


@pytest.mark.parametrize("seed", range(4))
def test_after_a_loss_it_begins_again(seed: int) -> None:
    w = random_watch(seed, ring_bytes=4096)
    w.observer.begin()
    for _ in range(300):
        w.world.step()
    w.observer.pump()
    assert w.observer.suspect and w.observer.stream.lost
    assert any(isinstance(event, events.Lost) for event in w.told)
    tally = w.check_all()
    assert tally.bugs == [] and not w.observer.suspect and w.observer.starts == 2
    w.expect_equal()
    counts, accounted = w.observer.hooks()
    missing = [hook["hits"] - hook["accounted"] for hook in counts.values()]
    assert accounted and sum(missing) == w.observer.stream.lost and min(missing) >= 0
    w.world.lost -= 1
    w.observer.stream.lost -= 1  # planted: a record has vanished uncounted
    counts, at_rest = w.observer.hooks()
    assert at_rest and not hooks_agree(counts, w.observer.stream.lost)


def test_a_host_that_is_faster_than_it_can_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = random_watch(1)
    tasks = w.world.tasks

    def flooded() -> object:
        w.world.lost += 1
        return tasks()

    monkeypatch.setattr(w.world, "tasks", flooded)
    with pytest.raises(HostError, match="records lost"):
        w.observer.begin()


def test_hidden_processes_come_by_proc() -> None:
    s = Shell()
    thread = s.fork(s.init, CLONE_THREAD)
    s.watch.world.hidden = {1}
    s.watch.observer.begin()
    s.watch.expect_equal()
    tally = s.watch.check_all()
    assert tally.bugs == [] and tally.counts[Verdict.UNJUDGED] == 0
    assert s.watch.observer.check(thread.pid).verdict is Verdict.AGREE
    s.end(s.fork(s.init))
    s.watch.expect_equal()


def test_a_change_of_group_is_told_by_the_next_look() -> None:
    s = Shell()
    s.watch.observer.begin()
    call(s.shell, "setsid")
    assert s.watch.observer.check(s.shell.pid).verdict is Verdict.UNJUDGED
    assert not _changes(s.watch)
    s.watch.second()
    assert [(e.tid, int(e.pid_type)) for e in _changes(s.watch)] == [
        (s.shell.pid, 2),
        (s.shell.pid, 3),
    ]
    assert s.watch.observer.check(s.shell.pid).verdict is Verdict.AGREE
    s.watch.second()
    assert len(_changes(s.watch)) == 2


def test_a_change_of_group_is_seen_at_an_exec() -> None:
    s = Shell()
    s.watch.observer.begin()
    call(s.shell, "setsid")
    call(s.shell, "execve", b"program")
    s.watch.observer.pump()
    assert s.watch.observer.check(s.shell.pid).verdict is Verdict.AGREE


def _changes(watch: Watch) -> list[events.PidAttached]:
    return [e for e in watch.told if isinstance(e, events.PidAttached) and e.birth is None]


def test_who_is_not_woken_yet_is_not_missing() -> None:
    """It may be shown before its birth is told, and be told of before the start."""
    s = Shell()
    s.tracer.rng = random.Random(0)
    s.tracer.rng.random = lambda: 1.0  # type: ignore[method-assign]
    before = s.fork(s.shell)
    s.watch.observer.begin()
    after = s.fork(before)  # the forker acts, so it was woken
    assert s.tracer.is_new(after.pid)
    s.watch.second()
    assert s.watch.check_all().bugs == []
    s.watch.expect_equal()
    assert s.watch.check_all().bugs == []


def test_a_look_believes_what_it_shows_of_who_was_told_of_before_it() -> None:
    s = Shell()
    s.watch.observer.begin()
    call(s.shell, "setsid")
    call(s.shell, "set_comm", b"other")
    s.watch.check_all()
    assert len(_changes(s.watch)) == 2


def test_a_thread_in_the_middle_of_an_exchange_is_not_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has its leader's start already, and its own number still."""
    s = Shell()
    s.watch.observer.begin()
    s.kernel.now_ns += SECOND_NS
    thread = s.fork(s.shell, CLONE_THREAD)
    s.tracer.settle()
    s.watch.observer.pump()
    tasks = s.watch.world.tasks

    def torn() -> list[events.TaskSeen]:
        rows = {row.tid: row for row in tasks()}
        one, start_ns = rows[thread.pid], rows[s.shell.pid].birth.start_ns
        assert one.birth.start_ns != start_ns
        rows[thread.pid] = one._replace(birth=one.birth._replace(start_ns=start_ns))
        return list(rows.values())

    monkeypatch.setattr(s.watch.world, "tasks", torn)
    assert s.watch.check_all().bugs == []


def test_who_exited_before_the_start_may_be_freed() -> None:
    s = Shell()
    child = s.fork(s.shell)
    call(child, "exit_group", 0)
    s.watch.observer.begin()
    call(s.shell, "wait4", child.pid)
    assert s.watch.observer.check(child.pid).verdict is Verdict.UNJUDGED
    s.watch.expect_equal()
    assert s.watch.observer.faults.latest({}) == []


@pytest.mark.parametrize("forked", [False, True])
def test_who_forks_after_the_start_had_not_exited_before_it(forked: bool) -> None:
    s = Shell()
    s.watch.observer.begin()
    if forked:
        s.end(s.fork(s.shell))
    s.tracer.change = _silence(events.TaskExited, events.TaskFreed)
    s.end(s.shell)
    verdict = s.watch.observer.check(s.shell_nr).verdict
    assert verdict is (Verdict.GHOST if forked else Verdict.UNJUDGED)


# Faults


@pytest.mark.parametrize("silent", [False, True])
def test_a_birth_that_is_not_told_is_missing(silent: bool) -> None:
    s = Shell()
    s.watch.observer.begin()
    if silent:
        s.tracer.change = _silence(events.PidAttached, events.TaskCreated)
    child = s.fork(s.shell)
    s.tracer.settle()
    bugs = s.watch.check_all().bugs
    assert [(bug.number, bug.verdict) for bug in bugs] == [(child.pid, Verdict.MISSING)] * silent
    faults = s.watch.observer.faults.latest({})
    assert [fault.hook for fault in faults] == ["task_newtask"] * silent


def test_a_dead_leaders_number_in_a_rename_says_nothing_of_the_leader() -> None:
    """An exec by a thread: its old number is gone from /proc before the exec is told."""
    shell = Shell()
    leader = shell.shell
    thread = shell.fork(leader, CLONE_THREAD)
    call(leader, "exit")
    observer = shell.watch.observer
    observer.begin()
    shell.fork(thread)
    shell.tracer.settle()
    observer.pump()
    number, judged = thread.pid, list[Judgement]()

    def judge(event: events.Event) -> events.Event:
        if isinstance(event, (events.TaskRenamed, events.TaskExecuted)):
            judged.append(observer.check(number))
        return event

    shell.tracer.change = judge
    call(thread, "execve", b"program")
    assert [judgement.verdict for judgement in judged] == [Verdict.UNJUDGED] * 2


@pytest.mark.parametrize("silent", [False, True])
def test_an_exit_that_is_not_told_is_a_fault(silent: bool) -> None:
    s = Shell()
    s.watch.observer.begin()
    child = s.fork(s.shell)
    if silent:
        s.tracer.change = _silence(events.TaskExited)
    s.end(child)
    bugs = s.watch.check_all().bugs
    late = silent and bool(s.tracer.freed)  # then it has the number still, as far as was told
    assert [(bug.number, bug.verdict) for bug in bugs] == [(child.pid, Verdict.GHOST)] * late
    s.tracer.settle()
    s.watch.check_all()
    faults = s.watch.observer.faults.latest({})
    assert [fault.hook for fault in faults] == ["sched_process_exit"] * silent


def test_an_end_that_is_not_told_is_made_up_for() -> None:
    s = Shell()
    s.watch.observer.begin()
    s.tracer.change = _silence(events.TaskFreed)
    s.end(s.fork(s.shell))
    s.watch.expect_equal()
    assert s.watch.check_all().bugs == []


def test_a_wrong_number_is_wrong() -> None:
    def wrong(event: events.Event) -> events.Event:
        if isinstance(event, events.PidAttached):
            numbers = (*event.pid.numbers[:-1], event.pid.numbers[-1] + 7)
            return event._replace(pid=events.PidNumbers(numbers, event.pid.ns))
        return event

    s = Shell()
    s.watch.observer.begin()
    s.tracer.change = wrong
    child = s.fork(s.shell, CLONE_NEWPID)
    s.tracer.settle()
    s.watch.observer.pump()
    judgement = s.watch.observer.check(child.pid)
    assert judgement.verdict is Verdict.WRONG


def test_runs_that_the_kernel_left_out_make_no_bugs() -> None:
    s = Shell()
    s.watch.observer.begin()
    s.tracer.change = _silence(events.PidAttached, events.TaskCreated)
    s.fork(s.shell)
    s.tracer.settle()
    s.watch.world.left_out["task_newtask"] += 1
    tally = s.watch.check_all()
    assert tally.bugs == [] and tally.counts[Verdict.MISSING] == 0
    assert s.watch.observer.suspect
    assert s.watch.check_all().bugs == [] and s.watch.observer.starts == 2
    s.watch.expect_equal()


def _silence(*kinds: type[events.Event]) -> Callable[[events.Event], events.Event | None]:
    return lambda event: None if isinstance(event, kinds) else event
