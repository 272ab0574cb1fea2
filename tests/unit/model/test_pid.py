"""kernel/pid.c: numbers, who has them, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.idr import Idr
from pidscope.model.pid import (
    find_vpid,
    ns_of_pid,
    pid_nr,
    pid_nr_ns,
    pid_vnr,
    task_active_pid_ns,
    task_pgrp_nr_ns,
    task_pid_vnr,
    task_session_nr_ns,
    task_tgid_vnr,
)
from pidscope.model.pidmap import PidMap
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from tests.unit.acting import boot, container, fork, links, numbers, seen
from tests.unit.played import SHELL, numbers_of, play

ERAS = pytest.mark.parametrize("features", [TODAY, LINUX_4_4], ids=["today", "4.4"])


@ERAS
def test_one_number_at_every_level(features: Features) -> None:
    shell = boot(features)
    outer = container(shell)
    inner = container(fork(outer))
    assert numbers(outer) == (4, 1)
    assert numbers(inner) == (6, 3, 1)
    assert inner.thread_pid is not None
    spaces = [upid.ns for upid in inner.thread_pid.numbers]
    assert [pid_nr_ns(inner.thread_pid, ns) for ns in spaces] == [6, 3, 1]
    assert [ns.level for ns in spaces] == [0, 1, 2]
    assert ns_of_pid(inner.thread_pid) is task_active_pid_ns(inner) is spaces[-1]
    assert (pid_nr(inner.thread_pid), pid_vnr(inner.thread_pid, outer)) == (6, 3)
    assert task_pid_vnr(outer, inner) == 0  # from further in nobody outside can be seen
    assert task_tgid_vnr(inner, shell) == 6


def test_a_sibling_namespace_sees_nothing(shell: TaskStruct) -> None:
    one, two = container(shell), container(shell)
    assert pid_nr_ns(one.thread_pid, task_active_pid_ns(two)) == 0
    assert seen(one, 2) is None
    assert seen(one, 1) is one and seen(two, 1) is two


def test_a_container_starts_in_groups_from_outside(init: TaskStruct) -> None:
    own = task_active_pid_ns(init)
    assert links(init) == [(4, 1), (3,), (3,)]
    assert (task_pgrp_nr_ns(init, own), task_session_nr_ns(init, own)) == (0, 0)
    assert call(init, "setsid") == 1
    assert links(init) == [(4, 1)] * 3


HELD = """
    shell: clone NEWPID -> box
    box: fork -> leader
    leader: setpgid 0 0
    leader: fork -> member
    leader: exit
    box: wait 2 = 2
    box: kill 2 0 = ESRCH
    box: getpgid 2 = ESRCH
    box: kill -2 0 = 0
    box: clone set_tid 2 = EEXIST
    box: setpgid 0 2 = 0
    member: exit_group
    box: wait = 3
    box: clone set_tid 2 = EEXIST  # box is in it
    box: setpgid 0 0 = 0
    box: clone set_tid 2 = 2
"""
CALLS = {
    "freed numbers do not come again before the wrap": """
        shell: fork -> first = 4
        first: exit
        shell: wait = 4
        shell: fork -> second = 5
        second: exit
        shell: wait = 5
        shell: fork = 6
    """,
    "what set_tid refuses": f"""
        shell: clone NEWPID -> box
        box: clone set_tid 0 = EINVAL
        box: clone set_tid -5 = EINVAL
        box: clone set_tid 4194304 = EINVAL
        box: clone set_tid 1 = EEXIST
        box: clone set_tid 5,1 = EEXIST
        box: clone set_tid 5,6,7 = EINVAL
        box: clone set_tid {",".join(["5"] * 33)} = EINVAL
        box: clone NEWPID set_tid 2 = EINVAL
        box: fork = 2
    """,
    "set_tid does not move the cursor": """
        shell: clone NEWPID -> box
        box: clone set_tid 42 = 42
        box: fork = 2
    """,
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_each_call_gives_what_its_line_says(text: str) -> None:
    play(SHELL + text)


@ERAS
def test_a_number_is_taken_while_any_task_is_called_by_it(features: Features) -> None:
    play(SHELL + HELD, features)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box: fork\nbox: clone bad_pidfd = EFAULT\nbox: fork -> job", (7, 4)),
        ("box: clone set_tid 77,31000 -> job", (31000, 77)),
        ("box: clone NEWPID set_tid 1,60 -> job", (5, 60, 1)),
    ],
    ids=["a fork that fails burns numbers at every level", "set_tid", "set_tid of an init"],
)
def test_numbers_at_every_level(text: str, expected: tuple[int, ...]) -> None:
    played = play(f"{SHELL}shell: clone NEWPID -> box\n{text}")
    assert numbers_of(played, ["job"]) == {"job": expected}


@pytest.mark.parametrize(
    ("first", "expected"), [(True, "EINVAL"), (False, "EEXIST")], ids=["7.0", "6.18"]
)
def test_when_set_tid_is_checked(first: bool, expected: str) -> None:
    """The number is taken inside, and impossible outside."""
    text = f"init: clone NEWPID -> box\nbox: clone set_tid 1,0 = {expected}"
    play(text, replace(TODAY, set_tid_checked_first=first))


@pytest.mark.parametrize(
    ("last_pid", "expected"), [(298, 299), (299, 300), (300, 301), (4194303, 300)]
)
def test_ns_last_pid_is_where_the_search_begins(last_pid: int, expected: int) -> None:
    play(
        f"""
        init: clone NEWPID -> box
        box: sysctl ns_last_pid {last_pid}
        box: sysctl ns_last_pid = {last_pid}
        box: fork = {expected}
        """
    )


# The two allocators: what may be told apart, and that the rest may not


def _full(allocator: Idr | PidMap, taken: range) -> Idr | PidMap:
    allocator.pids.update(dict.fromkeys(taken))  # type: ignore[arg-type]
    return allocator


def test_the_wrap_of_an_idr_goes_to_300_once_beyond_300() -> None:
    idr = Idr()
    idr.last_pid = 399
    assert idr.next(400) == 300
    idr.last_pid = 300  # the cursor is 301
    assert _full(idr, range(300, 400)).next(400) is None


def test_the_wrap_of_an_idr_at_300_itself_goes_to_1() -> None:
    idr = _full(Idr(), range(300, 400))
    idr.last_pid = 299  # the cursor is 300
    assert idr.next(400) == 1


def test_a_bitmap_always_wraps_to_300() -> None:
    for last_pid in (250, 299, 300, 350, 399):
        pidmap = _full(PidMap(), range(last_pid + 1, 400))
        pidmap.last_pid = last_pid
        assert pidmap.next(400) == (300 if last_pid >= 300 else None)


def test_both_allocators_agree_before_the_wrap() -> None:
    idr, pidmap = Idr(), PidMap()
    for taken in (range(0), range(2, 5), range(10, 300)):
        _full(idr, taken)
        _full(pidmap, taken)
        for _ in range(5):
            nr = idr.next(400)
            assert nr == pidmap.next(400) and nr is not None
            assert idr.last_pid == pidmap.last_pid == nr
            _full(idr, range(nr, nr + 1))
            _full(pidmap, range(nr, nr + 1))


def test_find_vpid_is_where_the_caller_lives(shell: TaskStruct, init: TaskStruct) -> None:
    assert find_vpid(1, init) is init.thread_pid
    assert find_vpid(1, shell) is shell.kernel.init.thread_pid
    assert find_vpid(99, shell) is None
