"""scripts/workload keeps its promises: its command line anywhere, its counts natively as root."""

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from psutil import Process

from tests import CHECKOUT
from tests.unit.scripts import run

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
ARGUMENTS = {
    "short": ["200"],
    "failed": ["--no-cgroup"],
    "groups": ["--rounds", "200"],
    "deep": ["--depth", "20"],  # of the 32 levels around and below one (MAX_PID_NS_LEVEL)
}
TIME_LIMIT_S = 120

_run = partial(run, "workload", stdin=subprocess.DEVNULL, timeout=TIME_LIMIT_S)


natively = pytest.mark.skipif(os.geteuid() != 0, reason="run as root: it makes namespaces")


def _expect(*arguments):
    done = _run(*arguments, "--expect")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    return json.loads(done.stdout)


def _created():
    """`processes` of /proc/stat: tasks created since boot, threads too (total_forks)."""
    (created,) = re.findall(r"^processes (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    return int(created)


def _start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _namespaces_below(pid):
    """The PID namespaces that the living descendants of a process are in, other than our own."""
    links = (Path(f"/proc/{child.pid}/ns/pid") for child in Process(pid).children(recursive=True))
    return {link.stat().st_ino for link in links} - {Path("/proc/self/ns/pid").stat().st_ino}


def test_list_names_every_workload():
    done = _run("--list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {*EXACT, "storm", "churn", "tree", "all"}
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("name", [*EXACT, "tree"])
def test_counts_are_consistent(name):
    counts = _expect(name)
    assert counts["births"] == counts["processes"] + counts["threads"] == counts["releases"]
    assert counts["transfer_pid"] == 3 * counts["exchange_tids"]
    assert min(counts.values()) >= 0


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (("nested",), {"births": 23}),
        (("short",), {"births": 2000}),
        (("short", "7", "--jobs", "2"), {"births": 9}),
        (("groups", "--rounds", "10"), {"change_pid": 45}),
        (("deep", "--depth", "5"), {"namespaces": 5}),
    ],
    ids=lambda value: " ".join(value),
)
def test_counts_that_others_rely_on(arguments, counts):
    assert counts.items() <= _expect(*arguments).items()


@pytest.mark.parametrize("name", ["storm", "churn"])
def test_of_what_goes_on_until_it_is_ended_nothing_is_expected(name):
    assert _expect(name) == {}


def test_all_is_the_sum():
    parts = [_expect(name) for name in EXACT]
    assert _expect("all") == {key: sum(part[key] for part in parts) for key in parts[0]}


@natively
@pytest.mark.parametrize("name", EXACT)
def test_it_does_what_it_promises(name):
    """Not fewer births than promised; that there are not more is seen in tests/kernel.

    /proc/stat counts the whole host's: others can only add to it.
    """
    arguments = [name, *ARGUMENTS.get(name, [])]
    before = _created()
    done = _run(*arguments)
    assert _created() - before - 1 >= _expect(*arguments)["births"]
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"workload {name}: done")


@natively
def test_failed_with_cgroup_leaves_none_behind():
    done = _run("failed")
    if done.returncode == 3:
        assert "--no-cgroup" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert not list(Path("/sys/fs/cgroup").glob("**/workload-failed-*"))


@natively
def test_tree_stands_and_ends_with_its_input():
    with _start("tree") as tree:
        assert tree.stdout.readline() == "ready\n"
        assert len(_namespaces_below(tree.pid)) == 3
        _, told = tree.communicate()
    assert (tree.returncode, told) == (0, "workload tree: done\n")


@natively
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_tree_ends_well_by_a_signal_to_its_whole_group(number):
    with _start("tree") as tree:
        tree.stdout.readline()
        os.killpg(tree.pid, number)
        assert tree.wait(TIME_LIMIT_S) == 0


@natively
def test_stopped_workload_says_so():
    with _start("short", "100000000") as short:
        while not Process(short.pid).children():  # its own: other processes of the host fork, too
            os.sched_yield()
        os.killpg(short.pid, signal.SIGTERM)
        assert "workload short: stopped by SIGTERM" in short.stderr.read().splitlines()
        assert short.wait(TIME_LIMIT_S) == 143


@natively
def test_killed_tree_is_gone():
    with _start("tree") as tree:
        tree.stdout.readline()
        tree.kill()
        # Every process of the tree has these pipes: their end is the end of the last one.
        assert tree.stdout.read() == tree.stderr.read() == ""
        assert tree.wait(TIME_LIMIT_S) == -signal.SIGKILL


@natively
def test_killed_storm_is_gone():
    with _start("storm", "--jobs", "2") as storm:
        # Its own, and those of its forkers: other processes of the host fork, too.
        while len(Process(storm.pid).children(recursive=True)) < 3:
            os.sched_yield()
        storm.kill()
        # Read to its end, which is that of the last process. A forker may see a child die of the
        # kill before it dies of it itself, and say so.
        storm.stderr.read()
        assert storm.wait(TIME_LIMIT_S) == -signal.SIGKILL


@natively
def test_storm_counts_its_births():
    before = _created()
    done = _run("storm", "--seconds", "1", "--jobs", "1")
    created = _created() - before
    assert done.returncode == 0
    assert 12 < json.loads(done.stderr.splitlines()[0])["births"] < created


@natively
def test_time_limit_is_a_failure_that_says_so():
    done = _run("zombies", "--hold-ms", "60000", "--time-limit", "1")
    assert done.returncode == 1
    # A forker may see its child end of it before it ends itself, and say that, too.
    assert "workload zombies: not done within its time limit" in done.stderr.splitlines()
