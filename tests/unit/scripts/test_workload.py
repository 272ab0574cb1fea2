"""scripts/workload keeps its promises: its command line anywhere, its counts natively as root."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from psutil import Process

from tests import CHECKOUT

SCRIPT = CHECKOUT / "scripts" / "workload"
EXACT = (
    "nested",
    "groups",
    "threads",
    "exec-thread",
    "held",
    "failed",
    "dying-init",
    "injected",
    "reuse",
    "short",
    "zombies",
    "hostile",
    "deep",
)
ARGUMENTS = {"short": ["200"], "failed": ["--no-cgroup"], "groups": ["--rounds", "200"]}
FORCED = os.environ.get("PIDSCOPE_WORKLOAD_TESTS") == "1"
TIME_LIMIT_S = 120
"""Other processes of the host add to `processes`; so many chances to find it quiet."""


def _may_run() -> bool:
    """Root, in the initial PID namespace (its inode number is fixed: PROC_PID_INIT_INO)."""
    return os.geteuid() == 0 and Path("/proc/self/ns/pid").stat().st_ino == 0xEFFFFFFC


natively = pytest.mark.skipif(
    not (_may_run() or FORCED),
    reason="needs root on the host; PIDSCOPE_WORKLOAD_TESTS=1 runs them, and they fail, anywhere",
)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )


def _expect(*arguments: str) -> dict[str, int]:
    done = _run(*arguments, "--expect")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def _created() -> int:
    """`processes` of /proc/stat: tasks created since boot, threads too (total_forks)."""
    found = re.search(r"^processes (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _namespaces_below(pid: int) -> set[int]:
    """The PID namespaces that the living descendants of a process are in, other than our own."""
    links = (Path(f"/proc/{child.pid}/ns/pid") for child in Process(pid).children(recursive=True))
    return {link.stat().st_ino for link in links} - {Path("/proc/self/ns/pid").stat().st_ino}


def test_list_names_every_workload() -> None:
    done = _run("--list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {*EXACT, "storm", "churn", "tree", "all"}
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-workload"],
        ["nested", "extra"],
        ["short", "0"],
        ["short", "many"],
        ["deep", "--depth", "33"],
        ["tree", "--seconds", "-1"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [*EXACT, "tree"])
def test_counts_are_consistent(name: str) -> None:
    counts = _expect(name)
    assert counts["births"] == counts["processes"] + counts["threads"] == counts["releases"]
    assert counts["transfer_pid"] == 3 * counts["exchange_tids"]
    assert min(counts.values()) >= 0


def test_counts_that_others_rely_on() -> None:
    assert _expect("nested")["births"] == 23
    assert _expect("short")["births"] == 2000
    assert _expect("short", "7", "--jobs", "2")["births"] == 9
    assert _expect("groups", "--rounds", "10")["change_pid"] == 45
    assert _expect("deep", "--depth", "5")["namespaces"] == 5
    assert _expect("storm") == _expect("churn") == {}


def test_all_is_the_sum() -> None:
    parts = [_expect(name) for name in EXACT]
    assert _expect("all") == {key: sum(part[key] for part in parts) for key in parts[0]}


@natively
@pytest.mark.parametrize("name", EXACT)
def test_it_does_what_it_promises(name: str) -> None:
    """Not fewer births than promised; that there are not more is seen in tests/kernel.

    /proc/stat counts the whole host's: others can only add to it.
    """
    arguments = [name, *ARGUMENTS.get(name, [])]
    before = _created()
    done = _run(*arguments)
    assert _created() - before - 1 >= _expect(*arguments)["births"]
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"workload {name}: done")
    assert done.stdout == ""


@natively
def test_failed_with_cgroup_leaves_none_behind() -> None:
    done = _run("failed")
    if done.returncode == 3:
        assert "--no-cgroup" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert not list(Path("/sys/fs/cgroup").glob("**/workload-failed-*"))


@natively
def test_tree_stands_and_ends_with_its_input() -> None:
    with _start("tree") as tree:
        assert tree.stdout is not None
        assert tree.stdout.readline() == "ready\n"
        assert len(_namespaces_below(tree.pid)) == 3
        _, told = tree.communicate()
    assert (tree.returncode, told) == (0, "workload tree: done\n")


@natively
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_tree_ends_well_by_a_signal_to_its_whole_group(number: signal.Signals) -> None:
    with _start("tree") as tree:
        assert tree.stdout is not None
        tree.stdout.readline()
        os.killpg(tree.pid, number)
        assert tree.wait(TIME_LIMIT_S) == 0


@natively
def test_stopped_workload_says_so() -> None:
    with _start("short", "100000000") as short:
        assert short.stderr is not None
        while not Process(short.pid).children():  # its own: other processes of the host fork, too
            os.sched_yield()
        os.killpg(short.pid, signal.SIGTERM)
        assert "workload short: stopped by SIGTERM" in short.stderr.read().splitlines()
        assert short.wait(TIME_LIMIT_S) == 143


@natively
def test_killed_tree_is_gone() -> None:
    with _start("tree") as tree:
        assert tree.stdout is not None
        assert tree.stderr is not None
        tree.stdout.readline()
        tree.kill()
        # Every process of the tree has these pipes: their end is the end of the last one.
        assert tree.stdout.read() == tree.stderr.read() == ""
        assert tree.wait(TIME_LIMIT_S) == -signal.SIGKILL


@natively
def test_killed_storm_is_gone() -> None:
    with _start("storm", "--jobs", "2") as storm:
        assert storm.stderr is not None
        # Its own, and those of its forkers: other processes of the host fork, too.
        while len(Process(storm.pid).children(recursive=True)) < 3:
            os.sched_yield()
        storm.kill()
        # Read to its end, which is that of the last process. A forker may see a child die of the
        # kill before it dies of it itself, and say so.
        storm.stderr.read()
        assert storm.wait(TIME_LIMIT_S) == -signal.SIGKILL


@natively
def test_storm_counts_its_births() -> None:
    before = _created()
    done = _run("storm", "--seconds", "1", "--jobs", "1")
    created = _created() - before
    assert done.returncode == 0
    births = json.loads(done.stderr.splitlines()[0])["births"]
    assert 12 < births < created


@natively
def test_time_limit_is_a_failure_that_says_so() -> None:
    done = _run("zombies", "--hold-ms", "60000", "--time-limit", "1")
    assert done.returncode == 1
    # A forker may see its child end of it before it ends itself, and say that, too.
    assert "workload zombies: not done within its time limit" in done.stderr.splitlines()
