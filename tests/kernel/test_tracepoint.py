"""Tracepoint mode on this kernel, which need not allow anything else: late, and never wrong."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pidscope.events import PidAttached
from pidscope.host.proc import ProcFs
from pidscope.live.session import live_session
from pidscope.query.descendants import TreeCounts
from pidscope.session.tracepoint import TracepointSession
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Tally, Verdict

from .conftest import WORKLOAD, Host
from .test_workloads import WORKLOADS

STORM_S = 2
# What no tracepoint reports: releases, changes when they happen, exchanges, forks that fail,
# namespaces before their first process. What is counted is the rest of `scripts/workload --expect`.
TOLD = ("births", "processes", "threads")


@pytest.fixture(scope="module")
def tracing() -> Iterator[Host]:
    host = Host()
    with live_session(ProcFs(), host.listen, "tracepoint") as host.session:
        yield host


def workload(*arguments: str) -> list[str]:
    """Its command line with this Python: a python3 on PATH may be a script that forks itself."""
    return [sys.executable, WORKLOAD, *arguments]


def check_living(host: Host, tally: Tally) -> None:
    """Judge the tasks born since the workload began; all of the host would be slow."""
    session = host.session
    if session.suspect:
        session.begin()
    session.pump()
    born = {e.tid for e in host.events if isinstance(e, PidAttached) and e.birth is not None}
    known = len(tally.bugs)
    for number in sorted(born):
        if session.table.task(number) is not None:
            tally.add(session.check(number))
    session.look_for_skipped()
    if (
        session.suspect
    ):  # as `TracepointSession.check_all`: a run was left out, as on preemptible kernels
        del tally.bugs[known:]


def follow(host: Host, command: list[str]) -> tuple[int, Tally, dict[str, int]]:
    """Judge a command's tasks while it runs, all tasks at the end; count the events of its tree."""
    tally = Tally()
    host.events.clear()
    with subprocess.Popen(command) as child:
        host.counts = TreeCounts(child.pid)
        while child.poll() is None:
            check_living(host, tally)
    host.session.check_all(tally)
    counts, host.counts = host.counts.result(), None
    return child.returncode, tally, counts


def expect_no_bug(host: Host, tally: Tally) -> None:
    session = host.session
    assert isinstance(session, TracepointSession)
    assert host.wrongs(tally) == []
    assert session.stream.lost == 0
    assert not tally.complete  # by its nature


@pytest.mark.parametrize("name", [name.replace("500", "100") for name in WORKLOADS])
def test_workload_is_followed_without_a_false_word(tracing: Host, name: str) -> None:
    arguments = name.split()
    said = subprocess.run(workload(*arguments, "--expect"), capture_output=True, check=True)
    wanted = json.loads(said.stdout)
    status, tally, counts = follow(tracing, workload(*arguments))
    assert status == 0
    expect_no_bug(tracing, tally)
    assert tally.counts[Verdict.AGREE] > 0
    assert {key: counts[key] for key in TOLD} == {key: wanted.get(key, 0) for key in TOLD}


def test_a_storm_on_all_cpus_with_starts_inside(tracing: Host) -> None:
    session, tally = tracing.session, Tally()
    jobs = 2 * (os.cpu_count() or 1)
    command = workload("storm", "--seconds", str(STORM_S), "--jobs", str(jobs))
    starts = session.starts
    tracing.events.clear()
    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        tracing.counts = counts = TreeCounts(child.pid)
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(child.communicate()[1]))
        reader.start()
        while reader.is_alive():
            session.begin()
            check_living(tracing, tally)
        reader.join()
    session.check_all(tally)
    tracing.counts = None
    assert child.returncode == 0
    expect_no_bug(tracing, tally)
    assert session.starts - starts > 3
    assert counts.result()["births"] == json.loads(said[0].splitlines()[0])["births"]


def test_every_run_of_a_hook_is_accounted_for(tracing: Host) -> None:
    hooks, at_rest = tracing.session.hooks()
    assert at_rest and hooks_agree(hooks, tracing.session.stream.lost), hooks
    assert all(hooks[name]["hits"] for name in hooks if name != "cgroup_attach_task")


def test_who_rests_agrees_to_the_last_number(tracing: Host) -> None:
    """Containers in containers that do nothing more: groups and sessions are judged too."""
    session = tracing.session
    with subprocess.Popen(
        workload("tree"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert b"ready" in child.stdout.readline()
        session.check_all(Tally())  # looks at every task
        family = psutil.Process(child.pid).children(recursive=True)
        numbers = [thread.id for process in family for thread in process.threads()]
        judgements = [session.check(number) for number in numbers]
        child.communicate()
    assert len(numbers) > 5
    assert [one for one in judgements if one.verdict is not Verdict.AGREE] == []


def test_a_record_wakes_a_reader_that_has_read_all_before(tracing: Host) -> None:
    """bpf_ringbuf_commit(): only then; a busy reader is left alone and comes by the clock."""
    poll, session = select.poll(), tracing.session
    assert session.world.ready_fd is not None
    poll.register(session.world.ready_fd, select.POLLIN)

    def read_and_wait() -> None:
        session.pump()
        poll.poll(120_000)

    for _ in range(23):
        waiting = threading.Thread(target=read_and_wait)
        waiting.start()
        wchan = Path(f"/proc/self/task/{waiting.native_id}/wchan")
        with contextlib.suppress(OSError):  # another record has woken it already
            while "poll" not in wchan.read_text():
                os.sched_yield()
        subprocess.run(["true"], check=True)
        waiting.join(60)  # at the end of its time poll() would find the record all the same
        assert not waiting.is_alive()
    session.pump()
