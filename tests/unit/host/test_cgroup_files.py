"""One ``/proc/N/cgroup`` for all processes of a cgroup, only where it is certainly theirs."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from pidscope.host.cgroup_files import CgroupFiles


class Host:
    """A /proc, and a hierarchy of v2 whose directories' inode numbers are their ids."""

    def __init__(self, root: Path) -> None:
        self.proc, self.tree = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.tree.mkdir()
        self.mount("/")
        (self.proc / "self" / "cgroup").write_text("0::/\n")

    def mount(self, root: str) -> None:
        line = f"31 23 0:28 {root} {self.tree} rw - cgroup2 cgroup2 rw\n"
        (self.proc / "self" / "mountinfo").write_text(line)

    def cgroup(self, path: str) -> int:
        (self.tree / path).mkdir(parents=True)
        return (self.tree / path).stat().st_ino

    def process(self, number: int, content: str) -> None:
        (self.proc / str(number)).mkdir()
        (self.proc / str(number) / "cgroup").write_text(content)

    def read(self, ids: dict[int, int]) -> dict[int, bytes]:
        found = CgroupFiles()
        found.read_by_id(str(self.proc), ids)
        assert not found.unread
        return found.found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_one_file_stands_for_all(host: Host) -> None:
    web, db = host.cgroup("web"), host.cgroup("db")
    host.process(7, "0::/web\n")
    host.process(9, "0::/db\n")
    assert host.read({7: web, 8: web, 9: db}) == {7: b"0::/web\n", 8: b"0::/web\n", 9: b"0::/db\n"}


@pytest.mark.parametrize("content", ["0::/db\n", "0::/web (deleted)\n", "0::/../web\n", "", "\n"])
def test_each_is_read_if_the_first_is_elsewhere(host: Host, content: str) -> None:
    """It was moved after the walk, or its cgroup was removed, or is outside the reader's."""
    web = host.cgroup("web/web")
    host.cgroup("db")
    host.process(7, content)
    host.process(8, "0::/web\n")
    assert host.read({7: web, 8: web, 9: web}) == {7: content.encode(), 8: b"0::/web\n"}


@pytest.mark.parametrize("own", ["1:name=systemd:/\n0::/\n", "4:memory:/\n", None])
def test_each_is_read_beside_v1(host: Host, own: str | None) -> None:
    web = host.cgroup("web")
    (host.proc / "self" / "cgroup").unlink()
    if own is not None:
        (host.proc / "self" / "cgroup").write_text(own)
    host.process(7, "0::/web\n")
    host.process(8, "4:memory:/other\n0::/web\n")
    assert host.read({7: web, 8: web}) == {7: b"0::/web\n", 8: b"4:memory:/other\n0::/web\n"}


def test_each_is_read_if_only_a_part_is_mounted(host: Host) -> None:
    web = host.cgroup("web")
    host.mount("/below")
    for number in (7, 8):
        host.process(number, "0::/web\n")
    (host.proc / "8" / "cgroup").write_text("0::/other\n")
    assert host.read({7: web, 8: web}) == {7: b"0::/web\n", 8: b"0::/other\n"}


@pytest.mark.parametrize("content", ["0::/web\n", "1:name=systemd:/web\n0::/web\n"])
def test_the_line_of_v2_ends_the_reading(
    host: Host, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the first: a second read of a file costs a system call for each process."""
    host.process(7, content)
    read = Mock(wraps=os.read)
    monkeypatch.setattr("os.read", read)
    assert CgroupFiles().read(7, f"{host.proc}/7/cgroup") == content.encode()
    assert read.call_count == 1
