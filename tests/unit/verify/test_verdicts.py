"""The verdicts: each one by hand, then at random: never a bug for a true reading, always for a lie.

By hand: a machine, a window opened on one number, acts that the table follows meanwhile, and the
file as it would be printed.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings

from pidscope.events import PidTransferred
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.snapshot import Status
from pidscope.verify.verdicts import (
    BUGS,
    Judgement,
    Tally,
    Verdict,
    Window,
    judge_stable,
    judge_status,
)
from tests.unit.acting import numbers
from tests.unit.machine import Machine, inum, nr
from tests.unit.stepped_kernel import ROOT
from tests.unit.table.test_start import SEEDS, busy_world

LINES = ("ns_tgid", "ns_pid", "ns_pgid", "ns_sid")
MISSING, GHOST = "missing: in /proc, not in the table", "ghost: in the table, not in /proc"
OF_THE_OTHER = "unjudged: the other's of an exchange"


class Watched(Machine):
    """A machine whose acts are also told to an open window, and judgements as text."""

    def print(self, task: TaskStruct) -> Status:
        status = self.kernel.procfs.read_status(task.pid)
        assert status is not None
        return status

    def judge(self, status: Status | None, **changed: object) -> str:
        """Judge what was printed, with some of it changed."""
        return self._text(judge_status(self.window, status and status._replace(**changed)))

    def stable(self, **changed: Any) -> str:
        """Judge what the first task in view has now, with something changed."""
        task = self.kernel.find(self.window.number)
        facts = {
            "ppid": task.real_parent.tgid,
            "start_ticks": task.start_boottime // NS_PER_TICK,
            "ns": inum(task),
            **changed,
        }
        return self._text(judge_stable(self.window, **facts))

    def _text(self, judgement: Judgement) -> str:
        assert judgement.number == self.window.number
        return judgement.verdict.value + (judgement.reason and f": {judgement.reason}")


@pytest.fixture
def m() -> Watched:
    return Watched()


def test_agree(m: Watched) -> None:
    assert m.judge(m.watch(m.fork())) == "agree"


def test_moved_only_through_a_change_in_the_window(m: Watched) -> None:
    task = m.fork()
    before = m.watch(task)
    m.run(m.kernel.setpgid(task, task.thread_pid))
    assert m.judge(m.print(task)) == "moved"
    assert m.judge(before) == "agree"
    m.watch(task)  # the change now lies before p0: what was true then is stale
    assert m.judge(before) == "wrong: NSpgid at level 0"


def test_held_gone_missing_ghost(m: Watched) -> None:
    leader = m.group_leader()
    m.fork(leader)
    number, status = nr(leader), m.watch(leader)
    assert m.judge(None) == GHOST
    m.end(leader)
    assert m.judge(None) == "gone"  # released in the window, though held by now
    m.watch(number)
    assert [m.judge(None), m.judge(status)] == ["held", MISSING]
    m.watch(777)
    assert [m.judge(None), m.judge(status)] == ["gone", MISSING]


def test_born_in_the_window_may_be_seen_or_not(m: Watched) -> None:
    number = nr(m.fork()) + 1
    m.watch(number)
    task = m.fork()
    assert nr(task) == number
    assert [m.judge(None), m.judge(m.print(task))] == ["gone", "agree"]


def with_number(status: Status, line: str, level: int, value: int) -> dict[str, Any]:
    """The change that one printed number is another."""
    numbers = getattr(status, line)
    if isinstance(numbers, int):
        return {line: value}
    return {line: (*numbers[:level], value, *numbers[level + 1 :])}


@pytest.mark.parametrize(
    ("line", "level", "reason"),
    [
        ("tgid", 0, "Tgid at level 0"),
        ("pid", 0, "Pid"),
        *((line, at, f"NS{line[3:]} at level {at}") for line in LINES for at in (0, 1)),
    ],
)
@pytest.mark.parametrize("value", [0, 4711])
def test_each_number_is_judged(m: Watched, line: str, level: int, reason: str, value: int) -> None:
    task = m.contain()
    m.run(m.kernel.setsid(task))
    status = m.watch(task)
    assert m.judge(status, **with_number(status, line, level, value)) == f"wrong: {reason}"


def test_a_level_too_many_or_too_few_is_wrong(m: Watched) -> None:
    status = m.watch(m.contain())
    for cut in (
        {"ns_tgid": status.ns_tgid[:1]},
        {"ns_sid": (*status.ns_sid, 0)},
        dict.fromkeys(LINES, (1,)),
    ):
        assert m.judge(status, **cut) == "wrong: level"


def _alternating(m: Watched) -> tuple[Status, int, int]:
    """A task two levels deep that joins two groups in turn within the window, twice."""
    task = m.contain(m.contain())
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
        (old[0], old[1], old[2]): "agree",
        (old[0], old[1], new[2]): "moved",
        (old[0], new[1], new[2]): "moved",
        (new[0], new[1], new[2]): "moved",
        (new[0], old[1], new[2]): "wrong: NSpgid at level 1",
        (new[0], new[1], old[2]): "wrong: NSpgid at level 2",
        (old[0], new[1], old[2]): "wrong: NSpgid at level 2",
    }
    assert {printed: m.judge(status, ns_pgid=printed) for printed in torn} == torn


def test_back_and_forth_is_three_versions(m: Watched) -> None:
    status, a, b = _alternating(m)
    task = m.kernel.find(b)
    m.run(m.kernel.setpgid(task, task.thread_pid))
    assert m.judge(status, ns_pgid=(b, 3, 3)) == "moved"  # old, new, old again
    m.run(m.kernel.setpgid(task, m.kernel.find(a).thread_pid))
    assert m.judge(status, ns_pgid=(a, 4, 2)) == "moved"
    assert m.judge(status, ns_pgid=(a, 4, 5)) == "wrong: NSpgid at level 2"


def test_order_counts_from_line_to_line(m: Watched) -> None:
    """setsid sets SID before PGID: with the new PGID the old SID cannot be printed."""
    task = m.fork()
    old = m.watch(task)
    m.run(m.kernel.setsid(task))
    new = m.print(task)
    assert m.judge(old, ns_sid=new.ns_sid) == "moved"
    assert m.judge(new, ns_sid=old.ns_sid) == "wrong: NSsid at level 0"


def test_a_released_leader_loses_pid_then_the_rest(m: Watched) -> None:
    task = m.contain()
    m.run(m.kernel.setsid(task))
    full, zero = m.watch(task), (0, 0)
    assert m.judge(full, ns_sid=zero) == "wrong: NSsid at level 0"  # no task was released yet
    m.end(task)
    for good in (
        {"ns_pid": zero},
        {"ns_pid": (full.pid, 0)},
        {"ns_pid": zero, "ns_pgid": zero, "ns_sid": zero},
        {"ns_pid": zero, "ns_pgid": zero},  # between PGID and SID
        {"ns_sid": (full.ns_sid[0], 0)},
        {"tgid": 0, **dict.fromkeys(LINES, zero)},
    ):
        assert m.judge(full, **good) == "moved"
    for reason, bad in (
        ("NSpid at level 0", {"ns_tgid": zero}),  # TGID goes after PID
        ("NSpid at level 1", {"ns_pid": (0, 1)}),
        ("NStgid at level 0", {"tgid": 0}),
    ):
        assert m.judge(full, **bad) == f"wrong: {reason}"


def test_a_released_thread_keeps_what_its_process_has(m: Watched) -> None:
    thread = m.fork(m.session_leader(), thread=True)
    full = m.watch(thread)
    m.end(thread)
    assert m.judge(full, ns_pid=(0,)) == "moved"
    assert m.judge(full, ns_sid=(0,)) == "wrong: NSsid at level 0"
    assert m.judge(full, ns_pgid=(0,), ns_pid=(0,)) == "wrong: NSpgid at level 0"


def test_an_exchange_makes_both_tasks_admissible(m: Watched) -> None:
    leader, thread = m.survived()
    number, other = nr(leader), nr(thread)
    full = m.watch(number)
    assert m.judge(full, ns_pid=(other,)) == "wrong: NSpid at level 0"
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    assert m.judge(full) == "agree"
    assert m.judge(full, ns_pid=(other,)) in ("agree", "moved")
    assert m.judge(full, ns_pid=(0,)) == "wrong: NSpid at level 0"
    assert m.judge(full, ns_pid=(other + 1,)) == "wrong: NSpid at level 0"
    assert m.judge(full, pid=other) == OF_THE_OTHER  # of the inode, never of the task
    assert m.judge(full, pid=other + 1) == "wrong: Pid"
    assert m.judge(None) == OF_THE_OTHER  # that inode's task may be released by then
    m.kernel.finish()
    m.follow()
    assert m.judge(full, ns_pid=(0,)) == "moved"  # a reader that was with the old leader
    m.watch(number)
    assert m.judge(full, ns_pid=(other,)) == "wrong: NSpid at level 0"
    assert m.judge(full, pid=other) == "wrong: Pid"


def test_a_reader_within_an_exchange_may_see_both_numbers(m: Watched) -> None:
    """By the leader's number: the old leader, or already the other task with its old number."""
    leader, thread = m.survived(m.contain())
    (a0, a1), (b0, b1) = numbers(leader), numbers(thread)
    full = m.watch(a0)

    def found() -> list[str]:
        torn = [(a0, a1), (b0, b1), (a0, b1), (b0, a1)]
        return [m.judge(full, ns_pid=pair).partition(":")[0] for pair in torn]

    assert found() == ["agree", "wrong", "wrong", "wrong"]
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    assert not {bug.value for bug in BUGS} & {*found()}
    m.watch(a0)
    assert found() == ["agree", "wrong", "wrong", "wrong"]


def test_a_number_born_again_is_never_mixed_with_its_first_life(m: Watched) -> None:
    m.run(m.kernel.setsid(m.kernel.init))
    first = m.session_leader()
    number, old = nr(first), m.watch(first)
    m.end(first)
    second = m.fork()
    assert nr(second) == number
    new = m.print(second)
    assert old.ns_sid != new.ns_sid and old.ns_pgid != new.ns_pgid
    assert [m.judge(old), m.judge(new)] == ["agree", "agree"]
    assert m.judge(old, ns_sid=(77,)) == "wrong: NSsid at level 0"
    assert m.judge(new, ns_sid=old.ns_sid) == "wrong: NSpgid at level 0"
    assert m.judge(new, ns_pid=(0,)) == "wrong: NSpgid at level 0"  # the second one is alive


def test_a_partial_group_is_not_judged(m: Watched) -> None:
    outside = m.group_leader()
    member = m.fork(outside)
    m.end(outside)
    (held,) = m.table.held()
    status = m.watch(m.contain(member))
    assert m.judge(status) == "agree"
    held.outside = ()
    assert m.judge(status) == "unjudged: a partial struct pid"
    # That much is known:
    assert m.judge(status, ns_pgid=(4711, 0)) == "wrong: NSpgid at level 0"


def test_start_ticks_are_rounded_down_and_judged(m: Watched) -> None:
    task = m.fork()
    ticks, rest = divmod(task.start_boottime, NS_PER_TICK)
    assert rest
    m.watch(task)
    assert m.stable() == "agree"
    assert m.stable(start_ticks=None, ns=None) == "agree"
    for other in (ticks - 1, ticks + 1, 0):
        assert m.stable(start_ticks=other) == "wrong: start ticks"


def test_start_ticks_of_a_thread_that_execs_may_be_either(m: Watched) -> None:
    """de_thread() gives it its leader's start; stat may have been read before or after."""
    leader, thread = m.survived()
    before, after = thread.start_boottime // NS_PER_TICK, leader.start_boottime // NS_PER_TICK
    number = nr(thread)
    assert before > after
    m.watch(number)
    m.begin(m.kernel.execute(thread), until=PidTransferred)
    found = {ticks: m.stable(start_ticks=ticks) for ticks in (before, after, after - 1)}
    assert found == {before: "agree", after: "agree", after - 1: "wrong: start ticks"}
    m.watch(number)
    assert m.stable(start_ticks=before) == "wrong: start ticks"


def test_the_namespace_is_judged(m: Watched) -> None:
    m.watch(m.contain())
    assert m.stable() == "agree"
    assert m.stable(ns=ROOT) == "wrong: ns/pid"


def test_ppid_is_judged_while_the_parent_must_have_stayed(m: Watched) -> None:
    parent = m.fork()
    m.watch(m.fork(parent))
    assert m.stable() == "agree"
    assert m.stable(ppid=1) == "wrong: PPid"
    m.run(m.kernel.exit(parent))
    assert m.stable() == "agree"
    assert m.stable(ppid=4711) == "agree"  # nothing is said of it any more


def test_ppid_of_clone_parent_is_not_judged(m: Watched) -> None:
    """The parent was not the one that forked, so it may have been exiting all along."""
    m.watch(m.fork(m.fork(m.fork()), clone_parent=True))
    assert m.stable() == "agree"
    assert m.stable(ppid=1) == "agree"


def test_ppid_0_comes_with_a_release_only(m: Watched) -> None:
    child = m.fork(m.fork())
    m.watch(child)
    assert m.stable(ppid=0) == "wrong: PPid"
    m.end(child)
    assert judge_stable(m.window, 0, None, None) == Judgement(m.window.number, Verdict.AGREE)


def test_the_tally_counts_comparisons_and_keeps_bugs(m: Watched) -> None:
    tally, task = Tally(), m.fork()
    for number in (nr(task), 777):
        status = m.watch(number)
        tally.add(judge_status(m.window, status))
    assert (tally.compared, tally.counts) == (1, {Verdict.AGREE: 1, Verdict.GONE: 1})
    assert not tally.good
    tally.complete = True
    assert tally.good
    m.watch(task)
    tally.add(judge_status(m.window, None))
    assert [bug.verdict for bug in tally.bugs] == [Verdict.GHOST]
    assert not tally.good


# At random


def judged(seed: int) -> tuple[Window, Status | None, list[Judgement]]:
    """One check as the session makes it, while the kernel writes pointer by pointer."""
    rng = random.Random(seed)
    world = busy_world(rng, 40)
    kernel = world.kernel
    for _ in range(rng.randrange(6)):  # p0 may lie in the middle of an act
        kernel.meanwhile(rng, 0.5)
    m = Machine(kernel)
    pids = list(kernel.init_pid_ns.allocator.pids)
    number = rng.choice([*pids, *pids, rng.randrange(2, kernel.init_pid_ns.pid_max)])
    m.watch(number)
    kernel.finish()  # the fence
    world.others_act(rng, 100, rng.choice((0.3, 0.5, 0.7)))
    status = world.procfs.read_status(number)
    m.catch_up()
    verdicts = [judge_status(m.window, status)]
    if status is not None:
        ticks, ns = world.procfs.start_ticks(number), world.procfs.pid_ns(number)
        kernel.finish()  # a start time is written before the exchange is told of
        m.catch_up()
        verdicts.append(judge_stable(m.window, status.ppid, ticks, ns))
    return m.window, status, verdicts


@settings(max_examples=1500)
@given(SEEDS)
def test_a_true_reading_is_never_a_bug(seed: int) -> None:
    _, status, verdicts = judged(seed)
    assert not [one for one in verdicts if one.verdict in BUGS], (status, verdicts)


def test_the_readings_are_torn_enough() -> None:
    """The property above would be empty if nothing ever happened during a reading."""
    moved = exchanged = reborn = zeros = 0
    for seed in range(1500):
        window, status, verdicts = judged(seed)
        moved += verdicts[0].verdict is Verdict.MOVED
        both = len(window.histories) > 1
        exchanged += both and status is not None and not window.absent
        reborn += both and window.absent
        zeros += status is not None and 0 in status.ns_pid
    assert min(moved, exchanged, reborn, zeros) >= 5, (moved, exchanged, reborn, zeros)


@settings(max_examples=1000)
@given(SEEDS)
def test_one_number_that_never_was_is_wrong(seed: int) -> None:
    window, status, _ = judged(seed)
    if status is None or status.pid in window.exchanged:
        return  # no file; or the file of the other task of an exchange, of which nothing is judged
    rng = random.Random(seed)
    name, level = rng.choice(("tgid", "pid", *LINES)), rng.randrange(len(status.ns_pid))
    lie = with_number(status, name, level, 100_000 + rng.randrange(100))
    assert judge_status(window, status._replace(**lie)).verdict is Verdict.WRONG


@settings(max_examples=1000)
@given(SEEDS)
def test_a_0_without_release_is_wrong(seed: int) -> None:
    window, status, _ = judged(seed)
    versions = [version for history in window.histories.values() for version in history]
    if status is None or any(version.pid is None for version in versions):
        return
    name = random.Random(seed).choice(LINES)
    admissible = {getattr(version, name.removeprefix("ns_")).nr for version in versions}
    if getattr(status, name)[0] and 0 not in admissible:  # as init_struct_pid's number is
        lie = with_number(status, name, 0, 0)
        assert judge_status(window, status._replace(**lie)).verdict is Verdict.WRONG


def test_a_number_of_another_namespace_prints_0(m: Watched) -> None:
    left, right = m.contain(), m.contain()
    pids = m.table.root.pids
    assert pids[nr(right)].nr_in(pids[nr(left)].ns) == 0
    assert pids[nr(right)].nr_in(m.table.root) == nr(right)
