"""Identity across a gap: nobody gets another's generation, and who stays keeps its own."""

from __future__ import annotations

import random
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pidscope.table.carry_over as carry_over_module
from pidscope.events import PidTransferred, PidType
from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid as Truth
from pidscope.model.pid import pid_task
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct, thread_group_leader
from pidscope.simulated.iterator import iterate
from pidscope.snapshot import Snapshot
from pidscope.table.carry_over import carry_over
from pidscope.table.pid import Pid
from pidscope.table.snapshot_rows import Row, rows
from pidscope.table.start import start
from pidscope.table.table import Table
from tests.unit.compare import expect_equal
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT, Call, undisturbed
from tests.unit.table.test_start import HIDDEN, Hidden, busy_world, read_all

GAPS = 3


class Mistaken(Exception):
    """One identity, two struct pids or namespaces."""


class Identities:
    """Which struct pid and which namespace of the model each identity was so far."""

    def __init__(self) -> None:
        self.pids: dict[tuple[int, int], Truth] = {}
        self.spaces: dict[tuple[int, int], PidNamespace] = {}

    def take(self, table: Table, kernel: Kernel) -> None:
        for pid in table.root.pids.values():
            truth = kernel.init_pid_ns.allocator.pids[pid.nr]
            inner = truth.numbers[-1].ns
            known = self.pids.setdefault((pid.nr, pid.generation), truth)
            name = (pid.ns.inum, pid.ns.ordinal)
            space = inner if pid.partial else self.spaces.setdefault(name, inner)
            if (known, space) != (truth, inner):  # the whole machine is no help in a message
                raise Mistaken(f"{pid!r} in {pid.ns!r}")


def live(seed: int, hidden: Hidden, gap: int) -> None:
    """Starts and gaps in turn, under activity."""
    rng = random.Random(seed)
    world = busy_world(rng)
    kernel = world.kernel
    identities = Identities()
    table: Table | None = None
    for _ in range(GAPS):
        snapshot, window = read_all(world, rng, rng.choice((0.1, 0.3)), hidden)
        table = start(snapshot, window, ROOT, NS_PER_TICK, table)
        expect_equal(table, kernel, partial=True, midway=kernel.act is not None)
        identities.take(table, kernel)
        for told in (True, False):
            applied = len(kernel.records)
            kernel.act_at_random(rng, gap)
            for event in kernel.records[applied:] if told else ():
                table.apply(event)
            if told:
                identities.take(table, kernel)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(HIDDEN), st.sampled_from((2, 10, 40)))
def test_no_identity_is_ever_anothers(seed: int, hidden: Hidden, gap: int) -> None:
    live(seed, hidden, gap)


def by_number(row: Row, old: Pid) -> bool:
    return old.task is not None


def any_group(row: Row, old: Pid) -> Pid | None:
    return old.process.pgid if old.process is not None else None


def any_session(row: Row, old: Pid) -> Pid | None:
    return old.process.sid if old.process is not None else None


@pytest.mark.parametrize(
    "what, blind", [("_is", by_number), ("_session", any_group), ("_session", any_session)]
)
def test_without_its_conditions_it_is_mistaken(
    monkeypatch: pytest.MonkeyPatch, what: str, blind: Callable[[Row, Pid], object]
) -> None:
    monkeypatch.setattr(carry_over_module, what, blind)
    with pytest.raises(Mistaken):
        for seed in range(300):
            live(seed, frozenset(), 40)


# One by one


class Gap(Machine):
    """A machine whose table was started by the iterator, and loses what is done in `unseen`."""

    def __init__(self) -> None:
        super().__init__()
        self.repair()

    def repair(self) -> None:
        self.table = start(self.seen(), [], ROOT, NS_PER_TICK, self.table)
        self._applied = len(self.kernel.records)
        expect_equal(self.table, self.kernel)

    def seen(self) -> Snapshot:
        return Snapshot((), {}, tuple(undisturbed(iterate(self.kernel))))

    def unseen(self, *acts: Call) -> None:
        self.kernel.run(*acts)

    def generation(self, number: int) -> int:
        return self.table.root.pids[number].generation


@pytest.fixture
def m() -> Gap:
    return Gap()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 40))
def test_whoever_stays_keeps_its_generation(seed: int) -> None:
    """Else all of the above would be true of a table that gives all of them up."""
    rng = random.Random(seed)
    m = Gap()
    pids = m.kernel.init_pid_ns.allocator.pids
    for told in (True, False):
        before = {number: (pid, m.generation(number)) for number, pid in pids.items()}
        for _ in range(60):
            (m.run if told else m.unseen)(m.kernel.random_act(rng))
    m.repair()
    for number, pid in pids.items():
        stayed = number in before and before[number][0] is pid
        task = pid_task(pid, PidType.PID)
        if not stayed:
            assert number not in before or m.generation(number) != before[number][1]
        elif task is not None and (thread_group_leader(task) or not took_its_leaders(task)):
            assert m.generation(number) == before[number][1]


def took_its_leaders(task: TaskStruct) -> bool:
    return task.start_boottime == task.group_leader.start_boottime


def test_who_is_still_there_keeps_its_generation(m: Gap) -> None:
    leader = m.fork(m.kernel.init)
    m.fork(leader, thread=True)
    inner = m.contain(leader)
    before = {number: pid.generation for number, pid in m.table.root.pids.items()}
    ordinals = {inum: ns.ordinal for inum, ns in m.table.namespaces.items()}
    assert len(set(before.values())) == 4
    m.unseen(m.kernel.setsid(inner), m.kernel.exit(leader))
    m.repair()
    assert {number: pid.generation for number, pid in m.table.root.pids.items()} == before
    assert {inum: ns.ordinal for inum, ns in m.table.namespaces.items()} == ordinals


def test_a_number_born_again_in_the_gap_is_another(m: Gap) -> None:
    task = m.fork(m.kernel.init)
    number, before = nr(task), m.generation(nr(task))
    m.unseen(m.kernel.exit(task), m.kernel.release(task), m.kernel.fork(m.kernel.init))
    assert m.kernel.find(number) is not task
    m.repair()
    assert m.generation(number) != before


def test_an_inum_given_out_again_in_the_gap_is_another_namespace(m: Gap) -> None:
    task = m.contain(m.kernel.init)
    number = inum(task)
    before = m.table.namespaces[number].ordinal
    m.unseen(m.kernel.exit(task), m.kernel.release(task))
    m.unseen(m.kernel.unshare(m.kernel.init), m.kernel.fork(m.kernel.init))
    m.repair()
    assert m.table.namespaces[number].ordinal > before


def test_an_exec_by_a_thread_leaves_the_process_its_generation(m: Gap) -> None:
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    number, before = nr(leader), m.generation(nr(leader))
    m.unseen(m.kernel.exit(leader), m.kernel.execute(thread))
    m.repair()
    assert m.generation(number) == before and nr(thread) == number


def test_a_thread_that_took_its_leaders_start_is_not_trusted(m: Gap) -> None:
    """The old leader has the thread's number and its own start; then another thread gets both."""
    leader = m.fork(m.kernel.init)
    first = m.fork(leader, thread=True)
    number = nr(first)
    m.run(m.kernel.exit(leader))
    m.kernel.begin(m.kernel.execute(first), until=PidTransferred)
    m.follow()
    assert nr(leader) == number
    before, old = m.generation(number), m.table.task(number)
    m.unseen(m.kernel.fork(first, thread=True))  # once the leader is released
    second = m.kernel.find(number)
    m.unseen(m.kernel.exit(first))
    m.kernel.begin(m.kernel.execute(second))
    while old is None or second.start_boottime != old.start_ns:
        m.kernel.step()  # until its start is its leader's, and no record tells
    table = start(m.seen(), [], ROOT, NS_PER_TICK, m.table)
    assert table.root.pids[number].generation != before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry_over_module, "_touched", lambda row, leader: False)
        mistaken = start(m.seen(), [], ROOT, NS_PER_TICK, m.table)
    assert mistaken.root.pids[number].generation == before


def held_session(m: Gap) -> tuple[TaskStruct, int]:
    """A member of a session without a leader, in a group of its own, and the session's number."""
    leader = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(leader))
    member = m.fork(leader)
    m.run(m.kernel.setpgid(member, member.thread_pid))
    number = nr(leader)
    m.end(leader)
    return member, number


def test_a_session_without_a_leader_is_proved_by_its_members(m: Gap) -> None:
    _, number = held_session(m)
    before = m.generation(number)
    m.repair()
    assert m.table.root.pids[number].task is None
    assert m.generation(number) == before


def test_a_session_whose_members_are_all_new_is_not(m: Gap) -> None:
    member, number = held_session(m)
    before = m.generation(number)
    m.unseen(m.kernel.fork(member), m.kernel.exit(member), m.kernel.release(member))
    m.repair()
    assert m.generation(number) != before


def test_a_group_without_a_leader_is_never(m: Gap) -> None:
    leader = m.fork(m.kernel.init)
    m.run(m.kernel.setpgid(leader, leader.thread_pid))
    m.fork(leader)
    number, before = nr(leader), m.generation(nr(leader))
    m.end(leader)
    m.repair()
    assert m.generation(number) != before


def test_ticks_prove_nothing(m: Gap) -> None:
    task = m.fork(m.kernel.init)
    found = m.kernel.procfs.read(nr(task))
    assert found is not None
    assert carry_over(m.table, rows(Snapshot((found,)), (), ROOT)).generations == {}
    assert carry_over(m.table, rows(m.seen(), (), ROOT)).generations.keys() == {1, nr(task)}
