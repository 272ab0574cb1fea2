"""Each test plants one fault and shows that what is clean without it is caught with it."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

import pytest

from pidscope.errors import HostError, IllegalEvent, ProcError
from pidscope.events import Birth, Event, PidAttached, PidDetached, PidType, TidsExchanged
from pidscope.session import read_tasks, session
from pidscope.snapshot import Status, TaskReading
from pidscope.table import start
from pidscope.table.pid import Namespace, Pid, Task
from pidscope.table.table import Table
from pidscope.verify import verdicts
from pidscope.verify.verdicts import Verdict, Version, Window, judge_status
from tests.unit.compare import of_model, of_table
from tests.unit.machine import Machine, nr
from tests.unit.watched import Watch, is_birth, nth

Fault = Callable[..., Any]
with_and_without = pytest.mark.parametrize("planted", [False, True], ids=["sound", "planted"])


# A broken table


def no_free(put: Any, self: Table, pid: Pid) -> None:
    """A struct pid stays in its namespaces for ever."""


def free_at_exit(release: Any, self: Table, task: Task) -> None:
    """As tools do that watch fork and exit: with the process goes the number."""
    pid = task.pid
    release(self, task)
    assert pid is not None
    if pid.process is None:
        for ns in list(self.namespaces.values()):
            if ns.level <= pid.level:
                self._take_out(pid, pid.numbers[ns.level], ns)


def wrong_field(changed: Any, self: Table, event: PidAttached) -> None:
    """A new session lands in the group."""
    kind = {PidType.SID: PidType.PGID}.get(event.pid_type, event.pid_type)
    changed(self, event._replace(pid_type=kind))


def wrong_process(born: Any, self: Table, event: PidAttached, birth: Birth) -> None:
    """A thread is born into its parent's process instead of its own."""
    born(self, event, birth._replace(tgid=birth.ppid))


def one_namespace_per_inum(nr_in: Any, self: Pid, ns: Namespace) -> int:
    """The members of a new group are those of its number, whatever the level."""
    return self.numbers[ns.level] if ns.level < len(self.numbers) else self.numbers[-1]


def no_group_kept(add: Any, self: Table, pid: Pid, links: tuple[Pid, Pid], *rest: Any) -> Any:
    """A child starts in a group of its own."""
    return add(self, pid, (pid, links[1]), *rest)


PLACES: dict[Fault, tuple[type, str]] = {
    no_free: (Table, "_put"),
    free_at_exit: (Table, "release"),
    wrong_field: (Table, "_changed"),
    wrong_process: (Table, "_thread_born"),
    one_namespace_per_inum: (Pid, "nr_in"),
    no_group_kept: (Table, "add_process"),
}
"""The methods that the faults take the place of; each gets the sound one first."""


def plant(patch: pytest.MonkeyPatch, fault: Fault) -> None:
    owner, name = PLACES[fault]
    sound = getattr(owner, name)
    patch.setattr(owner, name, lambda *args: fault(sound, *args))


def play(m: Machine) -> None:
    """Every kind of act once."""
    leader = m.session_leader()
    member, thread = m.fork(leader), m.fork(leader, thread=True)
    m.end(m.contain(member))
    m.run(m.kernel.exit(leader), m.kernel.execute(thread))
    m.end(thread)
    m.run(m.kernel.setpgid(member, member.thread_pid))


@pytest.mark.parametrize("fault", PLACES, ids=lambda fault: fault.__name__)
def test_a_broken_table_is_found(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    play(Machine())
    plant(monkeypatch, fault)
    with pytest.raises((AssertionError, IllegalEvent)):
        play(Machine())


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (no_free, "still in use"),
        (free_at_exit, "unknown struct pid"),
        (wrong_field, Verdict.WRONG),
        (wrong_process, Verdict.WRONG),
        (one_namespace_per_inum, Verdict.WRONG),
    ],
)
def test_the_verifier_finds_it_too(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, found: Verdict | str
) -> None:
    """What the table's own tests find is also found on a host, by comparing with /proc."""
    assert _watched_play(Watch()) == (set(), [], True)
    plant(monkeypatch, fault)
    bugs, broken, complete = _watched_play(Watch())
    assert found in (bugs if isinstance(found, Verdict) else broken[0])
    assert not complete


def _watched_play(w: Watch) -> tuple[set[Verdict], list[str], bool]:
    w.session.begin()
    leader = w.session_leader()
    w.fork(leader, thread=True)
    w.contain(leader)
    group = w.group_leader(leader)
    member = w.fork(group)
    w.end(group, w.fork())
    w.fork(member)  # its group's number is still taken, the other one comes again
    tally = w.check_all()
    bugs = {bug.verdict for bug in tally.bugs}
    return bugs, list(w.session.broken), tally.complete and not tally.bugs


# A hook that does not run


def _is_change(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is None


@with_and_without
@pytest.mark.parametrize(
    ("skip", "verdict"),
    [
        (_is_change, Verdict.WRONG),
        (lambda event: isinstance(event, PidDetached), Verdict.GHOST),
        (is_birth, Verdict.MISSING),
    ],
    ids=["change_pid", "detach_pid", "attach_pid"],
)
def test_a_silent_hook_is_found(
    new: Watch, skip: Callable[[Event], bool], verdict: Verdict, planted: bool
) -> None:
    task = new.fork()
    other = new.fork(task)
    new.session.begin()
    if planted:
        new.world.skip = skip
    new.run(new.kernel.setsid(task), new.kernel.fork(new.kernel.init))
    new.end(other)
    bugs = new.verdicts()
    assert (verdict in bugs) if planted else not bugs


@with_and_without
def test_a_silent_exchange_is_found(new: Watch, planted: bool) -> None:
    """A check of the leader's number whose reading falls into the middle of an exec."""
    leader, thread = new.survived()
    if planted:
        new.unhook(TidsExchanged)
    new.session.begin()
    read, fourth, execs = new.procfs.read_status, nth(3), []

    def reading(number: int) -> Status | None:
        # At the fourth look the reader has its task: the old leader.
        execs.append(new.meanwhile(lambda: new.run(new.kernel.execute(thread)), fourth))
        return read(number)

    new.procfs.read_status = reading  # type: ignore[method-assign]
    verdict = new.session.check(nr(leader)).verdict
    assert execs == [[True]]
    assert verdict in ([Verdict.WRONG] if planted else [Verdict.AGREE, Verdict.MOVED])


# A verifier that is too kind


def test_a_window_of_the_whole_snapshot_would_accept_what_is_stale(new: Watch) -> None:
    """A file that shows what was true before p0, judged with its own or the snapshot's window."""
    task = new.fork()
    new.session.begin()
    whole_snapshot, stale = Window(new.table, nr(task)), new.procfs.read_status(nr(task))
    new.run(new.kernel.setsid(task))
    new.session.pump(None, whole_snapshot)
    assert judge_status(Window(new.table, nr(task)), stale).verdict is Verdict.WRONG
    assert judge_status(whole_snapshot, stale).verdict is Verdict.AGREE


@with_and_without
def test_the_sessions_window_is_the_narrow_one(new: Watch, planted: bool) -> None:
    """A /proc that shows an outdated file is found, whatever happened earlier in the snapshot."""
    task = new.fork()
    new.session.begin()
    number, read = nr(task), new.procfs.read_status
    stale = read(number)
    new.meanwhile(lambda: new.run(new.kernel.setsid(task)), nth(0))  # while the files are listed
    if planted:
        new.procfs.read_status = (  # type: ignore[method-assign]
            lambda n: stale if n == number else read(n)
        )
    bugs = [(bug.number, bug.verdict) for bug in new.check_all().bugs]
    assert bugs == ([(number, Verdict.WRONG)] if planted else [])


@with_and_without
def test_without_the_fence_a_change_under_way_looks_wrong(new: Watch, planted: bool) -> None:
    task = new.fork()
    new.session.begin()
    if planted:
        new.world.fence = lambda: None  # type: ignore[method-assign]
    new.kernel.begin(new.kernel.setsid(task), until=PidAttached)  # and nothing is written yet
    verdict = new.session.check(nr(task)).verdict
    assert (verdict is Verdict.WRONG) is planted


@with_and_without
def test_without_the_fence_a_start_is_not_exact(new: Watch, planted: bool) -> None:
    task = new.fork()
    if planted:
        new.world.fence = lambda: None  # type: ignore[method-assign]
    new.kernel.begin(new.kernel.setsid(task), until=PidAttached)
    new.session.begin()
    new.kernel.settle()
    assert _is_exact(new) is not planted


def _is_exact(w: Watch) -> bool:
    return of_table(w.table, False) == of_model(w.kernel, False, midway=True)


@pytest.mark.parametrize("line", ["ns_pid", "ns_tgid", "ns_pgid", "ns_sid"])
def test_a_0_that_means_nothing_is_found(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The planted judge takes 0 for "cannot be told"."""
    m = Machine()
    task = m.session_leader()
    status, nr_at = m.watch(task)._replace(**{line: (0,)}), verdicts._nr_at
    assert judge_status(m.window, status).verdict is Verdict.WRONG

    def any_0(version: Version, observation: Any, row: Pid) -> int | None:
        return 0 if observation.seen == 0 else nr_at(version, observation, row)

    monkeypatch.setattr(verdicts, "_nr_at", any_0)
    assert judge_status(m.window, status).verdict is Verdict.AGREE


def test_numbers_out_of_the_order_of_time_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted judge takes each number alone."""
    m = Machine()
    task = m.fork()
    old, nr_at = m.watch(task), verdicts._nr_at
    m.run(m.kernel.setsid(task))
    status = old._replace(ns_pgid=old.ns_pid)  # the new PGID, but the old SID
    assert judge_status(m.window, status).verdict is Verdict.WRONG
    (history,) = m.window.histories.values()

    def any_order(version: Version, observation: Any, row: Pid) -> int | None:
        seen = {nr_at(one, observation, row) for one in history}
        return observation.seen if observation.seen in seen else nr_at(version, observation, row)

    monkeypatch.setattr(verdicts, "_nr_at", any_order)
    assert judge_status(m.window, status).verdict is not Verdict.WRONG


# A start that is too trusting


def test_a_start_that_keeps_the_rows_born_in_its_window_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expect_exact_start() -> None:
        w = Watch()
        w.meanwhile(w.fork, nth(2))
        w.expect_exact_start()

    expect_exact_start()
    of = start._Window.of
    monkeypatch.setattr(
        start._Window, "of", lambda events: dataclasses.replace(of(events), born=frozenset())
    )
    monkeypatch.setattr(session, "ATTEMPTS", 1)
    with pytest.raises(HostError, match="still in use"):
        expect_exact_start()


@with_and_without
def test_a_start_that_lists_cut_processes_once_is_found(
    monkeypatch: pytest.MonkeyPatch, new: Watch, planted: bool
) -> None:
    leader, thread = new.threaded()
    new.fork(leader, thread=True)
    new.fork(leader, thread=True)
    listing = new.procfs.threads
    if planted:
        monkeypatch.setattr(read_tasks, "cut_short", lambda number, events: False)

    def cut(number: int) -> list[int]:
        if number == nr(leader) and thread.thread_pid:
            # While the listing stands at it.
            new.meanwhile(lambda: new.run(new.kernel.exit(thread)), nth(3))
        try:
            return listing(number)
        finally:
            new.quiet()

    monkeypatch.setattr(new.procfs, "threads", cut)
    new.session.begin()
    new.session.pump()
    assert _is_exact(new) is not planted


@with_and_without
def test_a_status_that_is_denied_is_no_ghost(new: Watch, planted: bool) -> None:
    """A security module, or a hidepid= of later, refuses one file (EACCES, EPERM)."""
    task = new.fork()
    new.session.begin()
    number, read = nr(task), new.procfs.judged_status

    def reading(asked: int) -> Status | None:
        if asked == number and planted:
            raise ProcError(f"/proc/{asked}/status", 1, "", "cannot be read (Permission denied)")
        return read(asked)

    new.procfs.judged_status = reading  # type: ignore[method-assign]
    tally = new.check_all()
    assert tally.bugs == [] and tally.complete is not planted
    assert tally.counts[Verdict.UNJUDGED] == planted
    assert list(new.session.unread) == [number] * planted


def test_a_start_that_cannot_read_a_task_names_the_file(new: Watch) -> None:
    """Without its row, every later event of that task would be an illegal one."""
    number = nr(new.fork())

    def reading(asked: int) -> TaskReading | None:
        if asked == number:
            raise ProcError(f"/proc/{asked}/status", 3, "State:\t?", "not a state letter")
        return type(new.procfs).read(new.procfs, asked)

    new.procfs.read = reading  # type: ignore[method-assign]
    new.world.tasks = lambda: None  # type: ignore[method-assign]
    with pytest.raises(ProcError, match=f"/proc/{number}/status:3: not a state letter"):
        new.session.begin()
