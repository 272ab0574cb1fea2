"""The commands on a /proc that lacks what the question does not need, or is damaged somewhere."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pidscope.cli import main
from pidscope.host import proc_files, read_in_time
from tests.unit.commands.asked import STATUS, Answer, put_proc, put_process, valid


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Processes 1, 7 (the reader), 8 and 9, all in one namespace."""
    put_proc(tmp_path)
    for number in (1, 8, 9):
        put_process(tmp_path, number) if number != 1 else None
    (tmp_path / "1" / "status").write_text(STATUS.format(1))
    for number in (1, 7, 8, 9):
        (tmp_path / str(number) / "task" / str(number)).mkdir(parents=True)
        (tmp_path / str(number) / "cgroup").write_text("0::/init.scope\n")
    with (tmp_path / "8" / "status").open("a") as status:
        status.write("Uid:\t0\t0\t0\t0\nThreads:\t1\nSigQ:\t0/1\nCapEff:\t0000000000000000\n")
    (tmp_path / "loadavg").write_text("0 0 0 1/9 99\n")
    return tmp_path


def text(capsys: Any, *arguments: str) -> tuple[int, list[str], str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.replace("\npidscope:", "")


def document(capsys: Any, *arguments: str) -> Answer:
    assert main(list(arguments)) == 0
    return valid(capsys.readouterr().out)


def no_file(stat: Path) -> None:
    """A mount with subset=pid, since 5.8."""
    stat.unlink()


def no_btime(stat: Path) -> None:
    """Some versions of lxcfs."""
    stat.write_text("cpu  1 2 3\nprocesses 9\n")


def no_number(stat: Path) -> None:
    stat.write_text("btime x\n")


def a_directory(stat: Path) -> None:
    """Neither ENOENT nor EACCES."""
    stat.unlink()
    stat.mkdir()


@pytest.mark.parametrize("damage", [no_file, no_btime, no_number, a_directory])
@pytest.mark.parametrize(
    "command", [["ns"], ["ps"], ["lookup", "8"], ["explain", "8"], ["limits", "--in", "pid:8"]],
    ids=lambda it: it[0],
)  # fmt: skip
def test_without_btime_all_but_the_start_is_answered(
    command: list[str], damage: Any, proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(proc / "stat")
    assert main([*command, "--proc", str(proc)]) == 0
    found = document(capsys, "ps", "-J", "--proc", str(proc)) if capsys.readouterr() else {}
    assert [(it["pid"], it["start_time"]) for it in found["processes"]] == [
        (number, None) for number in (1, 7, 8, 9)
    ]
    assert found["processes"][2]["id"] == "8@0" and found["complete"]
    assert text(capsys, "ps", "-n", "-o", "START", "--proc", str(proc))[1] == ["?"] * 4


def test_a_stat_that_may_not_be_read(
    proc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Android: /proc/stat is EACCES for apps, by its SELinux policy."""
    real = os.open

    def denied(path: Any, *arguments: Any, **more: Any) -> int:
        if path == f"{proc}/stat":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **more)

    monkeypatch.setattr(proc_files.os, "open", denied)
    assert document(capsys, "ps", "-J", "--proc", str(proc))["processes"][0]["start_time"] is None


def malformed(status: Path) -> None:
    status.write_text(status.read_text().replace("PPid:\t", "PPid:\t-"))


def empty(status: Path) -> None:
    status.write_bytes(b"")


def endless(status: Path) -> None:
    status.unlink()
    status.symlink_to("/dev/zero")


def silent(status: Path) -> None:
    """A FIFO mounted over it: who opens it waits for a writer."""
    status.unlink()
    os.mkfifo(status)


def unreadable(status: Path) -> None:
    status.unlink()
    status.mkdir()


@pytest.mark.parametrize("damage", [malformed, empty, endless, silent, unreadable])
def test_a_damaged_status_costs_its_row_and_is_named(
    damage: Any, proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(proc / "8" / "status")
    code, rows, err = text(capsys, "ps", "-n", "-o", "PID", "--proc", str(proc))
    assert (code, [row.strip() for row in rows]) == (0, ["1", "7", "9"])
    assert "missing: process 8: " in err and "run as root" not in err
    found = document(capsys, "ps", "-J", "--proc", str(proc))
    assert [(it["pid"], it["what"]) for it in found["unread"]] == [(8, "task")]
    assert not found["complete"] and found["notes"]
    # Whether 8 is what is asked for is not known, and not denied.
    code, _, err = text(capsys, "lookup", "8", "--proc", str(proc))
    assert code == 3 and "missing: process 8: " in err and "run as root" not in err
    assert text(capsys, "lookup", "-q", "9", "--proc", str(proc))[:2] == (0, ["9"])


def test_only_some_damaged_rows_are_named(proc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20, 30):
        put_process(proc, number)
        empty(proc / str(number) / "status")
    code, _, err = text(capsys, "ns", "--proc", str(proc))
    assert code == 0 and err.count("missing: ") == 5 and "… and 5 more" in err
    assert len(document(capsys, "ns", "-J", "--proc", str(proc))["unread"]) == 10


def test_a_damaged_reader_is_an_error(proc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its own status it is not known whose numbers these are."""
    malformed(proc / "7" / "status")
    code, rows, err = text(capsys, "ps", "--proc", str(proc))
    assert (code, rows) == (3, []) and "7/status:5: not a number" in err


def test_a_cgroup_that_cannot_be_read_costs_its_container(
    proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """proc_cgroup_show() gives ENAMETOOLONG beyond PATH_MAX; here it is EISDIR."""
    (proc / "8" / "cgroup").unlink()
    (proc / "8" / "cgroup").mkdir()
    columns = ["ps", "-n", "-o", "PID,CONTAINER", "--proc", str(proc)]
    _, rows, err = text(capsys, *columns)
    assert [row.split()[1] for row in rows][2] == "?"
    assert "not known: the container of process 8: " in err
    found = document(capsys, "ps", "-J", "--proc", str(proc))
    assert [(it["pid"], it["what"]) for it in found["unread"]] == [(8, "cgroup")]
    assert not found["containers_known"] and found["complete"]


def test_limits_without_a_cgroup_that_can_be_read(
    proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (proc / "8" / "cgroup").write_text("nothing of the kernel's\n")
    code, rows, _ = text(capsys, "limits", "--in", "pid:8", "--proc", str(proc))
    assert code == 0 and any("cgroups not seen" in row for row in rows)


@pytest.mark.parametrize("command", [["ns"], ["lookup", "1"], ["explain", "1"]], ids=str)
def test_a_kernel_that_is_none(
    command: list[str], proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """gVisor (release 20240101) and WSL 1 print a status without NS lines."""
    for number in (1, 7, 8, 9):
        status = proc / str(number) / "status"
        status.write_text(status.read_text().partition("NStgid")[0])
    code, rows, err = text(capsys, *command, "--proc", str(proc))
    assert (code, rows) == (3, [])
    assert "no NS lines" in err and "gVisor" in err and "WSL 1" in err


@pytest.fixture
def lxcfs(proc: Path) -> Path:
    """lxcfs 5 over two files, as in a container of Incus or Proxmox (``lxcfs -l``)."""
    mounts = [f"20 1 0:5 / {proc} rw - proc proc rw"]
    for name in ("stat", "loadavg"):
        mounts.append(f"21 20 0:50 /proc/{name} {proc}/{name} rw - fuse.lxcfs lxcfs rw")
    (proc / "7" / "mountinfo").write_text("\n".join(mounts) + "\n")
    return proc


@pytest.mark.parametrize("hangs", [False, True])
def test_an_lxcfs_that_hangs_costs_what_it_would_show(
    hangs: bool, lxcfs: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observed on 6.18: a reader is in state D, and SIGKILL does not end it."""
    if hangs:
        monkeypatch.setattr(read_in_time, "TIMEOUT_S", 0.02)
        monkeypatch.setattr(read_in_time, "read_file", lambda *_: signal.pause())
    found = document(capsys, "ps", "-J", "--proc", str(lxcfs))["processes"]
    assert len(found) == 4 and {it["start_time"] is None for it in found} == {hangs}
    last = document(capsys, "ns", "-J", "--proc", str(lxcfs))["namespaces"][0]["last_pid"]
    assert last == (None if hangs else 99)


def test_what_lxcfs_does_not_cover_is_read_directly(
    lxcfs: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lxcfs / "7" / "mountinfo").write_text(f"20 1 0:5 / {lxcfs} rw - proc proc rw\n")
    monkeypatch.setattr(read_in_time, "read_in_time", pytest.fail)
    found = document(capsys, "ps", "-J", "--proc", str(lxcfs))["processes"]
    assert all(it["start_time"] for it in found)


@pytest.mark.parametrize("size", [0, 5, 1 << 18])
def test_what_a_child_reads_comes_whole(size: int, tmp_path: Path) -> None:
    """More than a pipe holds, too."""
    (tmp_path / "stat").write_bytes(b"x" * size + b"\nbtime 1\n")
    found = read_in_time.read_in_time(str(tmp_path / "stat"), b"\nbtime ")
    assert found == b"x" * size + b"\nbtime 1\n"
    assert read_in_time.read_in_time(str(tmp_path / "none")) is None
