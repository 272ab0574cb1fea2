"""A /proc that hides, as mountinfo, status and an absent process 1 show it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pidscope import cli
from pidscope.errors import ProcError
from pidscope.host import hiding
from pidscope.host.hiding import ProcMount, parse_proc_mount
from pidscope.host.proc import ProcFs
from tests.unit.commands.asked import put_process

# proc(5): hidepid= and gid= since 3.3, subset= since 5.8, which also prints words for digits.
ROOT_MOUNT = "20 1 0:5 / {} rw - proc proc rw{}\n"
PTRACE, NOTHING = "0000000000080000", "0000000000000000"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ProcMount()),
        (
            ROOT_MOUNT.format("/proc", "")
            + "21 20 0:9 /proc/stat /proc/stat rw - fuse.lxcfs l rw\n",
            ProcMount(files=frozenset({"stat"})),
        ),
        (ROOT_MOUNT.format("/proc", ""), ProcMount()),
        (ROOT_MOUNT.format("/proc", ",hidepid=0"), ProcMount()),
        (ROOT_MOUNT.format("/proc", ",hidepid=off"), ProcMount()),
        (ROOT_MOUNT.format("/proc", ",hidepid=2,gid=7"), ProcMount("2", "", 7)),
        (ROOT_MOUNT.format("/proc", ",hidepid=invisible"), ProcMount("invisible")),
        (ROOT_MOUNT.format("/proc", ",subset=pid"), ProcMount("", "pid")),
        (ROOT_MOUNT.format("/other", ",hidepid=2"), ProcMount()),
        # The topmost one counts.
        (ROOT_MOUNT.format("/proc", ",hidepid=2") + ROOT_MOUNT.format("/proc", ""), ProcMount()),
        (
            ROOT_MOUNT.format("/proc", "")
            + "30 20 0:9 / /proc/42/status rw - fuse.x x rw\n"
            + "31 20 0:9 / /proc/43 rw - tmpfs t rw\n"
            + "32 20 0:9 / /proc/sys rw - proc proc ro\n"
            + "33 20 0:9 / /procfs/44 rw - tmpfs t rw\n"
            + "malformed\n",
            ProcMount(covered=frozenset({42, 43}), files=frozenset({"sys"})),
        ),
    ],
    ids=str,
)
def test_what_mountinfo_shows(lines: str, expected: ProcMount) -> None:
    assert parse_proc_mount(lines.encode(), "/proc") == expected


def test_a_mount_point_with_a_space() -> None:
    line = ROOT_MOUNT.format(r"/a\040b", ",hidepid=2")
    assert parse_proc_mount(line.encode(), "/a b") == ProcMount("2")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mount that a reader, process 7, sees whole; the groups of this process do not matter."""
    for number in (1, 7):
        put_process(tmp_path, number)
    (tmp_path / "self").symlink_to("7")
    monkeypatch.setattr(hiding.os, "getgroups", list)
    monkeypatch.setattr(hiding.os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def mounted(proc: Path, options: str, capabilities: str, more: str = "") -> ProcFs:
    (proc / "7" / "mountinfo").write_text(ROOT_MOUNT.format(proc, options) + more)
    status = (proc / "7" / "status").read_text().partition("CapEff")[0]
    (proc / "7" / "status").write_text(f"{status}CapEff:\t{capabilities}\n")
    return ProcFs(proc)


def test_with_the_capability_nothing_is_hidden(proc: Path) -> None:
    procfs = mounted(proc, ",hidepid=2", PTRACE)
    assert procfs.hides() == "" and procfs.sees_all()


@pytest.mark.parametrize(
    ("options", "group", "hides"),
    [
        ("", 1000, ""),
        (",hidepid=2", 1000, "hidepid=2, and this process lacks CAP_SYS_PTRACE"),
        (",hidepid=1", 1000, "hidepid=1, and this process lacks CAP_SYS_PTRACE"),
        (",hidepid=invisible,gid=1000", 1000, ""),
        (",hidepid=ptraceable,gid=1000", 1000, "hidepid=ptraceable, and this process lacks"),
        (",subset=pid", 1000, "subset=pid: it lacks files"),
    ],
)
def test_a_root_without_the_capability(proc: Path, options: str, group: int, hides: str) -> None:
    """Issue 15: under hidepid=2 without CAP_SYS_PTRACE, verify reported 1,518 ghosts."""
    procfs = mounted(proc, options, NOTHING)
    assert hides in procfs.hides() and bool(hides) == bool(procfs.hides())
    assert procfs.sees_all() == ("hidepid" not in hides)


def test_a_process_that_a_mount_covers(proc: Path) -> None:
    """mount --bind DIR /proc/N is an old way to hide a process; observed on 6.18."""
    procfs = mounted(proc, "", PTRACE, f"30 20 0:9 / {proc}/1 rw - tmpfs t rw\n")
    assert "mounted over process 1" in procfs.hides()
    snapshot = procfs.snapshot()
    assert [task.number for task in snapshot.tasks] == [7]
    assert [(it.number, it.what) for it in snapshot.unread] == [(1, "task")]


def test_hidden_process_1(proc: Path) -> None:
    (proc / "1" / "status").unlink()
    assert "hides process 1" in mounted(proc, "", PTRACE).hides()


def test_verify_judges_nothing_by_a_proc_that_hides(
    proc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason and exit status 3, before a program is loaded."""
    monkeypatch.setattr("pidscope.live.program.expect_root", lambda: None)
    mounted(proc, ",hidepid=2", NOTHING)
    assert cli.main(["verify", "--proc", str(proc)]) == 3
    out, err = capsys.readouterr()
    assert out == "" and "hidepid=2" in err and "CAP_SYS_PTRACE" in err and "--proc DIR" in err


@pytest.mark.parametrize("denied", [errno.EACCES, errno.EPERM])
def test_what_is_denied_has_not_vanished_to_a_judge(
    denied: int, proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPERM: hidepid=1 (``proc_pid_permission()``, fs/proc/base.c)."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(denied, os.strerror(denied))

    assert ProcFs(proc).judged_status(4711) is None
    monkeypatch.setattr("pidscope.host.proc_files.os.open", refuse)
    assert ProcFs(proc).read_status(7) is None
    with pytest.raises(ProcError, match=r"7/status:1: cannot be read \("):
        ProcFs(proc).judged_status(7)
