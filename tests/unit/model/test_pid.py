"""kernel/pid.c: numbers, who has them, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
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


@pytest.mark.parametrize(
    ("kind", "last_pid", "taken", "expected"),
    [
        pytest.param(Idr, 399, range(0), 300, id="an IDR wraps to 300 once beyond 300"),
        pytest.param(Idr, 300, range(300, 400), None, id="and does not look below it then"),
        pytest.param(Idr, 299, range(300, 400), 1, id="an IDR whose cursor is 300 wraps to 1"),
        pytest.param(PidMap, 250, range(251, 400), None, id="a bitmap never wraps to 1: 250"),
        pytest.param(PidMap, 299, range(300, 400), None, id="a bitmap never wraps to 1: 299"),
        pytest.param(PidMap, 300, range(301, 400), 300, id="a bitmap wraps to 300: 300"),
        pytest.param(PidMap, 350, range(351, 400), 300, id="a bitmap wraps to 300: 350"),
        pytest.param(PidMap, 399, range(0), 300, id="a bitmap wraps to 300: 399"),
    ],
)
def test_the_wrap(
    kind: type[Idr | PidMap], last_pid: int, taken: range, expected: int | None
) -> None:
    allocator = kind()
    allocator.last_pid = last_pid
    allocator.pids.update(dict.fromkeys(taken))  # type: ignore[arg-type]
    assert allocator.next(400) == expected


def _allocated(allocator: Idr | PidMap) -> Iterator[int]:
    """Five numbers each time after some were taken, which do not come."""
    for taken in (range(0), range(2, 5), range(10, 300)):
        allocator.pids.update(dict.fromkeys(taken))  # type: ignore[arg-type]
        for _ in range(5):
            nr = allocator.next(400)
            assert nr is not None and allocator.last_pid == nr
            allocator.pids.update({nr: None})  # type: ignore[dict-item]
            yield nr


def test_both_allocators_agree_before_the_wrap() -> None:
    assert list(_allocated(Idr())) == list(_allocated(PidMap()))


def test_find_vpid_is_where_the_caller_lives(shell: TaskStruct, init: TaskStruct) -> None:
    assert find_vpid(1, init) is init.thread_pid
    assert find_vpid(1, shell) is shell.kernel.init.thread_pid
    assert find_vpid(99, shell) is None
