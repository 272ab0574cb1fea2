"""pids.max of the cgroups around a failed fork, from trees of files that look like a kernel's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import pidscope.limits.pids_files as cgroup_files
from pidscope.host.proc import ProcFs
from pidscope.limits.pids_files import CgroupFiles
from pidscope.limits.tasks_limit import MAX, TasksLimit


class Host:
    """A /proc and a cgroup file system, version 2 unless there is a version 1."""

    def __init__(self, root: Path) -> None:
        self.proc, self.mount, self.v1 = root / "proc", root / "cg", root / "v1"
        for directory in (self.proc / "self", self.mount, self.v1):
            directory.mkdir(parents=True)
        self.mounts(f"29 23 0:26 / {self.mount} rw - cgroup2 cgroup2 rw\n")

    def mounts(self, text: str) -> None:
        (self.proc / "self" / "mountinfo").write_text(text)

    def cgroup(self, path: str, most: str, current: str, root: Path | None = None) -> int:
        directory = (root or self.mount) / path
        directory.mkdir(parents=True)
        (directory / "pids.max").write_text(most + "\n")
        (directory / "pids.current").write_text(current + "\n")
        return directory.stat().st_ino

    def task(self, number: int, text: str) -> None:
        (self.proc / str(number)).mkdir(exist_ok=True)
        (self.proc / str(number) / "cgroup").write_text(text)

    def files(self) -> CgroupFiles:
        return CgroupFiles(ProcFs(self.proc))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


LIMITS = [TasksLimit("/box/app", MAX, 8), TasksLimit("/box", 8, 8)]


@pytest.fixture
def inode(host: Host) -> int:
    """The id of /box/app."""
    host.cgroup("box", "8", "8")
    return host.cgroup("box/app", "max", "8")


def test_the_forkers_own_file_names_the_place(
    host: Host, inode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.task(5, "0::/box/app\n")
    monkeypatch.setattr(cgroup_files, "_MOST_WALKED", 0)
    assert host.files().limits(inode, 5) == LIMITS


def test_refusals_are_the_limits_own_where_there_is_a_local_file(host: Host, inode: int) -> None:
    """Elsewhere they count the forks that failed there, whichever cgroup's limit it was."""
    host.task(5, "0::/box/app\n")
    for path, events in (("box", "max 23\n"), ("box/app", "max 7\n")):
        (host.mount / path / "pids.events").write_text(events)
    own = [LIMITS[0]._replace(events=7), LIMITS[1]._replace(events=23)]
    assert host.files().limits(inode, 5) == own
    (host.mount / "box" / "pids.events.local").write_text("max 5\n")
    (host.mount / "box" / "app" / "pids.events.local").write_text("nonsense\n")
    assert host.files().limits(inode, 5) == [
        LIMITS[0],
        LIMITS[1]._replace(events=23, events_local=5),
    ]


def test_one_that_has_gone_or_moved_is_found_by_the_id(host: Host, inode: int) -> None:
    host.cgroup("aaa", "max", "0")
    assert host.files().limits(inode, 5) == LIMITS
    host.task(5, "0::/aaa\n")
    assert host.files().limits(inode, 5) == LIMITS
    assert host.files().limits(inode + 1_000_000, 5) is None


@pytest.mark.usefixtures("inode")
def test_one_that_has_gone_from_the_root_is_found_without_a_walk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root itself has no limit, which is something else than not to know."""
    monkeypatch.setattr(cgroup_files, "_MOST_WALKED", 0)
    assert host.files().limits(host.mount.stat().st_ino, 5) == []


@pytest.mark.parametrize(("most", "found"), [(1, None), (2, LIMITS)])
def test_the_walk_is_bounded(
    host: Host, inode: int, monkeypatch: pytest.MonkeyPatch, most: int, found: Any
) -> None:
    monkeypatch.setattr(cgroup_files, "_MOST_WALKED", most)
    assert host.files().limits(inode, 5) == found


def test_what_was_read_holds_for_a_second_and_few_are_read(
    host: Host, inode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(cgroup_files.time, "monotonic", lambda: now[0])
    files = host.files()
    host.task(5, "0::/box/app\n")
    assert files.limits(inode, 5) == LIMITS
    (host.mount / "box" / "pids.current").write_text("7\n")
    assert files.limits(inode, 5) == LIMITS
    now[0] += 1
    assert files.limits(inode, 5) == [LIMITS[0], TasksLimit("/box", 8, 7)]
    for other in range(1, 20):
        files.limits(inode + other, 5)
    fresh = host.cgroup("fresh", "1", "1")
    host.task(6, "0::/fresh\n")
    assert files.limits(fresh, 6) is None
    now[0] += 1
    assert files.limits(fresh, 6) == [TasksLimit("/fresh", 1, 1)]


def test_version_1_has_its_own_hierarchy(host: Host) -> None:
    host.mounts(
        f"29 23 0:26 / {host.mount} rw - cgroup2 cgroup2 rw\n"
        f"30 23 0:27 / {host.v1} rw - cgroup cgroup rw,pids\n"
    )
    inode = host.cgroup("box", "max", "1")
    host.cgroup("box", "4", "4", host.v1)
    host.task(5, "8:pids:/box\n0::/box\n")
    assert host.files().limits(inode, 5) == [TasksLimit("/box", 4, 4)]
    assert host.files().limits(inode, 6) is None  # it has gone, and the id is of the other one


def test_names_are_escaped_and_broken_files_are_unknown(host: Host) -> None:
    inode = host.cgroup("a\x1bb", "x", "y")
    host.task(5, "0::/a\x1bb\n")
    assert host.files().limits(inode, 5) == [TasksLimit("/a\\x1bb", None, None)]
    host.task(5, "nonsense\n")
    assert host.files().limits(inode, 5) is None
    (host.proc / "self" / "mountinfo").unlink()
    assert host.files().limits(inode, 5) is None


def test_of_this_kernel_all_that_can_be_read_is_read() -> None:
    """Some kernels have no cgroup2, some no pids controller: then it is None or nothing."""
    found = CgroupFiles(ProcFs()).limits(1, os.getpid())
    assert found is None or all(limit.of.startswith("/") for limit in found)
