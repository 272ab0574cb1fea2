"""Each test plants one fault and shows that what is clean without it is caught with it."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

import pytest

import pidscope.session.read_tasks as walk_module
import pidscope.session.session as session_module
import pidscope.table.table as table_module
import pidscope.verify.verdicts as verify_module
from pidscope.errors import IllegalEvent
from pidscope.events import Birth, Event, PidAttached, PidDetached, PidType, TidsExchanged
from pidscope.model.sched import TaskStruct
from pidscope.snapshot import Status
from pidscope.table.pid import Pid, Task, ThreadGroup
from pidscope.table.table import Table
from pidscope.verify.verdicts import Verdict, Version, Window
from tests.unit.compare import of_model, of_table
from tests.unit.machine import Machine, nr
from tests.unit.watched import Watch

Plant = Callable[[pytest.MonkeyPatch], None]


# A broken table


def no_free(patch: pytest.MonkeyPatch) -> None:
    """A struct pid stays in its namespaces for ever."""
    patch.setattr(Table, "_put", lambda self, pid: None)


def free_at_exit(patch: pytest.MonkeyPatch) -> None:
    """As tools do that watch fork and exit: with the process goes the number."""

    release = Table.release

    def freed(self: Table, task: Task) -> None:
        pid = task.pid
        release(self, task)
        assert pid is not None
        if pid.process is None:
            for ns in list(self.namespaces.values()):
                if ns.level <= pid.level:
                    self._take_out(pid, pid.numbers[ns.level], ns)

    patch.setattr(Table, "release", freed)


def wrong_field(patch: pytest.MonkeyPatch) -> None:
    """A new session lands in the group."""
    changed = Table._changed

    def swapped(self: Table, event: PidAttached) -> None:
        kind = {PidType.SID: PidType.PGID}.get(event.pid_type, event.pid_type)
        changed(self, event._replace(pid_type=kind))

    patch.setattr(Table, "_changed", swapped)


def wrong_process(patch: pytest.MonkeyPatch) -> None:
    """A thread is born into its parent's process instead of its own."""
    born = Table._thread_born

    def elsewhere(self: Table, event: PidAttached, birth: Birth) -> None:
        born(self, event, birth._replace(tgid=birth.ppid))

    patch.setattr(Table, "_thread_born", elsewhere)


def one_namespace_per_inum(patch: pytest.MonkeyPatch) -> None:
    """The members of a new group are those of its number, whatever the level."""

    def nr_in(self: Pid, ns: table_module.Namespace) -> int | None:
        return self.numbers[ns.level] if ns.level < len(self.numbers) else self.numbers[-1]

    patch.setattr(Pid, "nr_in", nr_in)


def no_group_kept(patch: pytest.MonkeyPatch) -> None:
    """A child starts in a group of its own."""
    add_process = Table.add_process

    def own(self: Table, pid: Pid, links: tuple[Pid, Pid], *rest: Any) -> ThreadGroup:
        return add_process(self, pid, (pid, links[1]), *rest)

    patch.setattr(Table, "add_process", own)


def play(m: Machine) -> None:
    """Every kind of act once."""
    init = m.kernel.init
    leader = m.fork(init)
    m.run(m.kernel.setsid(leader))
    member = m.fork(leader)
    thread = m.fork(leader, thread=True)
    inner = m.contain(member)
    m.end(inner)
    m.run(m.kernel.exit(leader), m.kernel.execute(thread))
    m.end(thread)
    m.run(m.kernel.setpgid(member, member.thread_pid))


@pytest.mark.parametrize(
    "plant",
    [no_free, free_at_exit, wrong_field, wrong_process, one_namespace_per_inum, no_group_kept],
    ids=lambda plant: plant.__name__,
)
def test_a_broken_table_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    play(Machine())
    plant(monkeypatch)
    with pytest.raises((AssertionError, IllegalEvent)):
        play(Machine())


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (no_free, "still in use"),
        (free_at_exit, "unknown struct pid"),
        (wrong_field, Verdict.WRONG),
        (wrong_process, Verdict.WRONG),
        (one_namespace_per_inum, Verdict.WRONG),
    ],
)
def test_the_verifier_finds_it_too(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, found: Verdict | str
) -> None:
    """What the table's own tests find is also found on a host, by comparing with /proc."""
    assert _watched_play(Watch()) == (set(), [], True)
    plant(monkeypatch)
    bugs, broken, complete = _watched_play(Watch())
    if isinstance(found, Verdict):
        assert found in bugs
    else:
        assert found in broken[0]
    assert not complete


def _watched_play(w: Watch) -> tuple[set[Verdict], list[str], bool]:
    w.session.begin()
    session = w.fork(w.kernel.init)
    w.run(w.kernel.setsid(session))
    w.fork(session, thread=True)
    w.run(w.kernel.unshare(session))
    w.fork(session)
    w.run(w.kernel.setns(session))
    group = w.fork(session)
    w.run(w.kernel.setpgid(group, group.thread_pid))
    member = w.fork(group)
    w.end(group)
    w.end(w.fork(w.kernel.init))
    w.fork(member)  # its group's number is still taken, the other one comes again
    tally = w.check_all()
    bugs = {bug.verdict for bug in tally.bugs}
    return bugs, list(w.session.broken), tally.complete and not tally.bugs


# A hook that does not run


def _is_change(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is None


def _is_birth(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is not None


@pytest.mark.parametrize(
    ("skip", "verdict"),
    [
        (_is_change, Verdict.WRONG),
        (lambda event: isinstance(event, PidDetached), Verdict.GHOST),
        (_is_birth, Verdict.MISSING),
    ],
    ids=["change_pid", "detach_pid", "attach_pid"],
)
def test_a_silent_hook_is_found(
    monkeypatch: pytest.MonkeyPatch, skip: Callable[[Event], bool], verdict: Verdict
) -> None:
    for planted in (False, True):
        w = Watch()
        task = w.fork(w.kernel.init)
        other = w.fork(task)
        w.session.begin()
        if planted:
            w.world.skip = skip
        w.run(w.kernel.setsid(task))
        w.fork(w.kernel.init)
        w.end(other)
        bugs = w.verdicts()
        assert (verdict in bugs) if planted else not bugs


def _half_exchanged(w: Watch) -> tuple[int, Verdict]:
    """A check of the leader's number whose reading falls into the middle of an exec."""
    leader = w.fork(w.kernel.init)
    thread = w.fork(leader, thread=True)
    w.run(w.kernel.exit(leader))
    number = nr(leader)
    w.session.begin()
    steps = iter(range(1000))

    def between() -> None:
        if next(steps) == 3:  # the reader has its task: the old leader
            w.kernel.run(w.kernel.execute(thread))

    read = w.procfs.read_status

    def reading(number: int) -> Status | None:
        w.world.between = between
        return read(number)

    w.procfs.read_status = reading  # type: ignore[method-assign]
    verdict = w.session.check(number).verdict
    assert next(steps) > 5
    return number, verdict


def test_a_silent_exchange_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Watch()
    assert _half_exchanged(good)[1] in (Verdict.AGREE, Verdict.MOVED)
    bad = Watch()
    bad.world.skip = lambda event: isinstance(event, TidsExchanged)
    assert _half_exchanged(bad)[1] is Verdict.WRONG


# A verifier that is too kind


def _stale(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Verdict]:
    """A file that shows what was true before p0, judged with its own or the snapshot's window."""

    def check(widened: bool) -> Verdict:
        w = Watch()
        task = w.fork(w.kernel.init)
        w.session.begin()
        table = w.session.table
        assert table is not None
        whole_snapshot = Window(table, nr(task))
        stale = w.procfs.read_status(nr(task))
        w.run(w.kernel.setsid(task))
        w.session.pump(None, whole_snapshot)
        narrow = Window(table, nr(task))
        return verify_module.judge_status(whole_snapshot if widened else narrow, stale).verdict

    return check


def test_a_window_of_the_whole_snapshot_would_accept_what_is_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = _stale(monkeypatch)
    assert check(False) is Verdict.WRONG
    assert check(True) is Verdict.AGREE


def test_the_sessions_window_is_the_narrow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A /proc that shows an outdated file is found, whatever happened earlier in the snapshot."""
    for planted in (False, True):
        w = Watch()
        task = w.fork(w.kernel.init)
        number = nr(task)
        w.session.begin()
        stale = w.procfs.read_status(number)
        read = w.procfs.read_status
        done = []

        def between(w: Watch = w, task: TaskStruct = task, done: list[int] = done) -> None:
            if not done:
                done.append(1)
                w.kernel.run(w.kernel.setsid(task))  # while the snapshot is being listed

        def outdated(n: int, read: Any = read, number: int = number, stale: Any = stale) -> Any:
            return stale if n == number else read(n)

        w.world.between = between
        if planted:
            monkeypatch.setattr(w.procfs, "read_status", outdated)
        bugs = [(bug.number, bug.verdict) for bug in w.check_all().bugs]
        assert bugs == ([(number, Verdict.WRONG)] if planted else [])


def test_without_the_fence_a_change_under_way_looks_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for planted in (False, True):
        w = Watch()
        task = w.fork(w.kernel.init)
        w.session.begin()
        if planted:
            w.world.fence = lambda: None  # type: ignore[method-assign]
        w.kernel.begin(w.kernel.setsid(task), until=PidAttached)  # and nothing is written yet
        verdict = w.session.check(nr(task)).verdict
        assert (verdict is Verdict.WRONG) is planted


def test_without_the_fence_a_start_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    for planted in (False, True):
        w = Watch()
        task = w.fork(w.kernel.init)
        if planted:
            w.world.fence = lambda: None  # type: ignore[method-assign]
        w.kernel.begin(w.kernel.setsid(task), until=PidAttached)
        w.session.begin()
        w.kernel.settle()
        assert w.session.table is not None
        same = of_table(w.session.table, False) == of_model(w.kernel, False, midway=True)
        assert same is not planted


def any_0(patch: pytest.MonkeyPatch) -> None:
    """A judge that takes 0 for "cannot be told"."""
    nr_at = verify_module._nr_at

    def kind(version: Version, observation: Any, row: Pid) -> int | None:
        return 0 if observation.seen == 0 else nr_at(version, observation, row)

    patch.setattr(verify_module, "_nr_at", kind)


def any_order(patch: pytest.MonkeyPatch) -> None:
    """A judge that takes each number alone."""
    nr_at = verify_module._nr_at

    def kind(version: Version, observation: Any, row: Pid) -> int | None:
        seen = {nr_at(one, observation, row) for one in _HISTORY}
        return observation.seen if observation.seen in seen else nr_at(version, observation, row)

    patch.setattr(verify_module, "_nr_at", kind)


_HISTORY: list[Version] = []


@pytest.mark.parametrize("line", ["ns_pid", "ns_tgid", "ns_pgid", "ns_sid"])
def test_a_0_that_means_nothing_is_found(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    m = Machine()
    task = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(task))
    w = Window(m.table, nr(task))
    full = (nr(task),)
    status = _status(full)._replace(**{line: (0,)})
    assert verify_module.judge_status(w, status).verdict is Verdict.WRONG
    any_0(monkeypatch)
    assert verify_module.judge_status(w, status).verdict is Verdict.AGREE


def _status(numbers: tuple[int, ...]) -> Status:
    number = numbers[0]
    return Status(b"x", "S", 1, number, number, *(numbers,) * 4)


def test_numbers_out_of_the_order_of_time_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    m = Machine()
    task = m.fork(m.kernel.init)
    window = Window(m.table, nr(task))
    m.kernel.run(m.kernel.setsid(task))
    for event in m.kernel.records[m._applied :]:
        m.table.apply(event)
        window.applied(event)
    status = _status((nr(task),))._replace(ns_sid=(0,))  # the new PGID, but the old SID
    assert verify_module.judge_status(window, status).verdict is Verdict.WRONG
    (history,) = window.histories.values()
    monkeypatch.setattr(f"{__name__}._HISTORY", history)
    any_order(monkeypatch)
    assert verify_module.judge_status(window, status).verdict is not Verdict.WRONG


# A start that is too trusting


def test_a_start_that_keeps_the_rows_born_in_its_window_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pidscope.table.start as start_module

    for planted in (False, True):
        w = Watch()
        steps = iter(range(1000))

        def between(w: Watch = w, steps: Any = steps) -> None:
            if next(steps) == 2:
                w.fork(w.kernel.init)

        w.world.between = between
        if planted:
            of = start_module._Window.of
            monkeypatch.setattr(
                start_module._Window,
                "of",
                classmethod(
                    lambda cls, events, of=of: dataclasses.replace(of(events), born=frozenset())
                ),
            )
            monkeypatch.setattr(session_module, "ATTEMPTS", 1)
            with pytest.raises(Exception, match="still in use"):
                w.session.begin()
        else:
            w.session.begin()
            w.expect_exact()


def test_a_start_that_lists_cut_processes_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for planted in (False, True):
        w = Watch()
        leader = w.fork(w.kernel.init)
        threads = [w.fork(leader, thread=True) for _ in range(3)]
        listing = w.procfs.threads
        if planted:
            monkeypatch.setattr(walk_module, "cut_short", lambda number, events: False)

        def cut(
            number: int,
            w: Watch = w,
            leader: TaskStruct = leader,
            thread: TaskStruct = threads[0],
            listing: Callable[[int], list[int]] = listing,
        ) -> list[int]:
            steps = iter(range(100))

            def between() -> None:
                if next(steps) == 3:
                    w.run(w.kernel.exit(thread))  # while the listing stands at it

            if number == nr(leader) and thread.thread_pid:
                w.world.between = between
            try:
                return listing(number)
            finally:
                w.world.between = lambda: None

        monkeypatch.setattr(w.procfs, "threads", cut)
        w.session.begin()
        w.quiet()
        w.session.pump()
        assert w.session.table is not None
        same = of_table(w.session.table, False) == of_model(w.kernel, False, midway=True)
        assert same is not planted
