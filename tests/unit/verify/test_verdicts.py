"""The verdicts: each one by hand, then at random: never a bug for a true reading, always for a lie.

By hand: a machine, a window opened on one number, acts that the table follows meanwhile, and the
file as it would be printed.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pidscope.events import PidTransferred
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.snapshot import Status
from pidscope.table.table import Table
from pidscope.verify.verdicts import BUGS, Tally, Verdict, Window, judge_stable, judge_status
from tests.unit.acting import numbers
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT, Call, SteppedKernel
from tests.unit.table.test_start import busy_world


class Watched(Machine):
    """A machine whose acts are also told to an open window."""

    window: Window | None = None

    def watch(self, task_or_nr: TaskStruct | int) -> None:
        number = task_or_nr if isinstance(task_or_nr, int) else nr(task_or_nr)
        self.window = Window(self.table, number)

    def follow(self) -> None:
        for event in self.kernel.records[self._applied :]:
            self.table.apply(event)
            if self.window is not None:
                self.window.applied(event)
        self._applied = len(self.kernel.records)

    def begin(self, act: Call, until: type) -> None:
        self.kernel.begin(act, until)
        self.follow()

    def print(self, task_or_nr: TaskStruct | int) -> Status:
        number = task_or_nr if isinstance(task_or_nr, int) else nr(task_or_nr)
        status = self.kernel.procfs.read_status(number)
        assert status is not None
        return status

    def judge(self, status: Status | None) -> tuple[Verdict, str]:
        assert self.window is not None
        judgement = judge_status(self.window, status)
        assert judgement.number == self.window.number
        return judgement.verdict, judgement.reason

    def stable(self, **changed: Any) -> tuple[Verdict, str]:
        """Judge what the first task in view has now, with something changed."""
        assert self.window is not None
        task = self.kernel.find(self.window.number)
        facts = {
            "ppid": task.real_parent.tgid,
            "start_ticks": task.start_boottime // NS_PER_TICK,
            "ns": inum(task),
            **changed,
        }
        judgement = judge_stable(self.window, **facts)
        return judgement.verdict, judgement.reason


@pytest.fixture
def m() -> Watched:
    return Watched()


AGREE, MOVED, WRONG = (Verdict.AGREE, ""), (Verdict.MOVED, ""), Verdict.WRONG


def test_agree(m: Watched) -> None:
    task = m.fork(m.kernel.init)
    m.watch(task)
    assert m.judge(m.print(task)) == AGREE


def test_moved_only_through_a_change_in_the_window(m: Watched) -> None:
    task = m.fork(m.kernel.init)
    before = m.print(task)
    m.watch(task)
    m.run(m.kernel.setpgid(task, task.thread_pid))
    assert m.judge(m.print(task)) == MOVED
    assert m.judge(before) == AGREE
    m.watch(task)  # the change now lies before p0: what was true then is stale
    assert m.judge(before) == (WRONG, "NSpgid at level 0")


def test_held_gone_missing_ghost(m: Watched) -> None:
    leader = m.fork(m.kernel.init)
    number = nr(leader)
    m.run(m.kernel.setpgid(leader, leader.thread_pid))
    status = m.print(leader)
    m.fork(leader)
    m.watch(number)
    assert m.judge(None) == (Verdict.GHOST, "in the table, not in /proc")
    m.end(leader)
    assert m.judge(None)[0] is Verdict.GONE  # released in the window, though held by now
    m.watch(number)
    assert m.judge(None) == (Verdict.HELD, "")
    assert m.judge(status)[0] is Verdict.MISSING
    m.watch(777)
    assert m.judge(None) == (Verdict.GONE, "")
    assert m.judge(status)[0] is Verdict.MISSING


def test_born_in_the_window_may_be_seen_or_not(m: Watched) -> None:
    number = nr(m.fork(m.kernel.init)) + 1
    m.watch(number)
    task = m.fork(m.kernel.init)
    assert nr(task) == number
    assert m.judge(None) == (Verdict.GONE, "")
    assert m.judge(m.print(task)) == AGREE


@pytest.mark.parametrize("line", ["ns_tgid", "ns_pid", "ns_pgid", "ns_sid", "tgid", "pid"])
@pytest.mark.parametrize("value", [0, 4711])
def test_each_number_is_judged(m: Watched, line: str, value: int) -> None:
    task = m.contain(m.kernel.init)
    m.run(m.kernel.setsid(task))
    m.watch(task)
    status = m.print(task)
    if not line.startswith("ns_"):
        assert m.judge(status._replace(**{line: value}))[0] is WRONG
        return
    for level in range(2):
        numbers = list(getattr(status, line))
        numbers[level] = value
        verdict, reason = m.judge(status._replace(**{line: tuple(numbers)}))
        assert verdict is WRONG
        assert reason.lower() == f"{line.replace('_', '')} at level {level}"


def test_a_level_too_many_or_too_few_is_wrong(m: Watched) -> None:
    task = m.contain(m.kernel.init)
    m.watch(task)
    status = m.print(task)
    for cut in (
        status._replace(ns_tgid=status.ns_tgid[:1]),
        status._replace(ns_sid=(*status.ns_sid, 0)),
        status._replace(**{name: (1,) for name in ("ns_tgid", "ns_pid", "ns_pgid", "ns_sid")}),
    ):
        assert m.judge(cut) == (WRONG, "level")


def _alternating(m: Watched) -> tuple[Status, int, int]:
    """A task two levels deep that joins two groups in turn within the window, twice."""
    task = m.contain(m.contain(m.kernel.init))
    m.run(m.kernel.setsid(task))
    a, b = m.fork(task), m.fork(task)
    assert numbers(a)[1:] == (3, 2)
    m.run(m.kernel.setpgid(a, a.thread_pid), m.kernel.setpgid(b, b.thread_pid))
    m.watch(b)
    m.run(m.kernel.setpgid(b, a.thread_pid))
    return m.print(b), nr(a), nr(b)


def test_torn_lines_must_be_in_the_order_of_time(m: Watched) -> None:
    status, a, b = _alternating(m)
    old, new = (b, 4, 3), (a, 3, 2)
    torn = {
        (old[0], old[1], old[2]): AGREE,
        (old[0], old[1], new[2]): MOVED,
        (old[0], new[1], new[2]): MOVED,
        (new[0], new[1], new[2]): MOVED,
        (new[0], old[1], new[2]): (WRONG, "NSpgid at level 1"),
        (new[0], new[1], old[2]): (WRONG, "NSpgid at level 2"),
        (old[0], new[1], old[2]): (WRONG, "NSpgid at level 2"),
    }
    for printed, expected in torn.items():
        assert m.judge(status._replace(ns_pgid=printed)) == expected


def test_back_and_forth_is_three_versions(m: Watched) -> None:
    status, a, b = _alternating(m)
    task = m.kernel.find(b)
    m.run(m.kernel.setpgid(task, task.thread_pid))
    assert m.judge(status._replace(ns_pgid=(b, 3, 3))) == MOVED  # old, new, old again
    m.run(m.kernel.setpgid(task, m.kernel.find(a).thread_pid))
    assert m.judge(status._replace(ns_pgid=(a, 4, 2))) == MOVED
    assert m.judge(status._replace(ns_pgid=(a, 4, 5)))[0] is WRONG


def test_order_counts_from_line_to_line(m: Watched) -> None:
    """setsid sets SID before PGID: with the new PGID the old SID cannot be printed."""
    task = m.fork(m.kernel.init)
    old = m.print(task)
    m.watch(task)
    m.run(m.kernel.setsid(task))
    new = m.print(task)
    assert m.judge(old._replace(ns_sid=new.ns_sid)) == MOVED
    assert m.judge(new._replace(ns_sid=old.ns_sid)) == (WRONG, "NSsid at level 0")


def test_a_released_leader_loses_pid_then_the_rest(m: Watched) -> None:
    task = m.contain(m.kernel.init)
    m.run(m.kernel.setsid(task))
    full = m.print(task)
    m.watch(task)
    assert m.judge(full._replace(ns_sid=(0, 0)))[0] is WRONG  # nobody was released yet
    m.end(task)
    zero = (0, 0)
    for good in (
        full._replace(ns_pid=zero),
        full._replace(ns_pid=(full.pid, 0)),
        full._replace(ns_pid=zero, ns_pgid=zero, ns_sid=zero),
        full._replace(ns_pid=zero, ns_pgid=zero),  # between PGID and SID
        full._replace(ns_sid=(full.ns_sid[0], 0)),
        full._replace(tgid=0, ns_tgid=zero, ns_pid=zero, ns_pgid=zero, ns_sid=zero),
    ):
        assert m.judge(good) == MOVED
    for bad in (
        full._replace(ns_tgid=zero),  # TGID goes after PID
        full._replace(ns_pid=(0, 1)),
        full._replace(tgid=0),
    ):
        assert m.judge(bad)[0] is WRONG


def test_a_released_thread_keeps_what_its_process_has(m: Watched) -> None:
    leader = m.fork(m.kernel.init)
    m.run(m.kernel.setsid(leader))
    thread = m.fork(leader, thread=True)
    full = m.print(thread)
    m.watch(thread)
    m.end(thread)
    assert m.judge(full._replace(ns_pid=(0,))) == MOVED
    assert m.judge(full._replace(ns_sid=(0,)))[0] is WRONG
    assert m.judge(full._replace(ns_pgid=(0,), ns_pid=(0,)))[0] is WRONG


def _exec(m: Watched) -> tuple[TaskStruct, TaskStruct]:
    leader = m.fork(m.kernel.init)
    thread = m.fork(leader, thread=True)
    m.run(m.kernel.exit(leader))
    return leader, thread


def test_an_exchange_makes_both_tasks_admissible(m: Watched) -> None:
    leader, thread = _exec(m)
    number, other = nr(leader), nr(thread)
    full = m.print(leader)
    m.watch(number)
    swapped = full._replace(ns_pid=(other,))
    assert m.judge(swapped) == (WRONG, "NSpid at level 0")
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    assert m.judge(full) == AGREE
    assert m.judge(swapped)[0] in (Verdict.AGREE, Verdict.MOVED)
    assert m.judge(full._replace(ns_pid=(0,)))[0] is WRONG
    assert m.judge(full._replace(ns_pid=(other + 1,)))[0] is WRONG
    of_the_other = (Verdict.UNJUDGED, "the other's of an exchange")
    assert m.judge(full._replace(pid=other)) == of_the_other  # of the inode, never of the task
    assert m.judge(full._replace(pid=other + 1)) == (WRONG, "Pid")
    assert m.judge(None) == of_the_other  # that inode's task may be released by then
    m.kernel.finish()
    m.follow()
    assert m.judge(full._replace(ns_pid=(0,))) == MOVED  # a reader that was with the old leader
    m.watch(number)
    assert m.judge(swapped)[0] is WRONG
    assert m.judge(full._replace(pid=other)) == (WRONG, "Pid")


def test_a_reader_within_an_exchange_may_see_both_numbers(m: Watched) -> None:
    """By the leader's number: the old leader, or already the other task with its old number."""
    inner = m.contain(m.kernel.init)
    leader = m.fork(inner)
    thread = m.fork(leader, thread=True)
    m.run(m.kernel.exit(leader))
    (a0, a1), (b0, b1) = numbers(leader), numbers(thread)
    full = m.print(a0)
    m.watch(a0)
    torn = [(a0, a1), (b0, b1), (a0, b1), (b0, a1)]
    found = [m.judge(full._replace(ns_pid=pair))[0] for pair in torn]
    assert found == [Verdict.AGREE, WRONG, WRONG, WRONG]
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    found = [m.judge(full._replace(ns_pid=pair))[0] for pair in torn]
    assert not BUGS & {*found}
    m.watch(a0)
    found = [m.judge(full._replace(ns_pid=pair))[0] for pair in torn]
    assert found == [Verdict.AGREE, WRONG, WRONG, WRONG]


def test_a_number_born_again_is_never_mixed_with_its_first_life(m: Watched) -> None:
    m.run(m.kernel.setsid(m.kernel.init))
    first = m.fork(m.kernel.init)
    number = nr(first)
    m.run(m.kernel.setsid(first))
    old = m.print(first)
    m.watch(number)
    m.end(first)
    second = m.fork(m.kernel.init)
    new = m.print(second)
    assert nr(second) == number and old.ns_sid != new.ns_sid and old.ns_pgid != new.ns_pgid
    assert m.judge(old) == AGREE
    assert m.judge(new) == AGREE
    assert m.judge(old._replace(ns_sid=(77,)))[0] is WRONG
    mixed = new._replace(ns_sid=old.ns_sid)
    assert m.judge(mixed)[0] is WRONG
    assert m.judge(new._replace(ns_pid=(0,)))[0] is WRONG  # the second one is alive


def test_a_partial_group_is_not_judged() -> None:
    m = Watched()
    outside = m.fork(m.kernel.init)
    m.run(m.kernel.setpgid(outside, outside.thread_pid))
    member = m.fork(outside)
    m.end(outside)
    (held,) = m.table.held()
    inner = m.contain(member)
    m.watch(inner)
    status = m.print(inner)
    assert m.judge(status) == AGREE
    held.outside = ()
    assert m.judge(status)[0] is Verdict.UNJUDGED
    assert m.judge(status._replace(ns_pgid=(4711, 0)))[0] is WRONG  # that much is known


def test_start_ticks_are_rounded_down_and_judged(m: Watched) -> None:
    task = m.fork(m.kernel.init)
    ticks = task.start_boottime // NS_PER_TICK
    assert task.start_boottime % NS_PER_TICK
    m.watch(task)
    assert m.stable() == AGREE
    assert m.stable(start_ticks=None, ns=None) == AGREE
    for other in (ticks - 1, ticks + 1, 0):
        assert m.stable(start_ticks=other) == (WRONG, "start ticks")


def test_start_ticks_of_a_thread_that_execs_may_be_either(m: Watched) -> None:
    """de_thread() gives it its leader's start; stat may have been read before or after."""
    leader, thread = _exec(m)
    before, after = thread.start_boottime // NS_PER_TICK, leader.start_boottime // NS_PER_TICK
    number = nr(thread)
    assert before > after
    m.watch(number)
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    assert m.stable(start_ticks=before) == AGREE
    assert m.stable(start_ticks=after) == AGREE
    assert m.stable(start_ticks=after - 1) == (WRONG, "start ticks")
    m.watch(number)
    assert m.stable(start_ticks=before) == (WRONG, "start ticks")


def test_the_namespace_is_judged(m: Watched) -> None:
    task = m.contain(m.kernel.init)
    m.watch(task)
    assert m.stable() == AGREE
    assert m.stable(ns=ROOT) == (WRONG, "ns/pid")


def test_ppid_is_judged_while_the_parent_must_have_stayed(m: Watched) -> None:
    parent = m.fork(m.kernel.init)
    child = m.fork(parent)
    m.watch(child)
    assert m.stable() == AGREE
    assert m.stable(ppid=1) == (WRONG, "PPid")
    m.run(m.kernel.exit(parent))
    assert m.stable() == AGREE
    assert m.stable(ppid=4711) == AGREE  # nothing is said of it any more


def test_ppid_of_clone_parent_is_not_judged(m: Watched) -> None:
    """The parent was not the one that forked, so it may have been exiting all along."""
    parent = m.fork(m.kernel.init)
    forker = m.fork(parent)
    child = m.fork(forker, clone_parent=True)
    m.watch(child)
    assert m.stable() == AGREE
    assert m.stable(ppid=1) == AGREE


def test_ppid_0_comes_with_a_release_only(m: Watched) -> None:
    parent = m.fork(m.kernel.init)
    child = m.fork(parent)
    m.watch(child)
    assert m.stable(ppid=0) == (WRONG, "PPid")
    number = nr(child)
    m.end(child)
    assert m.window is not None
    assert judge_stable(m.window, 0, None, None).verdict is Verdict.AGREE
    assert m.window.number == number


def test_the_tally_counts_comparisons_and_keeps_bugs(m: Watched) -> None:
    tally = Tally()
    task = m.fork(m.kernel.init)
    for number in (nr(task), 777):
        m.watch(number)
        assert m.window is not None
        tally.add(judge_status(m.window, m.print(task) if number != 777 else None))
    assert (tally.compared, tally.counts[Verdict.AGREE], tally.counts[Verdict.GONE]) == (1, 1, 1)
    assert not tally.good
    tally.complete = True
    assert tally.good
    m.watch(task)
    assert m.window is not None
    tally.add(judge_status(m.window, None))
    assert [bug.verdict for bug in tally.bugs] == [Verdict.GHOST]
    assert not tally.good


# At random


def _follow(table: Table, kernel: SteppedKernel, applied: int, window: Window | None) -> int:
    for event in kernel.records[applied:]:
        table.apply(event)
        if window is not None:
            window.applied(event)
    return len(kernel.records)


def judged(seed: int) -> tuple[Window, Status | None, Table, list[Any]]:
    """One check as the session makes it, while the kernel writes pointer by pointer."""
    rng = random.Random(seed)
    world = busy_world(rng, 40)
    kernel = world.kernel
    for _ in range(rng.randrange(6)):  # p0 may lie in the middle of an act
        kernel.meanwhile(rng, 0.5)
    table = Table(ROOT, NS_PER_TICK)
    applied = _follow(table, kernel, 0, None)
    pids = list(kernel.init_pid_ns.allocator.pids)
    number = rng.choice([*pids, *pids, rng.randrange(2, kernel.init_pid_ns.pid_max)])
    window = Window(table, number)
    kernel.finish()  # the fence
    world.others_act(rng, 100, rng.choice((0.3, 0.5, 0.7)))
    status = world.procfs.read_status(number)
    applied = _follow(table, kernel, applied, window)
    verdicts = [judge_status(window, status)]
    if status is not None:
        ticks, ns = world.procfs.start_ticks(number), world.procfs.pid_ns(number)
        kernel.finish()  # a start time is written before the exchange is told of
        _follow(table, kernel, applied, window)
        verdicts.append(judge_stable(window, status.ppid, ticks, ns))
    return window, status, table, verdicts


@settings(max_examples=1500)
@given(st.integers(0, 1 << 40))
def test_a_true_reading_is_never_a_bug(seed: int) -> None:
    _, status, _, verdicts = judged(seed)
    assert not [one for one in verdicts if one.verdict in BUGS], (status, verdicts)


def test_the_readings_are_torn_enough() -> None:
    """The property above would be empty if nothing ever happened during a reading."""
    moved = exchanged = reborn = zeros = 0
    for seed in range(1500):
        window, status, _, verdicts = judged(seed)
        moved += verdicts[0].verdict is Verdict.MOVED
        both = len(window.histories) > 1
        exchanged += both and status is not None and not window.absent
        reborn += both and window.absent
        zeros += status is not None and 0 in status.ns_pid
    assert min(moved, exchanged, reborn, zeros) >= 5, (moved, exchanged, reborn, zeros)


@settings(max_examples=1000)
@given(st.integers(0, 1 << 40))
def test_one_number_that_never_was_is_wrong(seed: int) -> None:
    window, status, _, _ = judged(seed)
    if status is None or status.pid in window.exchanged:
        return  # no file; or the file of the other task of an exchange, of which nothing is judged
    rng = random.Random(seed)
    name = rng.choice(["tgid", "pid", "ns_tgid", "ns_pid", "ns_pgid", "ns_sid"])
    lie = 100_000 + rng.randrange(100)
    value: Any = lie
    if name.startswith("ns_"):
        numbers = list(getattr(status, name))
        numbers[rng.randrange(len(numbers))] = lie
        value = tuple(numbers)
    judgement = judge_status(window, status._replace(**{name: value}))
    assert judgement.verdict is WRONG


@settings(max_examples=1000)
@given(st.integers(0, 1 << 40))
def test_a_0_without_release_is_wrong(seed: int) -> None:
    window, status, _, _ = judged(seed)
    released = any(v.pid is None for h in window.histories.values() for v in h)
    if status is None or released:
        return
    rng = random.Random(seed)
    name = rng.choice(["ns_tgid", "ns_pid", "ns_pgid", "ns_sid"])
    numbers = list(getattr(status, name))
    if not numbers[0]:
        return
    numbers[0] = 0
    pointer = name[3:]
    cleared = {getattr(v, pointer).nr for h in window.histories.values() for v in h}
    if 0 in cleared:  # init_struct_pid was admissible in the window
        return
    judgement = judge_status(window, status._replace(**{name: tuple(numbers)}))
    assert judgement.verdict is WRONG


def test_a_number_of_another_namespace_prints_0() -> None:
    m = Machine()
    left, right = m.contain(m.kernel.init), m.contain(m.kernel.init)
    task = m.table.task(nr(left))
    assert task is not None and task.pid is not None
    assert m.table.root.pids[nr(right)].nr_in(task.pid.ns) == 0
    assert m.table.root.pids[nr(right)].nr_in(m.table.root) == nr(right)
