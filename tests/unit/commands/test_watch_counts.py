"""``watch --by`` counted in the kernel: when, and what it prints of what is in no row."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import pytest

from pidscope import cli
from pidscope.commands.watch_counts import CountingWatch, counts_in_kernel
from pidscope.containers.container import Container
from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.live.count_program import Counts
from pidscope.live.counting import Missed
from pidscope.render.watch_summary import WatchSummary
from pidscope.sources.command import Stop
from pidscope.sources.waiting import waiting
from pidscope.sources.watch import LiveHost
from pidscope.wire.counts import COUNT_LEVEL_SHIFT, NS_LAYOUT, Counted, Init, InitKind
from tests.unit.commands.asked import objects


def parsed(*arguments: str) -> argparse.Namespace:
    own, command = cli._split(["watch", *arguments])
    args = cli._parser(["watch"]).parse_args(own)
    args.command = command
    return args


@pytest.mark.parametrize(
    ("arguments", "kernel"),
    [
        ("--by comm", True),
        ("--by where", True),
        ("--by comm -J -n --duration 5 --probes kprobe --no-cache", True),
        ("--by where --all -- true", True),
        ("", False),
        ("--by comm -- true", False),
        ("--by comm --in self", False),
        ("--by where --tree 1", False),
        ("--by comm --type birth", False),
        ("--by comm --failed", False),
        ("--by comm -v", False),
    ],
)
def test_the_kernel_counts_where_no_event_is_needed(arguments: str, kernel: bool) -> None:
    assert counts_in_kernel(parsed(*arguments.split())) == kernel


class FakeCounting:
    """A kernel that has counted, and missed what a test says."""

    way, missing, root_ns, ring_fd, begun_ns = "fentry", (), 4026531836, None, 0
    ns_per_tick, start_offset_ns = 1, 0
    sees_failures = True

    def __init__(self, missed: Missed) -> None:
        self._missed = missed

    def tasks(self) -> int:
        return 97

    def now_ns(self) -> int:
        return 7

    def counts(self) -> Counts:
        rows = {b"sh": Counted(23, 1, 2), b"id": Counted(29)}
        return Counts(rows, self._missed.others, {11: 2})

    def missed(self) -> Missed:
        return self._missed

    def inits(self) -> Iterator[Init]:
        return iter(())


class Host(LiveHost):
    """What is opened is the fake one."""

    def __init__(self, missed: Missed) -> None:
        super().__init__(ProcFs(), "auto")
        self._counted = FakeCounting(missed)

    @contextmanager
    def count(self, by_namespace: bool) -> Iterator[Any]:
        yield self._counted


def watch(capfd: Any, missed: Missed, *more: str) -> tuple[str, list[str]]:
    """Standard output, and the lines of standard error."""
    args = parsed("--by", "comm", "--duration", "0.001", *more)
    CountingWatch(args, Stop(), Host(missed)).run()
    out, err = capfd.readouterr()
    return out, [line.removeprefix("pidscope: ") for line in err.splitlines()]


def test_nothing_is_missed(capfd: Any) -> None:
    out, err = watch(capfd, Missed())
    assert [line.split() for line in out.splitlines()] == [
        ["BIRTHS", "PROCS", "THREADS", "FAILED", "COMM"],
        ["29", "29", "0", "0", "id"],
        ["24", "23", "1", "2", "sh"],
    ]
    assert err == [
        "live by fentry, from 97 tasks on",
        "counted in the kernel; births 53, failed forks 2: EAGAIN 2",
    ]


def test_what_is_in_no_row_is_reported(capfd: Any) -> None:
    _, err = watch(capfd, Missed(Counted(5, 6, 7), 3))
    assert err[1:] == [
        "too many to be told apart: new ones are counted without a row",
        "18 more, of too many to be told apart",
        "the kernel skipped 3 runs: as many forks may be in no row",
        "counted in the kernel; births 64, failed forks 2: EAGAIN 2",
    ]


def test_as_objects(capfd: Any) -> None:
    out, _ = watch(capfd, Missed(Counted(5, 6, 7), 3, lost=2), "-J")
    watching, lost, counts = objects(out)
    assert (watching["tasks"], watching["complete"], watching["only"]) == (97, True, None)
    assert (lost["type"], lost["total"]) == ("Lost", 2)
    assert (counts["counted"], counts["skipped"]) == ("kernel", 3)
    others = {"births": 11, "processes": 5, "threads": 6, "failed_forks": 7}
    assert counts["others"] == others
    assert [(row["comm"], row["births"]) for row in counts["rows"]] == [("id", 29), ("sh", 24)]


def test_where_failed_forks_are_not_observed(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCounting, "sees_failures", False)
    out, err = watch(capfd, Missed(), "-J")
    rows = json.loads(out.splitlines()[-1])["rows"]
    assert {row["failed_forks"] for row in rows} == {None}
    assert err[-1] == "counted in the kernel; births 53, failed forks not observed"


def test_a_namespace_that_has_ended_keeps_its_container(
    capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number 1 is looked at when it is born, executes and exits, as in a stream."""
    inum, did = 4026532177, (InitKind.BORN, InitKind.EXECUTED, InitKind.EXITED)
    inits = [Init(kind, 1, 50, inum, FakeCounting.root_ns, 7, 7, b"web") for kind in did]
    looked = iter([(), (Container("docker", "ab" * 32),), ()])
    key = NS_LAYOUT.compile().pack(inum, 1 << COUNT_LEVEL_SHIFT | 50, 7)
    host = Host(Missed())
    monkeypatch.setattr(host, "listed", raises(HostError("no /proc here")))
    monkeypatch.setattr(host, "chain", lambda number, ticks: next(looked))
    monkeypatch.setattr(host, "names", lambda chains: chains)
    monkeypatch.setattr(host._counted, "inits", lambda: iter(taken(inits)))
    monkeypatch.setattr(host._counted, "counts", lambda: Counts({key: Counted(23)}, Counted(), {}))
    CountingWatch(parsed("--by", "where", "--duration", "0.001", "-J"), Stop(), host).run()
    _, counts = objects(capfd.readouterr().out)
    [row] = counts["rows"]
    assert (row["ns"], row["init"], row["level"], row["comm"]) == (inum, 50, 1, "web")
    assert (row["births"], row["container"]["id"]) == (23, "ab" * 32)


def taken(inits: list[Init]) -> list[Init]:
    done = inits.copy()
    inits.clear()
    return done


def raises(error: Exception) -> Callable[[], Any]:
    def raising() -> Any:
        raise error

    return raising


def test_a_fork_that_is_restarted_is_not_one_that_failed() -> None:
    summary = WatchSummary(sees_failures=True)
    summary.add_counted(7, {11: 2, 513: 3, 12: 1})
    failed = "failed forks 3: EAGAIN 2, ENOMEM 1; restarted 3"
    assert summary.text_counted() == f"counted in the kernel; births 7, {failed}"


def test_a_signal_ends_a_wait() -> None:
    """Nothing else would: there is no time limit that a test could reach."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with waiting() as until:
            os.kill(os.getpid(), signal.SIGUSR1)
            until.wait(1e6)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_descriptor_ends_a_wait() -> None:
    reader, writer = os.pipe()
    with waiting() as until:
        until.add(reader)
        os.write(writer, b".")
        until.wait(1e6)
    os.close(reader)
    os.close(writer)
