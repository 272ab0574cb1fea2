"""What the model's /proc prints: the kernel's form, from any mount, and torn as the kernel's is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pidscope.host.proc_parse import parse_start_ticks, parse_status
from pidscope.model import syscalls
from pidscope.model.features import LINUX_4_4
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_pid_ns, find_task_by_vpid, task_active_pid_ns
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


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def call(task: TaskStruct, name: str, *args: Any) -> Any:
    return syscalls.call(task, name, *args)


def made(task: TaskStruct, name: str = "fork", *args: Any) -> TaskStruct:
    child = find_task_by_vpid(call(task, name, *args), task)
    assert child is not None
    return child


def active(task: TaskStruct) -> PidNamespace:
    ns = task_active_pid_ns(task)
    assert ns is not None
    return ns


def lines(pieces: Iterator[bytes]) -> dict[str, str]:
    text = b"".join(pieces).decode()
    return dict(line.split(":", 1) for line in text.splitlines())


@pytest.fixture
def nested(kernel: Kernel) -> TaskStruct:
    """Number 6/3/2: in a container in a container, whose group and session are outside."""
    call(kernel.init, "setsid")
    outer = made(kernel.init, "clone", CLONE_NEWPID)
    inner = made(outer, "clone", CLONE_NEWPID)
    call(outer, "setsid")
    return made(inner)


def test_status_is_in_the_kernels_order_and_parses(kernel: Kernel, nested: TaskStruct) -> None:
    text = b"".join(proc_pid_status(nested, kernel.init_pid_ns))
    keys = [line.partition(b":")[0].decode() for line in text.splitlines()]
    assert keys == (
        [
            "Name",
            "State",
            "Tgid",
            "Ngid",
            "Pid",
            "PPid",
            "TracerPid",
            "NStgid",
            "NSpid",
            "NSpgid",
            "NSsid",
            "Kthread",
            "Threads",
        ]
    )
    status = parse_status(text, "status")
    assert status.name == b"init" and status.state == "S"
    assert (status.tgid, status.pid, status.ppid) == (5, 5, 4)
    assert status.ns_tgid == status.ns_pid == (5, 3, 2)
    assert status.ns_pgid == status.ns_sid == (1, 0, 0)  # of the host's init, not to be seen inside


def test_a_mount_shows_its_own_level_and_those_inside(kernel: Kernel, nested: TaskStruct) -> None:
    inner = active(nested)
    outer = inner.parent
    assert outer is not None
    from_outer = lines(proc_pid_status(nested, outer))
    assert (from_outer["Pid"], from_outer["PPid"], from_outer["NSpid"]) == ("\t3", "\t2", "\t3\t2")
    from_inner = lines(proc_pid_status(nested, inner))
    assert (from_inner["Pid"], from_inner["PPid"], from_inner["NSpid"]) == ("\t2", "\t1", "\t2")
    init = pidns_get(nested).child_reaper  # type: ignore[union-attr]
    assert init is not None
    assert lines(proc_pid_status(init, inner))["PPid"] == "\t0"  # its parent is outside


def test_a_kernel_threads_zeros_are_real(kernel: Kernel) -> None:
    kthreadd = find_task_by_vpid(2, kernel.init)
    assert kthreadd is not None
    printed = lines(proc_pid_status(kthreadd, kernel.init_pid_ns))
    assert (printed["NSpgid"], printed["NSsid"], printed["Kthread"]) == ("\t0", "\t0", "\t1")


def test_a_comm_is_escaped_in_status_and_raw_in_stat(kernel: Kernel) -> None:
    call(kernel.init, "set_comm", b"a\n\\) S 7")
    assert b"Name:\ta\\n\\\\) S 7\n" in b"".join(proc_pid_status(kernel.init, kernel.init_pid_ns))
    stat = b"".join(proc_pid_stat(kernel.init, kernel.init_pid_ns))
    assert stat.startswith(b"1 (a\n\\) S 7) S 0 0 0 ")
    assert parse_start_ticks(stat, "stat") == kernel.init.start_boottime // 10_000_000


def test_stat_has_52_fields_and_minus_1_once_released(kernel: Kernel) -> None:
    child = made(kernel.init)
    kernel.now_ns += 1_234_567_890
    late = made(kernel.init)
    text = b"".join(proc_pid_stat(late, kernel.init_pid_ns))
    assert len(text.split()) == 52 and text.endswith(b"\n")
    assert parse_start_ticks(text, "stat") == late.start_boottime // 10_000_000 > 300
    pid = child.thread_pid
    call(child, "exit", 3)
    assert b"".join(proc_pid_stat(child, kernel.init_pid_ns)).split()[2:4] == [b"Z", b"1"]
    call(kernel.init, "wait4")
    released = b"".join(proc_pid_stat(child, kernel.init_pid_ns, pid)).split()
    assert released[:6] == [b"3", b"(init)", b"X", b"0", b"-1", b"-1"]
    assert released[-1] == b"%d" % (3 << 8)


def test_states(kernel: Kernel) -> None:
    parent = made(kernel.init)
    call(parent, "vfork")
    assert lines(proc_pid_status(parent, kernel.init_pid_ns))["State"] == "\tD (disk sleep)"
    zombie = made(kernel.init)
    call(zombie, "exit")
    assert lines(proc_pid_status(zombie, kernel.init_pid_ns))["State"] == "\tZ (zombie)"


def test_each_number_is_read_when_it_is_asked_for(kernel: Kernel) -> None:
    """A setsid in the middle: what was asked for before it is the old, behind it the new."""
    task = made(kernel.init)
    pieces = proc_pid_status(task, kernel.init_pid_ns)
    text = b""
    while not text.endswith(b"NSpgid:"):
        text += next(pieces)
    call(task, "setsid")
    printed = lines(iter([text, *pieces]))
    assert (printed["NSpid"], printed["NSpgid"], printed["NSsid"]) == ("\t3", "\t3", "\t3")
    other = made(kernel.init)
    pieces = proc_pid_status(other, kernel.init_pid_ns)
    text = b""
    while b"NSpgid:\t" not in text:
        text += next(pieces)
    call(other, "setsid")
    printed = lines(iter([text, *pieces]))
    assert (printed["NSpgid"], printed["NSsid"]) == ("\t0", "\t4")  # torn


def test_who_is_released_midway_has_zeros_but_its_pid(kernel: Kernel) -> None:
    task = made(kernel.init)
    pieces = proc_pid_status(task, kernel.init_pid_ns)
    text = next(pieces)
    call(task, "exit")
    call(kernel.init, "wait4")
    printed = lines(iter([text, *pieces]))
    assert printed["Pid"] == "\t3" and printed["PPid"] == "\t0"
    assert {printed[key] for key in ("NStgid", "NSpid", "NSpgid", "NSsid")} == {"\t0"}


def test_processes_are_listed_from_tgid_on_and_threads_are_not(kernel: Kernel) -> None:
    leader = made(kernel.init)
    made(leader, "clone", CLONE_THREAD)
    ns = kernel.init_pid_ns
    assert list(proc_pid_readdir(ns)) == [1, 2, 3]
    seen: list[list[int]] = []
    kernel.elsewhere = lambda: seen.append(list(proc_pid_readdir(ns)))
    listed_before_birth = []

    def told(event: Any) -> None:
        if type(event).__name__ == "PidAttached":
            listed_before_birth.extend(proc_pid_readdir(ns))

    kernel.listener = told
    made(kernel.init)
    assert listed_before_birth == [1, 2, 3, 5]  # attached as TGID first (since 5.8)


def test_a_listing_goes_on_from_where_it_stands(kernel: Kernel) -> None:
    first, second = made(kernel.init), made(kernel.init)
    listing = proc_pid_readdir(kernel.init_pid_ns)
    assert [next(listing) for _ in range(3)] == [1, 2, 3]
    for task in (first, second):
        call(task, "exit")
        call(kernel.init, "wait4")
    made(kernel.init)
    assert list(listing) == [5]


def test_a_listing_of_threads_is_cut_where_it_stands(kernel: Kernel) -> None:
    leader = made(kernel.init)
    one, _ = (made(leader, "clone", CLONE_THREAD) for _ in range(2))
    ns = kernel.init_pid_ns
    pid = find_pid_ns(3, ns)
    assert pid is not None
    assert list(proc_task_readdir(pid, ns)) == [3, 4, 5]
    listing = proc_task_readdir(pid, ns)
    assert [next(listing), next(listing)] == [3, 4]
    call(one, "exit")
    assert list(listing) == []


def test_a_directory_may_become_the_others_in_an_exchange(kernel: Kernel) -> None:
    """proc_pid_make_inode() asks the task that was found for its struct pid."""
    leader = made(kernel.init)
    thread = made(leader, "clone", CLONE_THREAD)
    lookup = proc_pid_lookup(3, kernel.init_pid_ns)
    next(lookup)  # the leader is found by 3
    opened = []

    def meanwhile() -> None:
        if leader.thread_pid is not None and leader.thread_pid.numbers[0].nr == 4 and not opened:
            try:
                next(lookup)
            except StopIteration as end:
                opened.append(end.value)

    kernel.elsewhere = meanwhile
    call(thread, "execve", b"sh")
    assert [repr(pid) for pid in opened] == ["4"]
    assert thread.thread_pid is not None and repr(thread.thread_pid) == "3"


def test_ns_links(kernel: Kernel) -> None:
    task = made(kernel.init)
    assert pidns_get(task) is pidns_for_children_get(task) is kernel.init_pid_ns
    call(task, "unshare", CLONE_NEWPID)
    children = pidns_for_children_get(task)
    assert pidns_get(task) is kernel.init_pid_ns and children is not kernel.init_pid_ns
    call(task, "exit")
    assert pidns_get(task) is kernel.init_pid_ns and pidns_for_children_get(task) is None
    call(kernel.init, "wait4")
    assert pidns_get(task) is None


def test_before_7_1_a_namespace_shows_once_it_has_had_an_init() -> None:
    kernel = Kernel(LINUX_4_4)
    task = made(kernel.init)
    call(task, "unshare", CLONE_NEWPID)
    assert pidns_for_children_get(task) is None
    made(task)
    assert pidns_for_children_get(task) is not None
