"""Identity across a gap: nobody gets another's generation, and who stays keeps its own."""

from __future__ import annotations

import random
from typing import Callable

import pytest
from hypothesis import given, settings, strategies

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
from tests.unit.table.test_start import HIDDEN, SEEDS, Hidden, busy_world, read_all

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
        applied = len(kernel.records)
        kernel.act_at_random(rng, gap)
        for event in kernel.records[applied:]:
            table.apply(event)
        identities.take(table, kernel)
        kernel.act_at_random(rng, gap)  # unseen


@settings(max_examples=400, deadline=None)
@given(
    strategies.integers(0, 1 << 40),
    strategies.sampled_from(HIDDEN),
    strategies.sampled_from((2, 10, 40)),
)
def test_no_identity_is_ever_anothers(seed: int, hidden: Hidden, gap: int) -> None:
    live(seed, hidden, gap)


@pytest.mark.parametrize(
    ("what", "blind"),
    [
        ("_is", lambda row, old: old.task is not None),
        ("_session", lambda row, old: old.process and old.process.pgid),
        ("_session", lambda row, old: old.process and old.process.sid),
    ],
    ids=["by_number", "any_group", "any_session"],
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

    def generations(self) -> dict[int, int]:
        return {number: pid.generation for number, pid in self.table.root.pids.items()}

    def keeps(self, number: int, *unseen: Call) -> bool:
        """Whether a number is the same struct pid after these acts and a repair."""
        before = self.generations()[number]
        self.unseen(*unseen)
        self.repair()
        return self.generations()[number] == before


@pytest.fixture
def m() -> Gap:
    return Gap()


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_whoever_stays_keeps_its_generation(seed: int) -> None:
    """Else all of the above would be true of a table that gives all of them up."""
    rng = random.Random(seed)
    m = Gap()
    pids = m.kernel.init_pid_ns.allocator.pids
    for run in (m.run, m.unseen):
        before, generations = dict(pids), m.generations()
        for _ in range(60):
            run(m.kernel.random_act(rng))
    m.repair()
    for number, pid in pids.items():
        kept = m.generations()[number] == generations.get(number)
        task = pid_task(pid, PidType.PID)
        if before.get(number) is not pid:
            assert not kept
        elif task is not None and (thread_group_leader(task) or not took_its_leaders(task)):
            assert kept


def took_its_leaders(task: TaskStruct) -> bool:
    return task.start_boottime == task.group_leader.start_boottime


def test_who_is_still_there_keeps_its_generation(m: Gap) -> None:
    leader, _ = m.threaded()
    inner = m.contain(leader)
    before = m.generations()
    ordinals = {inum: ns.ordinal for inum, ns in m.table.namespaces.items()}
    assert len(set(before.values())) == 4
    m.unseen(m.kernel.setsid(inner), m.kernel.exit(leader))
    m.repair()
    assert m.generations() == before
    assert {inum: ns.ordinal for inum, ns in m.table.namespaces.items()} == ordinals


def test_a_number_born_again_in_the_gap_is_another(m: Gap) -> None:
    task = m.fork()
    number = nr(task)
    again = m.kernel.fork(m.kernel.init)
    assert not m.keeps(number, m.kernel.exit(task), m.kernel.release(task), again)
    assert m.kernel.find(number) is not task


def test_an_inum_given_out_again_in_the_gap_is_another_namespace(m: Gap) -> None:
    task = m.contain()
    number = inum(task)
    before = m.table.namespaces[number].ordinal
    m.unseen(m.kernel.exit(task), m.kernel.release(task))
    m.unseen(m.kernel.unshare(m.kernel.init), m.kernel.fork(m.kernel.init))
    m.repair()
    assert m.table.namespaces[number].ordinal > before


def test_an_exec_by_a_thread_leaves_the_process_its_generation(m: Gap) -> None:
    leader, thread = m.threaded()
    number = nr(leader)
    assert m.keeps(number, m.kernel.exit(leader), m.kernel.execute(thread))
    assert nr(thread) == number


def test_a_thread_that_took_its_leaders_start_is_not_trusted(m: Gap) -> None:
    """The old leader has the thread's number and its own start; then another thread gets both."""
    leader, first = m.survived()
    number = nr(first)
    m.begin(m.kernel.execute(first), until=PidTransferred)
    assert nr(leader) == number
    before, old = m.generations()[number], m.table.task(number)
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
    leader = m.session_leader()
    member, number = m.group_leader(leader), nr(leader)
    m.end(leader)
    return member, number


def test_a_session_without_a_leader_is_proved_by_its_members(m: Gap) -> None:
    _, number = held_session(m)
    assert m.keeps(number)
    assert m.table.root.pids[number].task is None


def test_a_session_whose_members_are_all_new_is_not(m: Gap) -> None:
    member, number = held_session(m)
    acts = m.kernel.fork(member), m.kernel.exit(member), m.kernel.release(member)
    assert not m.keeps(number, *acts)


def test_a_group_without_a_leader_is_never(m: Gap) -> None:
    leader = m.group_leader()
    m.fork(leader)
    number = nr(leader)
    m.end(leader)
    assert not m.keeps(number)


def test_ticks_prove_nothing(m: Gap) -> None:
    task = m.fork(m.kernel.init)
    found = m.kernel.procfs.read(nr(task))
    assert found is not None
    assert carry_over(m.table, rows(Snapshot((found,)), (), ROOT)).generations == {}
    assert carry_over(m.table, rows(m.seen(), (), ROOT)).generations.keys() == {1, nr(task)}
