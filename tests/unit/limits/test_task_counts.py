"""RLIMIT_NPROC and threads-max after a failed fork, from files that look like a kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pidscope.limits.task_counts as task_counts
from pidscope.host.proc import ProcFs
from pidscope.limits import read as forking
from pidscope.limits.task_counts import TaskCounts
from pidscope.limits.tasks_limit import TasksLimit

SYS_ADMIN = 1 << 21


class Host:
    """A /proc with the tasks that a test adds, and a number of threads in loadavg."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.threads(300)
        self.write("sys/kernel/threads-max", "400\n")
        self.user_ns(root / "self", root / "user")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def user_ns(self, process: Path, namespace: Path) -> None:
        namespace.touch()
        (process / "ns").mkdir(parents=True)
        (process / "ns" / "user").symlink_to(namespace)

    def threads(self, number: int) -> None:
        self.write("loadavg", f"0.00 0.01 0.05 1/{number} 4711\n")

    def task(
        self, number: int, uid: int, threads: int = 1, limit: str = "3", caps: int = 0
    ) -> None:
        self.write(
            f"{number}/status",
            f"Name:\tsh\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nThreads:\t{threads}\n"
            f"CapInh:\t0\nCapEff:\t{caps:016x}\nSeccomp:\t0\n",
        )
        self.write(
            f"{number}/limits",
            f"Limit\nMax processes             {limit:<21}{limit:<21}processes \n",
        )
        self.user_ns(self.root / str(number), self.root / "user")

    def counts(self) -> TaskCounts:
        return TaskCounts(ProcFs(self.root))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(forking, "_PROC_USER_INIT_INO", (tmp_path / "user").stat().st_ino)
    return made


def of_host(threads: int = 300) -> TasksLimit:
    return TasksLimit("this host", 400, threads, "threads-max")


def of_user(uid: int, limit: int, tasks: int | None) -> TasksLimit:
    return TasksLimit(f"user {uid}", limit, tasks, "RLIMIT_NPROC")


def test_a_users_tasks_are_counted_threads_and_all(host: Host) -> None:
    host.task(5, 1000, threads=2)
    host.task(6, 1000)
    host.task(7, 1001)
    assert host.counts().limits(5) == [of_user(1000, 3, 3), of_host()]
    assert host.counts().limits(5)[0].is_reached


def test_of_a_task_that_has_gone_only_the_limit_of_the_host_is_read(host: Host) -> None:
    host.task(6, 1000)
    assert host.counts().limits(5) == [of_host()]


@pytest.mark.parametrize(("uid", "caps"), [(0, 0), (1000, SYS_ADMIN)])
def test_an_exempt_user_has_no_limit(host: Host, uid: int, caps: int) -> None:
    host.task(5, uid, caps=caps)
    assert host.counts().limits(5) == [of_host()]


@pytest.mark.parametrize("limit", ["unlimited", "301", "0x"])
def test_no_task_is_read_for_a_limit_beyond_all_tasks(
    host: Host, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.task(5, 1000, limit=limit)
    monkeypatch.setattr(ProcFs, "numbers", lambda procfs: pytest.fail("looked"))
    assert host.counts().limits(5) == [of_host()]


def test_counts_hold_for_a_second_and_few_are_made(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(task_counts.time, "monotonic", lambda: now[0])
    host.task(5, 1000)
    counts = host.counts()
    assert counts.limits(5) == [of_user(1000, 3, 1), of_host()]
    host.task(6, 1000)
    host.threads(301)
    assert counts.limits(5) == [of_user(1000, 3, 1), of_host()]
    assert counts.limits(6) == [of_user(1000, 3, 1), of_host(301)]
    now[0] += 1
    assert counts.limits(5) == [of_user(1000, 3, 2), of_host(301)]
    for uid in range(1001, 1005):
        host.task(uid, uid)
    found = [counts.limits(uid)[0] for uid in range(1001, 1005)]
    assert found == [*(of_user(uid, 3, 1) for uid in range(1001, 1004)), of_user(1004, 3, None)]
    assert not found[-1].is_reached
    for gone in range(2000, 2015):
        counts.limits(gone)
    assert len(counts._read) == 20
    assert counts.limits(6) == []
    now[0] += 1
    assert counts.limits(6) == [of_user(1000, 3, 2), of_host(301)]


def test_of_this_kernel_what_can_be_read_is_read() -> None:
    """Whether a limit is reached is the machine's load, which is not the test's."""
    *_, found = TaskCounts(ProcFs()).limits(os.getpid())
    limit = int(Path("/proc/sys/kernel/threads-max").read_text())
    assert (found.name, found.max) == ("threads-max", limit)
    assert found.current is not None and found.current > 0
