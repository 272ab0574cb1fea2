"""What has ended, and what only seems to have: a leader, a namespace's number 1, a traced child."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidscope.cli import main
from pidscope.host.proc import ProcFs
from pidscope.limits import numbers as read_numbers
from tests.unit.commands.asked import (
    Answer,
    alive,
    await_state,
    needs_root,
    only_child,
    put_proc,
    scenario,
    take_for_initial,
    valid,
)

# The main thread ends by exit(2), as pthread_exit() does; the other forks, and ends the process.
LEADERLESS = """
import ctypes, os, sys, threading
main = threading.get_native_id()
def other():
    while open(f"/proc/self/task/{main}/stat").read().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()
    assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0
    print(threading.get_native_id(), flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=other).start()
ctypes.CDLL(None).syscall(%d, 0)
""" % (93 if os.uname().machine == "aarch64" else 60)  # noqa: UP031

LEADER_GONE = (
    "init: clone NEWPID -> box",
    "box: exec tini",
    "box: fork -> job",
    "job: exec server",
    "job: clone THREAD -> worker",
    "job: exit 0",
    "worker: fork -> child",
)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    assert main([*arguments, "-J"]) == 0
    return valid(capsys.readouterr().out)


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    assert main([*arguments]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


# --- the leader's end is not the process's --------------------------------------------------------
# opentelemetry-ebpf-profiler#365, elastic/ebpf#64; psutil 7.2 also takes a leader's end for that of
# its process. Observed on 6.18.


def test_a_process_goes_on_without_its_main_thread(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEADERLESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        thread = int(process.stdout.readline())
        where = ("--in", f"pid:{process.pid}")
        limits = document(capsys, "limits", *where)
        assert (limits["process"]["pid"], limits["process"]["tid"]) == (process.pid, thread)
        assert main(["limits", *where]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"main thread exited, by thread {thread}: " in said
        assert "exited, and forks no more" not in said
        [it] = [it for it in document(capsys, "ps")["processes"] if it["pid"] == process.pid]
        assert (it["state"], it["ended"], it["tracer"]) == ("Z", False, 0)
        zombies = document(capsys, "ps", "--zombies")["processes"]
        assert process.pid not in [it["pid"] for it in zombies]
        assert main(["lookup", str(process.pid)]) == 0
        assert capsys.readouterr().out.endswith("process, its main thread has exited\n")


def test_of_a_leader_that_ended_alone_no_parent_has_to_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--source", scenario(tmp_path, *LEADER_GONE))
    assert lines(capsys, "ps", "--zombies", "-n", *source) == []
    states = {it[0]: it[1] for it in lines(capsys, "ps", "-n", "-o", "PID,STAT", *source)}
    assert states == {"1": "S", "2": "S", "3": "S", "4": "Zl", "6": "S"}
    [box] = [it for it in document(capsys, "ns", *source)["namespaces"] if it["level"] == 1]
    assert (box["processes"], box["threads"], box["zombies"]) == (3, 4, 0)
    limits = document(capsys, "limits", "--in", "pid:4", *source)
    assert (limits["process"]["pid"], limits["process"]["tid"]) == (4, 5)
    assert limits["next_fork"]["room"] > 0


def test_once_its_last_thread_has_ended_it_is_a_zombie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--source", scenario(tmp_path, *LEADER_GONE, "worker: exit_group 3"))
    assert [it[0] for it in lines(capsys, "ps", "--zombies", "-n", *source)] == ["4"]
    [it] = document(capsys, "ps", "--zombies", *source)["processes"]
    assert (it["ended"], it["tracer"]) == (True, 0)
    [box] = [it for it in document(capsys, "ns", *source)["namespaces"] if it["level"] == 1]
    assert box["zombies"] == 1
    assert main(["limits", "--in", "pid:4", *source]) == 1
    assert "has exited, and forks no more" in capsys.readouterr().err


# --- a zombie that a tracer holds -----------------------------------------------------------------

# Traces its argument (PTRACE_SEIZE), says so, and waits for nothing.
TRACER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.prctl(15, b"a tracer")
assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0, ctypes.get_errno()
print("ready", flush=True)
sys.stdin.read()
"""


@needs_root
def test_a_tracer_has_to_wait_before_the_parent(capsys: pytest.CaptureFixture[str]) -> None:
    """Observed on 6.18: wait4() of the parent gives nothing until the tracer has waited."""
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    with alive(sys.executable, "-c", TRACER, str(child), says=b"ready\n") as tracer:
        os.kill(child, signal.SIGKILL)
        await_state(child, "Z")
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        zombies = document(capsys, "ps", "--zombies")["processes"]
        [it] = [it for it in zombies if it["pid"] == child]
        assert (it["ended"], it["tracer"]) == (True, tracer)
        rows = lines(capsys, "ps", "--zombies", "-n", "-o", "PID,REAPER")
        assert [str(child), "a", "tracer", "(tracer)"] in rows
        assert main(["lookup", str(child)]) == 0
        assert capsys.readouterr().out.endswith("zombie, its tracer has yet to wait\n")
    os.waitpid(child, 0)


@pytest.mark.parametrize(("tracer", "reaper"), [(0, "x"), (7, "x"), (9, "x (tracer)"), (99, "?")])
def test_who_has_to_wait_for_a_zombie(
    tmp_path: Path, tracer: int, reaper: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parent that traces its child itself waits once; 99 has vanished."""
    put_proc(tmp_path)
    _put_zombie(tmp_path, 8, 7, f"TracerPid:\t{tracer}\n", threads=1)
    _put_zombie(tmp_path, 9, 7, "", threads=1)
    (tmp_path / "1" / "status").write_text((tmp_path / "7" / "status").read_text())
    assert main(["ps", "--zombies", "-n", "-o", "PID,REAPER", "--proc", str(tmp_path)]) == 0
    row = capsys.readouterr().out.splitlines()[0].split(maxsplit=1)
    assert row == ["8", reaper if reaper != "?" else "? (tracer)"]


def test_a_status_that_does_not_say_how_many_threads_leaves_it_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_proc(tmp_path)
    _put_zombie(tmp_path, 8, 7, "", threads=None)
    [it] = document(capsys, "ps", "--zombies", "--proc", str(tmp_path))["processes"]
    assert (it["ended"], it["tracer"]) == (None, None)


def _put_zombie(root: Path, number: int, ppid: int, tracer: str, threads: int | None) -> None:
    task = root / str(number)
    (task / "ns").mkdir(parents=True)
    (task / "ns" / "pid").symlink_to("pid:[77]")
    (task / "stat").write_text(f"{number} (x) Z " + "0 " * 40)
    (task / "status").write_text(
        f"Name:\tx\nState:\tZ (zombie)\nTgid:\t{number}\nPid:\t{number}\nPPid:\t{ppid}\n{tracer}"
        f"NStgid:\t{number}\nNSpid:\t{number}\nNSpgid:\t0\nNSsid:\t0\n"
        + ("" if threads is None else f"Threads:\t{threads}\n")
    )


# --- namespaces that take no process --------------------------------------------------------------


@contextlib.contextmanager
def _unshared(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["unshare", "--pid", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _comm(pid: int, comm: str) -> None:
    while Path(f"/proc/{pid}/comm").read_text() != f"{comm}\n":
        os.sched_yield()


@needs_root
def test_a_namespace_that_is_dying(capsys: pytest.CaptureFixture[str]) -> None:
    """Observed on 6.18: its init waits for a zombie whose parent is outside, every fork ENOMEM."""
    with _unshared("--fork", "--kill-child", "sleep", "600") as process:
        init = only_child(process.pid)
        ns = Path(f"/proc/{init}/ns/pid").stat().st_ino
        _comm(init, "sleep")
        enter = ["nsenter", "-t", str(init), "--pid", "sleep", "600"]
        with subprocess.Popen(enter) as entered:
            try:
                joined = only_child(entered.pid)
                os.kill(entered.pid, signal.SIGSTOP)
                await_state(entered.pid, "T")
                before = document(capsys, "limits", "--in", f"ns:{ns}")["next_fork"]
                assert before["errno"] == "EAGAIN"
                os.kill(init, signal.SIGKILL)
                await_state(joined, "Z")
                after = document(capsys, "limits", "--in", f"ns:{ns}")["next_fork"]
                assert (after["room"], after["errno"], after["certain"]) == (0, "ENOMEM", True)
                found = document(capsys, "ns")["namespaces"]
                assert [it["dying"] for it in found if it["ns"] == ns] == [True]
                assert [it["dying"] for it in found if it["init"] == 1] in ([False], [])
                rows = lines(capsys, "ns", "-n", "-o", "NS,COMM")
                assert [str(ns), "sleep", "<dying>"] in rows
            finally:
                entered.kill()


def test_a_dying_namespace_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Its init is in state S, as observed on 6.18."""
    source = ("--source", "simulated:dying-init")
    [box] = [it for it in document(capsys, "ns", *source)["namespaces"] if it["level"] == 1]
    assert box["dying"] is True
    [init] = [it for it in document(capsys, "ps", *source)["processes"] if it["pid"] == box["init"]]
    assert (init["state"], init["ended"]) == ("S", False)


@needs_root
def test_unshare_without_fork_after_its_first_child(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observed on 6.18: the first child was number 1, and with it the namespace has died."""
    take_for_initial(monkeypatch)
    shell = ("sh", "-c", "echo; read x; /bin/true; echo; read x; /bin/true || echo $?; read x")
    with _unshared(*shell) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        young = document(capsys, "limits", "--in", f"pid:{process.pid}")["next_fork"]
        assert young["errno"] != "ENOMEM" and young["certain"] is False
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        known = read_numbers.can_read_before_init(ProcFs())
        limits = document(capsys, "limits", "--in", f"pid:{process.pid}")
        [bound] = [it for it in limits["bounds"] if it["name"] == "number 1"]
        if known:  # since 7.1 it might also be one that has had no number 1 yet
            assert (bound["room"], limits["next_fork"]["certain"]) == (None, False)
            return
        assert known is False
        assert (bound["room"], bound["errno"]) == (0, "ENOMEM")
        assert limits["next_fork"]["certain"] is True
        ours = Path("/proc/self/ns/pid").stat().st_ino
        assert limits["process"]["ns"] not in (None, ours)


@needs_root
def test_what_limits_makes_to_find_that_out_is_gone_again() -> None:
    before = ProcFs().numbers()
    assert read_numbers.can_read_before_init(ProcFs()) in (True, False)
    assert not [it for it in ProcFs().numbers() if it not in before and _is_ours(it)]
    assert ProcFs().children_ns(os.getpid()) == ProcFs().pid_ns(os.getpid())


def _is_ours(pid: int) -> bool:
    status = ProcFs().read_status(pid)
    return status is not None and status.ppid == os.getpid()


# --- who came from outside ------------------------------------------------------------------------


@needs_root
def test_the_children_of_a_process_that_entered_came_from_outside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Observed on 6.18: ``nsenter … sh -c 'sleep &'``: only sh had the j."""
    with _unshared("--fork", "--kill-child", "sh", "-c", "echo; sleep 600 & wait") as process:
        assert process.stdout is not None
        process.stdout.readline()
        init = only_child(process.pid)
        own = only_child(init)
        script = "setsid sleep 600 & echo; wait"
        with subprocess.Popen(
            ["nsenter", "-t", str(init), "--pid", "sh", "-c", script], stdout=subprocess.PIPE
        ) as entered:
            try:
                assert entered.stdout is not None
                entered.stdout.readline()
                shell = only_child(entered.pid)
                child = only_child(shell)
                found = document(capsys, "ps", "--in", f"pid:{init}")["processes"]
                joined = {it["pid"]: it["joined"] for it in found}
                assert joined == {init: False, own: False, shell: True, child: True}
            finally:
                entered.kill()


# --- what watch prints of it ----------------------------------------------------------------------


def test_watch_prints_the_end_of_the_process_with_its_last_thread(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It printed "status 0" at the end of the main thread, long before the end with 3."""
    source = ("--source", scenario(tmp_path, *LEADER_GONE, "worker: exit_group 3"))
    assert main(["watch", "-n", "--type", "exit", *source]) == 0
    rows = [line[13:].split(maxsplit=3) for line in capfd.readouterr().out.splitlines()]
    assert rows == [
        ["exit", "4/2", "server", "main thread only"],
        ["exit", "5/3", "server", "status 3, ends 4"],
    ]
    assert main(["watch", "-J", "--type", "exit", *source]) == 0
    exits = [valid(line) for line in capfd.readouterr().out.splitlines()][1:]
    assert [(it["tid"], it["exit_code"], it["process_ended"]) for it in exits] == [
        (4, 0, False),
        (5, 3 << 8, True),
    ]
