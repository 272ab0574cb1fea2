"""A watch by tracepoints over the model: begun, swept, judged, lost and begun again."""

from __future__ import annotations

import random

import pytest

from pidscope import events
from pidscope.errors import HostError
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.session.session import Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.simulated.random_workload import random_play
from pidscope.simulated.ring import RING_BYTES
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Tally, Verdict
from tests.unit.acting import fork
from tests.unit.compare import of_model, of_table
from tests.unit.tracing import TracedWorld, wrong_number

SECOND_NS = 1_000_000_000


class Watch:
    """An observer of a world, with everything that it told its listener."""

    def __init__(self, world: TracedWorld) -> None:
        self.world = world
        self.kernel, self.tracer = world.kernel, world.tracer
        self.told: list[events.Event] = []
        self.observer = TracepointSession(world, self._listen)

    def _listen(self, event: events.Event, session: Session) -> None:
        self.told.append(event)

    def changes(self) -> list[tuple[int, events.PidType]]:
        """Every change of group or session that was told."""
        attached = [event for event in self.told if isinstance(event, events.PidAttached)]
        return [(event.tid, event.pid_type) for event in attached if event.birth is None]

    def check_all(self) -> Tally:
        tally = Tally()
        self.observer.check_all(tally)
        return tally

    def bugs(self) -> list[tuple[int, Verdict]]:
        return [(bug.number, bug.verdict) for bug in self.check_all().bugs]

    def verdict(self, task: TaskStruct) -> Verdict:
        return self.observer.check(task.pid).verdict

    def faults(self) -> list[str]:
        """The hooks that did not tell."""
        return [fault.hook for fault in self.observer.faults.latest({})]

    def second(self) -> None:
        """Let the time for a look come."""
        self.kernel.now_ns += SECOND_NS
        self.observer.pump()

    def silence(self, *kinds: type[events.Event]) -> None:
        """The tracepoints that tell these events do not run any more."""
        self.tracer.change = lambda event: None if isinstance(event, kinds) else event

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


class Shell(Watch):
    """A world where nothing happens but what is asked for."""

    def __init__(self) -> None:
        self.init = Kernel().init
        self.shell = fork(self.init)
        super().__init__(TracedWorld(self.init.kernel, lambda: False))

    def fork(self, by: TaskStruct | None = None, flags: int = 0) -> TaskStruct:
        return fork(by or self.shell, flags)

    def born(self, by: TaskStruct | None = None, flags: int = 0) -> TaskStruct:
        """A child whose birth was told, if it ever is."""
        child = self.fork(by, flags)
        self.tracer.settle()
        return child

    def end(self, task: TaskStruct) -> None:
        parent, nr = task.real_parent, task.pid
        call(task, "exit_group", 0)
        call(parent, "wait4", nr)


@pytest.fixture
def new() -> Shell:
    """A shell that is not watched yet."""
    return Shell()


@pytest.fixture
def s(new: Shell) -> Shell:
    """A shell that is watched."""
    new.observer.begin()
    return new


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
    assert w.faults() == [] and w.observer.broken == []
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


def test_hidden_processes_come_by_proc(new: Shell) -> None:
    thread = new.fork(new.init, CLONE_THREAD)
    new.world.hidden = {1}
    new.observer.begin()
    new.expect_equal()
    tally = new.check_all()
    assert tally.bugs == [] and tally.counts[Verdict.UNJUDGED] == 0
    assert new.verdict(thread) is Verdict.AGREE
    new.end(new.fork(new.init))
    new.expect_equal()


def test_a_change_of_group_is_told_by_the_next_look(s: Shell) -> None:
    call(s.shell, "setsid")
    assert s.verdict(s.shell) is Verdict.UNJUDGED
    assert s.changes() == []
    told = [(s.shell.pid, events.PidType.PGID), (s.shell.pid, events.PidType.SID)]
    s.second()
    assert s.changes() == told
    assert s.verdict(s.shell) is Verdict.AGREE
    s.second()
    assert s.changes() == told


def test_a_change_of_group_is_seen_at_an_exec(s: Shell) -> None:
    call(s.shell, "setsid")
    call(s.shell, "execve", b"program")
    s.observer.pump()
    assert s.verdict(s.shell) is Verdict.AGREE


def test_who_is_not_woken_yet_is_not_missing(new: Shell) -> None:
    """It may be shown before its birth is told, and be told of before the start."""
    new.tracer.rng.random = lambda: 1.0  # type: ignore[method-assign]
    before = new.fork()
    new.observer.begin()
    after = new.fork(before)  # the forker acts, so it was woken
    assert new.tracer.is_new(after.pid)
    new.second()
    assert new.bugs() == []
    new.expect_equal()
    assert new.bugs() == []


def test_a_look_believes_what_it_shows_of_who_was_told_of_before_it(s: Shell) -> None:
    call(s.shell, "setsid")
    call(s.shell, "set_comm", b"other")
    s.check_all()
    assert len(s.changes()) == 2


def test_a_thread_in_the_middle_of_an_exchange_is_not_missing(
    s: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its leader's start already, and its own number still."""
    s.kernel.now_ns += SECOND_NS
    thread, tasks = s.born(flags=CLONE_THREAD), s.world.tasks
    s.observer.pump()

    def torn() -> list[events.TaskSeen]:
        rows = {row.tid: row for row in tasks()}
        one, start_ns = rows[thread.pid], rows[s.shell.pid].birth.start_ns
        assert one.birth.start_ns != start_ns
        rows[thread.pid] = one._replace(birth=one.birth._replace(start_ns=start_ns))
        return list(rows.values())

    monkeypatch.setattr(s.world, "tasks", torn)
    assert s.bugs() == []


def test_who_exited_before_the_start_may_be_freed(new: Shell) -> None:
    child = new.fork()
    call(child, "exit_group", 0)
    new.observer.begin()
    call(new.shell, "wait4", child.pid)
    assert new.verdict(child) is Verdict.UNJUDGED
    new.expect_equal()
    assert new.faults() == []


@pytest.mark.parametrize("forked", [False, True])
def test_who_forks_after_the_start_had_not_exited_before_it(s: Shell, forked: bool) -> None:
    if forked:
        s.end(s.fork())
    s.silence(events.TaskExited, events.TaskFreed)
    s.end(s.shell)
    assert s.verdict(s.shell) is (Verdict.GHOST if forked else Verdict.UNJUDGED)


# Faults


@pytest.mark.parametrize("silent", [False, True])
def test_a_birth_that_is_not_told_is_missing(s: Shell, silent: bool) -> None:
    if silent:
        s.silence(events.PidAttached, events.TaskCreated)
    child = s.born()
    assert s.bugs() == [(child.pid, Verdict.MISSING)] * silent
    assert s.faults() == ["task_newtask"] * silent


def test_a_dead_leaders_number_in_a_rename_says_nothing_of_the_leader(new: Shell) -> None:
    """An exec by a thread: its old number is gone from /proc before the exec is told."""
    thread = new.fork(flags=CLONE_THREAD)
    call(new.shell, "exit")
    new.observer.begin()
    new.born(thread)
    new.observer.pump()
    number, judged = thread.pid, list[Verdict]()

    def judge(event: events.Event) -> events.Event:
        if isinstance(event, (events.TaskRenamed, events.TaskExecuted)):
            judged.append(new.observer.check(number).verdict)
        return event

    new.tracer.change = judge
    call(thread, "execve", b"program")
    assert judged == [Verdict.UNJUDGED] * 2


@pytest.mark.parametrize("silent", [False, True])
def test_an_exit_that_is_not_told_is_a_fault(s: Shell, silent: bool) -> None:
    child = s.fork()
    if silent:
        s.silence(events.TaskExited)
    s.end(child)
    found = s.bugs()
    late = silent and bool(s.tracer.freed)  # then it has the number still, as far as was told
    assert found == [(child.pid, Verdict.GHOST)] * late
    s.tracer.settle()
    s.check_all()
    assert s.faults() == ["sched_process_exit"] * silent


def test_an_end_that_is_not_told_is_made_up_for(s: Shell) -> None:
    s.silence(events.TaskFreed)
    s.end(s.fork())
    s.expect_equal()
    assert s.bugs() == []


def test_a_wrong_number_is_wrong(s: Shell) -> None:
    s.tracer.change = wrong_number
    child = s.born(flags=CLONE_NEWPID)
    s.observer.pump()
    assert s.verdict(child) is Verdict.WRONG


def test_runs_that_the_kernel_left_out_make_no_bugs(s: Shell) -> None:
    s.silence(events.PidAttached, events.TaskCreated)
    s.born()
    s.world.left_out["task_newtask"] += 1
    tally = s.check_all()
    assert tally.bugs == [] and tally.counts[Verdict.MISSING] == 0
    assert s.observer.suspect
    assert s.bugs() == [] and s.observer.starts == 2
    s.expect_equal()
