"""What the model's /proc prints: the kernel's form, from any mount, and torn as the kernel's is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from pidscope.events import Event, PidAttached
from pidscope.host.proc_parse import parse_start_ticks, parse_status
from pidscope.model.features import LINUX_4_4
from pidscope.model.pid import find_pid_ns, task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import (
    pidns_for_children_get,
    pidns_get,
    proc_pid_lookup,
    proc_pid_readdir,
    proc_pid_stat,
    proc_pid_status,
    proc_task_readdir,
)
from pidscope.model.sched import TaskStruct
from pidscope.simulated.play import Play
from pidscope.snapshot import Status
from tests.unit.played import go_on, play

TASK = "init: fork -> task\n"
LEADER = "init: fork -> leader\nleader: clone THREAD -> thread\n"


def active(task: TaskStruct) -> PidNamespace:
    ns = task_active_pid_ns(task)
    assert ns is not None
    return ns


def status(played: Play, name: str) -> Iterator[bytes]:
    """The pieces of a task's file, for the mount of the initial namespace."""
    return proc_pid_status(played.names[name], played.kernel.init_pid_ns)


def stat(played: Play, name: str) -> bytes:
    return b"".join(proc_pid_stat(played.names[name], played.kernel.init_pid_ns))


def behind(keys: str, pieces: Iterable[bytes]) -> list[str]:
    """What stands behind these keys of a status."""
    lines = dict(line.split(":\t", 1) for line in b"".join(pieces).decode().splitlines())
    return [lines[key] for key in keys.split()]


def read_until(end: bytes, pieces: Iterator[bytes]) -> bytes:
    """The first pieces, until what has been read ends so."""
    text = b""
    while not text.endswith(end):
        text += next(pieces)
    return text


@pytest.fixture
def nested() -> Play:
    """``task`` is 5/3/2: in a container in a container, and its group and session are outside."""
    return play("""
        init: setsid
        init: clone NEWPID -> outer
        outer: clone NEWPID -> inner
        outer: setsid
        inner: fork -> task
    """)


def test_status_is_in_the_kernels_order_and_parses(nested: Play) -> None:
    text = b"".join(status(nested, "task"))
    keys = [line.partition(b":")[0].decode() for line in text.splitlines()]
    assert " ".join(keys) == (
        "Name State Tgid Ngid Pid PPid TracerPid NStgid NSpid NSpgid NSsid Kthread Threads"
    )
    assert parse_status(text, "status") == Status(
        name=b"init",
        state="S",
        ppid=4,
        tgid=5,
        pid=5,
        ns_tgid=(5, 3, 2),
        ns_pid=(5, 3, 2),
        ns_pgid=(1, 0, 0),  # of the host's init, not to be seen inside
        ns_sid=(1, 0, 0),
    )


@pytest.mark.parametrize(
    ("name", "mount", "expected"),
    [
        ("task", "outer", ["3", "2", "3\t2"]),
        ("task", "inner", ["2", "1", "2"]),
        ("inner", "inner", ["1", "0", "1"]),  # its parent is outside
    ],
)
def test_a_mount_shows_its_own_level_and_those_inside(
    nested: Play, name: str, mount: str, expected: list[str]
) -> None:
    pieces = proc_pid_status(nested.names[name], active(nested.names[mount]))
    assert behind("Pid PPid NSpid", pieces) == expected


def test_a_kernel_threads_zeros_are_real() -> None:
    assert behind("NSpgid NSsid Kthread", status(play(""), "kthreadd")) == ["0", "0", "1"]


def test_a_comm_is_escaped_in_status_and_raw_in_stat() -> None:
    played = play(r"init: comm a\x0a\x5c)\x20S\x207")
    assert b"Name:\ta\\n\\\\) S 7\n" in b"".join(status(played, "init"))
    text = stat(played, "init")
    assert text.startswith(b"1 (a\n\\) S 7) S 0 0 0 ")
    assert parse_start_ticks(text, "stat") == played.kernel.init.start_boottime // 10_000_000


def test_stat_has_52_fields_and_minus_1_once_released() -> None:
    played = play(f"{TASK}sleep 1.23456789\ninit: fork -> late\n")
    task, text = played.names["task"], stat(played, "late")
    assert len(text.split()) == 52 and text.endswith(b"\n")
    began = played.names["late"].start_boottime
    assert parse_start_ticks(text, "stat") == began // 10_000_000 > 300
    pid = task.thread_pid
    go_on(played, "task: exit 3")
    assert stat(played, "task").split()[2:4] == [b"Z", b"1"]
    go_on(played, "init: wait = 3")
    released = b"".join(proc_pid_stat(task, played.kernel.init_pid_ns, pid)).split()
    assert released[:6] == [b"3", b"(init)", b"X", b"0", b"-1", b"-1"]
    assert released[-1] == b"%d" % (3 << 8)


@pytest.mark.parametrize(
    ("step", "state"), [("task: vfork", "D (disk sleep)"), ("task: exit", "Z (zombie)")]
)
def test_states(step: str, state: str) -> None:
    assert behind("State", status(play(TASK + step), "task")) == [state]


@pytest.mark.parametrize(
    ("end", "expected"),
    [(b"NSpgid:", ["3", "3", "3"]), (b"NSpgid:\t0", ["3", "0", "3"])],
    ids=["before its group", "behind its group: torn"],
)
def test_each_number_is_read_when_it_is_asked_for(end: bytes, expected: list[str]) -> None:
    """A setsid in the middle: what was asked for before it is the old, behind it the new."""
    played = play(TASK)
    pieces = status(played, "task")
    text = read_until(end, pieces)
    go_on(played, "task: setsid")
    assert behind("NSpid NSpgid NSsid", [text, *pieces]) == expected


def test_who_is_released_midway_has_zeros_but_its_pid() -> None:
    played = play(TASK)
    pieces = status(played, "task")
    text = next(pieces)
    go_on(played, "task: exit\ninit: wait = 3")
    printed = behind("Pid PPid NStgid NSpid NSpgid NSsid", [text, *pieces])
    assert printed == ["3", "0", "0", "0", "0", "0"]


def test_processes_are_listed_from_tgid_on_and_threads_are_not() -> None:
    played = play(LEADER)
    ns = played.kernel.init_pid_ns
    assert list(proc_pid_readdir(ns)) == [1, 2, 3]
    listed_before_birth: list[int] = []

    def told(event: Event) -> None:
        if isinstance(event, PidAttached):
            listed_before_birth.extend(proc_pid_readdir(ns))

    played.kernel.listener = told
    go_on(played, "init: fork")
    assert listed_before_birth == [1, 2, 3, 5]  # attached as TGID first (since 5.8)


def test_a_listing_goes_on_from_where_it_stands() -> None:
    played = play("2 * init: fork -> task")
    listing = proc_pid_readdir(played.kernel.init_pid_ns)
    assert list(islice(listing, 3)) == [1, 2, 3]
    go_on(played, "task1: exit\ntask2: exit\ninit: wait = 3\ninit: wait = 4\ninit: fork = 5")
    assert list(listing) == [5]


def test_a_listing_of_threads_is_cut_where_it_stands() -> None:
    played = play(LEADER + "leader: clone THREAD = 5")
    ns = played.kernel.init_pid_ns
    pid = find_pid_ns(3, ns)
    assert pid is not None
    assert list(proc_task_readdir(pid, ns)) == [3, 4, 5]
    listing = proc_task_readdir(pid, ns)
    assert list(islice(listing, 2)) == [3, 4]
    go_on(played, "thread: exit")
    assert list(listing) == []


def test_a_directory_may_become_the_others_in_an_exchange() -> None:
    """proc_pid_make_inode() asks the task that was found for its struct pid."""
    played = play(LEADER)
    leader, thread = played.names["leader"], played.names["thread"]
    lookup = proc_pid_lookup(3, played.kernel.init_pid_ns)
    next(lookup)  # the leader is found by 3
    opened = []

    def meanwhile() -> None:
        if leader.thread_pid is not None and leader.thread_pid.numbers[0].nr == 4 and not opened:
            with pytest.raises(StopIteration) as end:
                next(lookup)
            opened.append(end.value.value)

    played.kernel.elsewhere = meanwhile
    go_on(played, "thread: exec sh")
    assert [repr(pid) for pid in opened] == ["4"]
    assert thread.thread_pid is not None and repr(thread.thread_pid) == "3"


def test_ns_links() -> None:
    played = play(TASK)
    task, ns = played.names["task"], played.kernel.init_pid_ns
    assert pidns_get(task) is pidns_for_children_get(task) is ns
    go_on(played, "task: unshare NEWPID")
    assert pidns_get(task) is ns and pidns_for_children_get(task) not in (ns, None)
    go_on(played, "task: exit")
    assert pidns_get(task) is ns and pidns_for_children_get(task) is None
    go_on(played, "init: wait = 3")
    assert pidns_get(task) is None


def test_before_7_1_a_namespace_shows_once_it_has_had_an_init() -> None:
    played = play(TASK + "task: unshare NEWPID", LINUX_4_4)
    assert pidns_for_children_get(played.names["task"]) is None
    go_on(played, "task: fork")
    assert pidns_for_children_get(played.names["task"]) is not None
