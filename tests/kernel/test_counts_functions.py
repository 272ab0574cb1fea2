"""What the kernel counts where functions can be hooked: failed forks, too."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pidscope.host.proc import ProcFs
from pidscope.live.count_program import CountProgram
from pidscope.live.counting import Counting, self_tested
from pidscope.query.kernel_counts import Inits, by_comm, by_namespace
from tests import CHECKOUT

from .test_counts import check_by_comm, check_by_namespace, check_deep_namespaces, watched

FAILURES = 23
# clone3() with a number at more levels than there are: alloc_pid() refuses each (EINVAL).
FAIL = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[3])
from pidscope.live.selftest import exercise_errors
libc = ctypes.CDLL(None)
libc.prctl(15, sys.argv[1].encode())
if not all(exercise_errors() for _ in range(int(sys.argv[2]))): sys.exit(3)
if len(sys.argv) > 4:
    libc.unshare(0x20000000)
    init = os.fork()
    if not init:
        os.execv("/bin/true", ["true"])
    os.waitpid(init, 0)
    for _ in range(int(sys.argv[2])):  # its number 1 is gone: ENOMEM
        try:
            if not os.fork(): os._exit(0)
        except OSError: continue
        sys.exit(4)
"""


def fail(name: str, *more: str) -> list[str]:
    return [sys.executable, "-Ic", FAIL, name, str(FAILURES), str(CHECKOUT), *more]


@pytest.fixture(params=["fentry", pytest.param("kprobe", marks=pytest.mark.matrix)])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("batches", [None, False])
def test_births_by_comm_as_by_the_stream(way: str, batches: bool | None) -> None:
    check_by_comm(way, batches)


def test_births_by_namespace_as_by_the_stream(way: str, tmp_path: Path) -> None:
    check_by_namespace(way, tmp_path / f"sh{os.getpid()}")


def test_births_below_the_levels_of_a_shallow_record(way: str, tmp_path: Path) -> None:
    check_deep_namespaces(way, tmp_path / f"sd{os.getpid()}")


def test_failed_forks_by_comm(way: str) -> None:
    name = f"no-{os.getpid()}"
    with closing(self_tested(CountProgram(way))) as program:
        assert program.sees_failures
        counting = Counting(program, ProcFs(), 0)
        subprocess.run(fail(name), check=True)
        counts = counting.counts()
    rows = {row.comm: row for row in by_comm(counts.by_key, counts.others).rows()}
    row = rows[name.encode()]
    assert (row.processes, row.threads, row.failed_forks) == (0, 0, FAILURES)
    assert counts.errors[errno.EINVAL] >= FAILURES


def test_failed_forks_by_namespace(way: str) -> None:
    """Those into one whose number 1 has ended belong to its row, though its task is gone."""
    with closing(self_tested(CountProgram(way, by_namespace=True))) as program:
        begun_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        counting, inits = Counting(program, ProcFs(), begun_ns), Inits(begun_ns)
        subprocess.run(fail("no", "ns"), check=True)
        for init in counting.inits():
            inits.add(init)
        counts = counting.counts()
    made = by_namespace(counts.by_key, counts.others, inits, counting.root_ns)
    [row] = [row for row in made.rows() if row.comm == b"true"]
    assert (row.processes, row.threads, row.failed_forks) == (1, 0, FAILURES)
    assert counts.errors[errno.ENOMEM] >= FAILURES


def test_the_command_gives_one_answer_in_either_way(way: str) -> None:
    """By the stream with -v; the name is the one that the task was born with or executed under."""
    name = Path(sys.executable).name[:15]
    answers = []
    for more in ((), ("-v",)):
        (watching, counts), err = watched(
            "--by", "comm", "--all", "--probes", way, *more, "--", *fail(name)
        )
        assert watching["complete"] and "failed forks" in err
        rows = {row["comm"]: row["failed_forks"] for row in counts["rows"]}
        answers.append(rows[name])
    assert answers == [FAILURES, FAILURES]
