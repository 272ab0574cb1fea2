"""What the kernel counts of a known workload: by tracepoints here, and by each probe mode in a VM.

The modes with function hooks run in test_counts_functions.py.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pidscope.events import Event
from pidscope.host.proc import ProcFs
from pidscope.live import maps
from pidscope.live.count_program import CountProgram, Counts
from pidscope.live.counting import Counting, self_tested
from pidscope.live.session import live_session
from pidscope.query.fork_counts import ByComm, ByNamespace, Row
from pidscope.query.kernel_counts import Inits, by_comm, by_namespace
from pidscope.session.session import Session
from pidscope.wire.counts import Counted, decode_comm

from .conftest import pidscope, valid

FORKS, THREADS = 23, 19
TIME_LIMIT_S = 600  # under emulation

# Forks and threads under names that no other process has; then a namespace whose number 1 executes
# another program, and forks.
ACT = """
import ctypes, os, sys, threading
forks, threads, suffix = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None)
def name(text): libc.prctl(15, text.encode())
def fork(times):
    for _ in range(times):
        if not os.fork(): os._exit(0)
        os.wait()
def thread(times):
    for _ in range(times):
        it = threading.Thread(target=int); it.start(); it.join()
name("a longer name" + suffix[:2]); fork(3)
name("f" + suffix); fork(forks)
name("t" + suffix); thread(threads)
name("x" + suffix)
libc.unshare(0x20000000)
if not os.fork():
    os.execv(sys.argv[4], ["sh", "-c", "for i in $0; do /bin/true; done; :", " ".join("x" * forks)])
os.wait()
"""
ACT_OF = {"f": (FORKS, 0), "t": (0, THREADS), "x": (1, 0)}


class Stream:
    """A session that counts each event, as `watch --by` does where it needs the stream."""

    def __init__(self) -> None:
        self.by_comm, self.by_namespace = ByComm(), ByNamespace()

    def listen(self, event: Event, session: Session) -> None:
        if session.table is not None:
            self.by_comm.add(event, session.table)
            self.by_namespace.add(event, session.table)
            self.by_namespace.observe(event)


def act(suffix: str, shell: str = "/bin/sh") -> list[str]:
    return [sys.executable, "-ISc", ACT, str(FORKS), str(THREADS), suffix, shell]


def run(counting: Counting, inits: Inits, command: Sequence[str]) -> None:
    subprocess.run(command, check=True)
    for init in counting.inits():
        inits.add(init)


def told(row: Row) -> tuple[object, ...]:
    """All that a table has of a row."""
    names = (row.comm, row.ns, row.level, row.init, row.first)
    return (*names, row.processes, row.threads, row.failed_forks)


def check_by_comm(way: str, batches: bool | None) -> None:
    """The rows of the names that are the workload's alone, exact and as by the stream."""
    stream, suffix = Stream(), f"-{os.getpid()}"
    with (
        live_session(ProcFs(), stream.listen, way, steps=False) as session,
        closing(self_tested(CountProgram(way, batches=batches))) as program,
    ):
        subprocess.run(act(suffix), check=True)  # before the start: not counted
        session.pump()
        counting = Counting(program, ProcFs(), session.world.now_ns())
        stream.by_comm = ByComm()
        subprocess.run(act(suffix), check=True)
        session.pump()
        counts = counting.counts()
        assert not any(counting.missed().others) and session.stream.lost == 0
    made = by_comm(counts.by_key, counts.others)
    rows = {row.comm: row for row in made.rows()}
    for name, expected in ACT_OF.items():
        row = rows[(name + suffix).encode()]
        assert (row.processes, row.threads) == expected
    assert rows[f"a longer name{suffix[:2]}".encode()].processes == 3
    of_stream = {row.comm: told(row) for row in stream.by_comm.rows()}
    mine = [row for comm, row in rows.items() if comm and comm.endswith(suffix.encode())]
    assert len(mine) == len(ACT_OF)
    assert [told(row) for row in mine] == [of_stream[row.comm] for row in mine]


@pytest.mark.parametrize("batches", [None, False])
def test_births_by_comm_as_by_the_stream(batches: bool | None) -> None:
    check_by_comm("tracepoint", batches)


def check_by_namespace(way: str, shell: Path) -> None:
    """Each namespace has its row, with its number 1 as the stream has it.

    That executes a shell under a name that no other process has.
    """
    stream, suffix = Stream(), f"-{os.getpid()}"
    shell.symlink_to("/bin/sh")
    with (
        live_session(ProcFs(), stream.listen, way, steps=False) as session,
        closing(self_tested(CountProgram(way, by_namespace=True))) as program,
    ):
        begun_ns = session.world.now_ns()
        counting = Counting(program, ProcFs(), begun_ns)
        stream.by_namespace, inits = ByNamespace(), Inits(begun_ns)
        for _ in range(3):  # each gets the inum of the one before it, as a rule
            run(counting, inits, act(suffix, str(shell)))
        session.pump()
        counts = counting.counts()
        assert counting.missed().lost == 0 == session.stream.lost
    made = by_namespace(counts.by_key, counts.others, inits, session.world.root_ns)
    mine, theirs = (
        sorted(
            (row for row in each.rows() if row.comm == shell.name.encode()),
            key=lambda row: row.first or (),
        )
        for each in (made, stream.by_namespace)
    )
    assert [(row.processes, row.threads, row.level) for row in mine] == [(1 + FORKS, 0, 1)] * 3
    assert [told(row) for row in mine] == [told(row) for row in theirs]
    assert [made.is_current(row) for row in mine] == [
        stream.by_namespace.is_current(row) for row in theirs
    ]
    host = {row.ns: row for row in made.rows()}[session.world.root_ns]
    assert (host.level, host.init, host.first) == (0, 1, None)
    assert host.processes >= 3 * (1 + 3 + FORKS) and host.threads >= 3 * THREADS


def test_births_by_namespace_as_by_the_stream(tmp_path: Path) -> None:
    check_by_namespace("tracepoint", tmp_path / f"sh{os.getpid()}")


DEEP = 6  # levels, more than a shallow record has


def check_deep_namespaces(way: str, shell: Path) -> None:
    """Each level has its number 1, all of them executed under one name; the innermost forks."""
    stream = Stream()
    shell.symlink_to("/bin/sh")
    inside = ["unshare", "--fork", "--pid", str(shell), "-c"]
    command = f"for i in {'x ' * FORKS}; do /bin/true; done; :"
    for _ in range(DEEP - 1):
        command = shlex.join([*inside, command]) + "; :"  # so that the shell forks, not executes
    with (
        live_session(ProcFs(), stream.listen, way, steps=False) as session,
        closing(self_tested(CountProgram(way, by_namespace=True))) as program,
    ):
        begun_ns = session.world.now_ns()
        counting, inits = Counting(program, ProcFs(), begun_ns), Inits(begun_ns)
        stream.by_namespace = ByNamespace()
        run(counting, inits, [*inside, command])
        session.pump()
        counts = counting.counts()
    made = by_namespace(counts.by_key, counts.others, inits, counting.root_ns)
    mine, theirs = (
        {row.level: told(row) for row in each.rows() if row.comm == shell.name.encode()}
        for each in (made, stream.by_namespace)
    )
    assert mine == theirs
    assert {level: row[-3] for level, row in mine.items()} == {
        **dict.fromkeys(range(1, DEEP), 2),
        DEEP: 1 + FORKS,
    }


def test_births_below_the_levels_of_a_shallow_record(tmp_path: Path) -> None:
    check_deep_namespaces("tracepoint", tmp_path / f"sd{os.getpid()}")


# A name of its own before each fork.
NAMED = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
for number in range(int(sys.argv[1])):
    libc.prctl(15, b"n%d" % number)
    if not os.fork(): os._exit(0)
    os.wait()
"""


class SmallProgram(CountProgram):
    """With room for a few names."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        super().__init__()

    def _sizes(self, by_namespace: bool) -> dict[str, int]:
        return {"counts": self._keys}

    def read_by_key(self) -> Counts:
        """Read as where the kernel has no batches."""
        assert self.batches
        self._counts.batches = False
        return self.read()


def test_names_that_do_not_fit_are_counted_as_others() -> None:
    """A map of another size: to fill the real one takes a minute where forks are slow."""
    fit, more = 61, 29
    with closing(SmallProgram(fit)) as program:
        before = program.read()
        subprocess.run([sys.executable, "-ISc", NAMED, str(fit + more)], check=True)
        counts = program.read()
        rows = [it for key, it in counts.by_key.items() if decode_comm(key).startswith(b"n")]
    assert len(counts.by_key) == fit
    assert all(it == Counted(1, 0, 0) for it in rows)
    others = counts.others.less(before.others)
    assert len(rows) + others.processes >= fit + more
    assert others.processes >= more


@pytest.mark.parametrize("batch", [1, 7, 1_024])
def test_both_ways_of_reading_give_the_same(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that share a bucket come in one batch, whatever was asked for, or it is too small."""
    monkeypatch.setattr(maps, "_BATCH", batch)
    with closing(SmallProgram(97)) as program:
        subprocess.run([sys.executable, "-ISc", NAMED, "97"], check=True)
        by_batches, by_key = program.read().by_key, program.read_by_key().by_key
    assert len(by_batches) == 97 and by_batches.keys() == by_key.keys()
    mine = [key for key in by_key if decode_comm(key).startswith(b"n")]
    assert [by_batches[key] for key in mine] == [by_key[key] for key in mine]
    assert {by_key[key] for key in mine} == {Counted(1, 0, 0)}


def watched(*arguments: str) -> tuple[list[Any], str]:
    """The objects of a watch, and its standard error."""
    done = subprocess.run(
        pidscope("watch", "-J", *arguments), capture_output=True, check=True, timeout=TIME_LIMIT_S
    )
    return valid(done.stdout.splitlines()), done.stderr.decode()


@pytest.mark.parametrize("more", [(), ("-v",)])
def test_the_command_gives_one_answer_in_either_way(more: tuple[str, ...]) -> None:
    """By the stream with -v, which needs each event."""
    suffix = f"-{os.getpid()}"
    (_, counts), err = watched("--by", "comm", "--all", *more, "--", *act(suffix))
    rows = {row["comm"]: row for row in counts["rows"]}
    for name, (processes, threads) in ACT_OF.items():
        row = rows[name + suffix]
        assert (row["births"], row["processes"], row["threads"]) == (
            processes + threads,
            processes,
            threads,
        )
    assert counts["counted"] == ("stream" if more else "kernel")
    assert ("counted in the kernel; births" in err) == (not more)
    assert counts.get("skipped") == (None if more else 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_table(number: signal.Signals) -> None:
    command = pidscope("watch", "-J", "--by", "comm")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        suffix = f"-{process.pid}"
        subprocess.run(act(suffix), check=True)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 0
    watching, counts = valid([first, *rest.splitlines()])
    assert watching["tasks"] > 0
    rows = {row["comm"]: row["births"] for row in counts["rows"]}
    assert rows["f" + suffix] == FORKS and rows["t" + suffix] == THREADS
