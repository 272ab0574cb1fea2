"""The table against the reference: after every act, everything that can be asked is the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pidscope import events
from pidscope.errors import IllegalEvent
from pidscope.table.table import Table
from tests.unit.compare import expect_equal, of_table
from tests.unit.machine import Machine, nr
from tests.unit.reference import NS_PER_TICK, ROOT, Act, Kernel, Thread

PICK = st.integers(0, 1 << 30)
ZERO = events.PidNumbers((0,), ROOT)


class TableFollowsKernel(RuleBasedStateMachine):
    """Acts in any legal order, some of them cut off in the middle; illegal ones thrown in."""

    @initialize()
    def boot(self) -> None:
        self.kernel = Kernel(pid_max=24)
        self.table = Table(ROOT, NS_PER_TICK)
        self.applied = 0

    def _task(self, pick: int) -> Thread:
        tasks = self.kernel.threads()
        return tasks[pick % len(tasks)]

    def _run(self, act: Act | None) -> None:
        if act is not None:
            self.kernel.run(act)

    @rule(pick=PICK, clone_parent=st.booleans())
    def fork(self, pick: int, clone_parent: bool) -> None:
        task = self._task(pick)
        assert task.pid is not None
        if not task.exited:
            is_init = task.pid.numbers[-1] == 1
            self._run(self.kernel.fork(task, clone_parent=clone_parent and not is_init))

    @rule(pick=PICK)
    def thread(self, pick: int) -> None:
        task = self._task(pick)
        if not task.exited and task.fork_ns is None:
            self._run(self.kernel.fork(task, thread=True))

    @rule(pick=PICK)
    def fail_to_fork(self, pick: int) -> None:
        self._run(self.kernel.failed_fork(self._task(pick)))

    @rule(pick=PICK)
    def unshare(self, pick: int) -> None:
        task = self._task(pick)
        if not task.exited and task.fork_ns is None:
            self._run(self.kernel.unshare(task))
            self._run(self.kernel.fork(task))

    @rule(pick=PICK, where=PICK)
    def setns(self, pick: int, where: int) -> None:
        task = self._task(pick)
        assert task.pid is not None
        inner = [ns for ns in self.kernel.spaces if task.pid.ns in ns.chain() and ns.started]
        ns = inner[where % len(inner)]
        if not task.exited:
            self._run(self.kernel.setns(task, None if ns is task.pid.ns else ns))

    @rule(pick=PICK, where=PICK)
    def setpgid(self, pick: int, where: int) -> None:
        task = self._task(pick)
        groups = self.kernel.groups_for(task)
        if groups:
            self._run(self.kernel.setpgid(task, groups[where % len(groups)]))

    @rule(pick=PICK)
    def setsid(self, pick: int) -> None:
        task = self._task(pick)
        if self.kernel.may_setsid(task):
            self._run(self.kernel.setsid(task))

    @rule(pick=PICK)
    def exit(self, pick: int) -> None:
        task = self._task(pick)
        if not task.exited and task is not self.kernel.init:
            self._run(self.kernel.exit(task))

    @precondition(lambda self: any(map(self.kernel.may_release, self.kernel.threads())))
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        ready = [task for task in self.kernel.threads() if self.kernel.may_release(task)]
        self._run(self.kernel.release(ready[pick % len(ready)]))

    @rule(pick=PICK)
    def execute(self, pick: int) -> None:
        """An exec by a thread: everybody else ends, then the two are exchanged."""
        task = self._task(pick)
        if task.exited or task.process is self.kernel.init.process:
            return
        for other in list(task.process.threads):
            if other is not task and not other.exited:
                self._run(self.kernel.exit(other))
            if other is not task and not other.leads:
                self._run(self.kernel.release(other))
        if self.kernel.may_exchange(task):
            self._run(self.kernel.exchange(task))
        self._run(self.kernel.execute(task))

    @rule(pick=PICK)
    def number_picker(self, pick: int) -> None:
        """Numbers come again at once, or late, or anyhow."""
        rng = random.Random(pick)
        self.kernel.pick_number = (min, max, rng.choice)[pick % 3]

    @rule(pick=PICK)
    def illegal(self, pick: int) -> None:
        expect_refused(self.table, _illegal(self.kernel, self._task(pick), pick))

    @invariant()
    def same(self) -> None:
        for event in self.kernel.records[self.applied :]:
            self.table.apply(event)
        self.applied = len(self.kernel.records)
        expect_equal(self.table, self.kernel)

    def teardown(self) -> None:
        """When everybody has gone nothing is left."""
        for _ in range(3 * len(self.kernel.threads())):
            for task in self.kernel.threads():
                if not task.exited and task is not self.kernel.init:
                    self.kernel.run(self.kernel.exit(task))
                if self.kernel.may_release(task):
                    self.kernel.run(self.kernel.release(task))
        self.same()
        init = self.kernel.init
        assert [task for task in self.kernel.threads() if task.process is not init.process] == []
        init.exited = True
        self.table.apply(events.PidDetached(0, 0, 1, 1, 0))
        assert list(self.table.namespaces) == [ROOT]
        assert self.table.root.pids == {}
        assert not self.table.init_struct_pid.groups
        assert not self.table.init_struct_pid.sessions


TestTableFollowsKernel = TableFollowsKernel.TestCase
TestTableFollowsKernel.settings = settings(max_examples=300, stateful_step_count=60)


NOBODY = events.PidNumbers((999_999,), ROOT)


def _stranger(pid: events.PidNumbers = NOBODY, nr: int = 999_999, **facts: Any) -> events.Event:
    """The birth of a task that is not known, with other facts."""
    birth = events.Birth(999_999, 1, 0, b"x", 0, ZERO, ZERO)._replace(**facts)
    return events.PidAttached(0, 1, nr, events.PidType.PID, pid, birth)


def _illegal(kernel: Kernel, task: Thread, pick: int) -> events.Event:
    """An event that cannot come now."""
    assert task.pid is not None
    nr, names = task.pid.nr, task.pid.names()
    tgid = task.process.pids[events.PidType.TGID]
    leads = task.leads and len(task.process.threads) > 1
    somebody = kernel.init.pid
    assert tgid is not None and somebody is not None
    return (
        _stranger(names, nr, tgid=nr),
        _stranger(tgid=888_888),
        _stranger(pgid=NOBODY),
        _stranger(ppid=888_888),
        _stranger(events.PidNumbers((999_999, 2), 4711)),
        _stranger(events.PidNumbers((999_999,), 4711)),
        _stranger(_taken(kernel, pick)),
        events.PidAttached(0, nr, nr, events.PidType.PGID, NOBODY),
        events.PidAttached(0, nr, nr, events.PidType.PID, names),
        events.PidAttached(
            0, nr, nr, events.PidType.SID, events.PidNumbers((*names.numbers, 7), names.ns)
        ),
        events.PidAttached(0, nr, nr, events.PidType.SID, events.PidNumbers(names.numbers, 4711)),
        events.PidAttached(0, 1, 999_999, events.PidType.PGID, names),
        events.PidDetached(0, 1, 999_999, 999_999, 0),
        events.PidDetached(0, 1, nr, nr, 0)
        if leads
        else events.PidDetached(0, 1, 999_999, 999_999, 0),
        events.TidsExchanged(0, 1, nr, 999_999, 0, 0),
        events.TidsExchanged(0, 1, tgid.nr, nr, 0, 0)
        if not task.leads
        else events.TidsExchanged(0, 1, 999_999, nr, 0, 0),
        events.TidsExchanged(0, 1, somebody.nr, nr, 0, 0)
        if task.process is not kernel.init.process
        else events.TidsExchanged(0, 1, 999_998, nr, 0, 0),
    )[pick % 17]


def _taken(kernel: Kernel, pick: int) -> events.PidNumbers:
    """A new number in the initial namespace, one in use (or no namespace) in an inner one."""
    inner = [ns for ns in kernel.spaces if ns.level and any(p.used for p in ns.idr.values())]
    if not inner:
        return events.PidNumbers((999_999, 5), 4711)
    ns = inner[pick % len(inner)]
    pid = next(p for p in ns.idr.values() if p.used)
    numbers = [number for number in pid.numbers[: ns.level + 1]]
    return events.PidNumbers((999_999, *numbers[1:]), ns.inum)


def expect_refused(table: Table, event: events.Event) -> None:
    """The table says no, and is as it was."""
    before, generation = of_table(table), table.generation
    with pytest.raises(IllegalEvent):
        table.apply(event)
    assert of_table(table) == before, event
    assert table.generation == generation


# The rules one by one: a machine of a few acts, and what must hold after them.


def test_a_number_stays_taken_while_its_group_lives() -> None:
    m = Machine()
    leader = m.fork(m.kernel.init)
    number = nr(leader)
    m.run(m.kernel.setpgid(leader, leader.pid))
    member = m.fork(leader)
    m.end(leader)
    assert [pid.nr for pid in m.table.held()] == [number]
    assert m.table.task(number) is None
    birth = events.Birth(number, 1, 0, b"", 0, ZERO, ZERO)
    names = events.PidNumbers((number,), ROOT)
    expect_refused(m.table, events.PidAttached(0, 1, number, events.PidType.PID, names, birth))
    m.run(m.kernel.setpgid(member, member.pid))
    assert number not in m.table.root.pids
    again = m.fork(m.kernel.init)
    assert nr(again) == number


def test_a_session_holds_its_number_too() -> None:
    m = Machine()
    leader = m.fork(m.kernel.init)
    number = nr(leader)
    m.run(m.kernel.setsid(leader))
    member = m.fork(leader)
    m.run(m.kernel.setpgid(member, member.pid))
    m.end(leader)
    assert [pid.nr for pid in m.table.held()] == [number]
    m.end(member)
    assert number not in m.table.root.pids


def test_a_group_shallower_than_its_member_prints_0_inside() -> None:
    m = Machine()
    outside = m.fork(m.kernel.init)
    m.run(m.kernel.setpgid(outside, outside.pid))
    inner = m.contain(outside)
    task = m.table.task(nr(inner))
    assert task is not None and task.pid is not None and task.group.pgid is not None
    assert task.pid.numbers[1] == 1
    assert task.group.pgid.nr_in(m.table.root) == nr(outside)
    assert task.group.pgid.nr_in(task.pid.ns) == 0


def test_a_group_deeper_than_its_member_keeps_its_inner_number() -> None:
    m = Machine()
    outside = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(outside))
    inner = m.contain(outside)
    m.run(m.kernel.setpgid(inner, inner.pid))
    guest = m.fork(outside)
    m.run(m.kernel.setpgid(guest, inner.pid))
    m.end(inner)
    (held,) = m.table.held()
    assert held.numbers[1] == 1
    assert held.ns.pids == {1: held}
    m.end(guest)
    assert list(m.table.namespaces) == [ROOT]


def test_a_group_of_another_namespace_prints_0_at_its_level() -> None:
    m = Machine()
    outside = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(outside))
    inner = m.contain(outside)
    m.run(m.kernel.setpgid(inner, inner.pid))
    guest = m.fork(outside)
    m.run(m.kernel.setpgid(guest, inner.pid))
    elsewhere = m.contain(guest)
    task = m.table.task(nr(elsewhere))
    assert task is not None and task.pid is not None and task.group.pgid is not None
    assert task.group.pgid.numbers == (nr(inner), 1)
    assert task.group.pgid.nr_in(task.pid.ns) == 0


def test_group_and_session_0_are_init_struct_pid() -> None:
    m = Machine()
    task = m.table.task(1)
    assert task is not None
    assert task.group.pgid is task.group.sid is m.table.init_struct_pid
    assert 0 not in m.table.root.pids


def test_number_1_makes_a_namespace_and_its_end_ends_it() -> None:
    m = Machine()
    outer = m.contain(m.kernel.init)
    inner = m.contain(outer)
    assert outer.pid is not None and inner.pid is not None
    ns = m.table.namespaces[inner.pid.ns.inum]
    assert (ns.level, ns.parent) == (2, m.table.namespaces[outer.pid.ns.inum])
    assert inner.pid.numbers[1:] == (2, 1)
    m.end(inner)
    m.end(outer)
    assert list(m.table.namespaces) == [ROOT]


def test_a_reused_inum_is_another_namespace() -> None:
    m = Machine()
    first = m.contain(m.kernel.init)
    assert first.pid is not None
    inum = first.pid.ns.inum
    before = m.table.namespaces[inum]
    m.end(first)
    second = m.contain(m.kernel.init)
    assert second.pid is not None and second.pid.ns.inum == inum
    after = m.table.namespaces[inum]
    assert after is not before and after.ordinal > before.ordinal


def test_a_reused_number_is_another_struct_pid() -> None:
    m = Machine()
    first = m.fork(m.kernel.init)
    before = m.table.root.pids[nr(first)]
    m.end(first)
    second = m.fork(m.kernel.init)
    after = m.table.root.pids[nr(second)]
    assert (before.nr, before.generation) != (after.nr, after.generation)
    assert before.nr == after.nr


def test_an_exchange_swaps_tasks_and_leaves_the_rows() -> None:
    m = Machine()
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    rows = m.table.root.pids[nr(leader)], m.table.root.pids[nr(thread)]
    tasks = m.table.task(nr(leader)), m.table.task(nr(thread))
    m.run(m.kernel.exit(leader), m.kernel.exchange(thread))
    assert (rows[0].task, rows[1].task) == (tasks[1], tasks[0])
    m.run(m.kernel.release(leader))
    assert rows[1].nr not in m.table.root.pids
    assert rows[0].task is tasks[1]


def test_threads_share_what_their_process_has() -> None:
    m = Machine()
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    m.run(m.kernel.setsid(leader))
    task = m.table.task(nr(thread))
    assert task is not None and task.group.sid is m.table.root.pids[nr(leader)]


@pytest.mark.parametrize("cut", range(17))
def test_each_kind_of_illegal_event_is_refused(cut: int) -> None:
    m = Machine()
    leader = m.fork(m.kernel.init)
    m.fork(leader, thread=True)
    inner = m.contain(leader)
    for task in (leader, inner):
        expect_refused(m.table, _illegal(m.kernel, task, cut))


def test_a_repair_uses_no_generation_and_no_ordinal_again() -> None:
    m = Machine()
    m.contain(m.kernel.init)
    after = Table(ROOT, NS_PER_TICK, m.table)
    assert after.generation > max(pid.generation for pid in m.table.root.pids.values())
    made = after.add_namespace(4026532000, after.root, 1)
    assert made.ordinal > m.table.namespaces[4026532000].ordinal
