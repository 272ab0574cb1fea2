"""The start by the task iterator: exact, as /proc has it, and with identities kept after a loss."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pidscope.events import TaskSeen
from pidscope.host.proc import ProcFs
from pidscope.live.session import LiveWorld
from pidscope.table.table import Table
from pidscope.verify.verdicts import Tally

from .conftest import WORKLOAD, Host

STARTS = 3
# A session in a namespace, whose leader ends at once.
SHELL = "setsid sh -c 'sleep 1000 &'; echo on; sleep 1000"
HELD = ["unshare", "--pid", "--fork", "sh", "-c", SHELL]


@contextmanager
def killed(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until it has printed a line; at the end kill its whole process group."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


def without_iterator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LiveWorld, "tasks", lambda self: None)


def of_table(table: Table) -> dict[int, Any]:
    """Every struct pid, without what only one of the two ways can know."""
    rows: dict[int, Any] = {}
    for nr, pid in table.root.pids.items():
        task = pid.task
        if task is None:
            rows[nr] = sorted(group.tgid.nr for group in pid.groups if group.tgid)
            continue
        group = task.group
        links = group.tgid.numbers, group.pgid.nr, group.sid.nr
        rows[nr] = pid.numbers, pid.ns.inum, links, table.start_ticks(task)
    return rows


def test_it_shows_whoever_lives_meanwhile(host: Host) -> None:
    procfs = ProcFs()
    listings = []
    for _ in range(2):
        listings.append({tid for number in procfs.numbers() for tid in procfs.threads(number)})
        rows = host.session.world.tasks()
    assert listings[0] & listings[1] <= {row.tid for row in rows}


@pytest.mark.parametrize("workload", ("nested", "threads", "exec-thread", "deep"))
def test_starts_by_it_are_exact(host: Host, workload: str) -> None:
    tally = Tally()
    for _ in range(STARTS):
        with subprocess.Popen([WORKLOAD, workload], stdin=subprocess.PIPE) as process:
            host.session.begin()
            host.session.check_all(tally)
            assert tally.complete
    assert process.returncode == 0
    assert not host.session.iterator_refused
    host.session.check_all(tally)
    assert host.wrongs(tally) == []
    assert tally.complete


@pytest.mark.parametrize("first", ("iterator", "/proc"))
def test_both_ways_give_the_same_table(
    host: Host, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    with killed(HELD):
        tables = []
        for way in (first, {"iterator": "/proc", "/proc": "iterator"}[first]):
            with monkeypatch.context() as patch:
                if way == "/proc":
                    without_iterator(patch)
                host.events.clear()
                host.session.begin()
            tables.append(host.session.table)
        for event in host.events:  # since the first start
            tables[0].apply(event)
        assert of_table(tables[0]) == of_table(tables[1])


def test_a_dead_session_leader_is_known_whole(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed(HELD):
        host.session.begin()
        held = [pid for pid in host.session.table.held() if pid.sessions]
        assert held and not any(pid.partial for pid in held)
        (inner,) = [pid for pid in held if pid.level == 1]
        tally = Tally()
        host.session.check_all(tally)
        assert tally.good
        without_iterator(monkeypatch)
        host.session.begin()
        assert host.session.table.root.pids[inner.nr].partial


def identities(table: Table) -> set[tuple[int, int]]:
    return {(pid.nr, pid.generation) for pid in table.root.pids.values() if pid.task}


def test_who_lives_through_a_gap_keeps_its_generation(host: Host) -> None:
    host.session.begin()
    with killed(HELD) as process:
        host.session.pump()
        before = host.session.table
        host.events.clear()
        host.session.begin()
        released = {event.tid for event in host.events if type(event).__name__ == "PidDetached"}
        gone = {(nr, generation) for nr, generation in identities(before) if nr in released}
        assert identities(before) - gone <= identities(host.session.table)
        row = before.root.pids[process.pid]
        assert row.generation > 0 and host.session.table.root.pids[process.pid] is not row
        (inner,) = [ns for ns in before.namespaces.values() if ns.level == 1]
        assert host.session.table.namespaces[inner.inum].ordinal == inner.ordinal


def waiting() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_number_born_again_in_the_gap_is_another(host: Host) -> None:
    first = waiting()
    host.session.begin()
    before = host.session.table.root.pids[first]
    host.session.suspect = True  # from here on the table gets no event
    end(first)
    again = 0
    while again != first:  # others fork too
        if again:
            end(again)
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first - 1))
        again = waiting()
    host.session.begin()
    after = host.session.table.root.pids[first]
    end(again)
    assert before.task.start_ns != after.task.start_ns
    assert before.generation != after.generation


def test_one_that_fails_is_told_of_and_done_without(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LiveWorld) -> list[TaskSeen]:
        raise OSError(errno.EAGAIN, "no more")

    monkeypatch.setattr(LiveWorld, "tasks", fail)
    host.session.begin()
    assert "no more" in host.session.iterator_refused
    host.session.iterator_refused = ""  # of a session that others use too
    tally = Tally()
    host.session.check_all(tally)
    assert tally.good
