"""A recording of all events of this kernel, against what was live at the same time."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pidscope.history.events_recording import EventsRecording
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past

from .conftest import VALIDATOR, WORKLOAD
from .test_record import NUMBER, REUSED, logged

PIDSCOPE = [sys.executable, "-m", "pidscope"]
COUNT = 23
FORKS = f"""
import os, sys
for at in range({COUNT}):
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        if at % 2:
            os.execv(sys.executable, ["python3", "-ISc", "raise SystemExit(3)"])
        os._exit(at)
    os.waitpid(pid, 0)
"""
WORKED = [sys.executable, "-ISc", FORKS]
Object = dict[str, Any]


def pidscope(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PIDSCOPE, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def objects(text: str) -> list[Object]:
    found = [json.loads(line) for line in text.splitlines()]
    for it in found:
        VALIDATOR.validate(it)
    return found


@contextlib.contextmanager
def begun(*arguments: str, says: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until SIGINT, once it has said on standard error that it has begun."""
    with subprocess.Popen(
        [*PIDSCOPE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while says not in process.stderr.readline():
            assert process.poll() is None
        yield process


def end(process: subprocess.Popen[str]) -> str:
    """Let it end in order, and return its output."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


class Made(NamedTuple):
    """A recording, what a watch printed meanwhile, and the tables at its end."""

    path: str
    live: list[Object]
    root: int  # the workload
    tree: int  # a process that lives on
    ps: list[Object]  # it, and its descendants
    ns: list[Object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A watch within the recording, a workload within the watch; a tree outlives all three."""
    path = str(tmp_path_factory.mktemp("events") / "all.rec")
    tree = subprocess.Popen(
        [WORKLOAD, "tree"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with tree:
        assert tree.stdin is not None and tree.stdout is not None
        assert tree.stdout.readline() == "ready\n"
        with begun("record", "--events", path, says="recording all events") as recorder:
            with begun("watch", "-J", says=" tasks on") as watch:
                workload = subprocess.Popen(WORKED)
                assert workload.wait(300) == 0
                live = objects(end(watch))
            end(recorder)
        ps = below(tree.pid, json.loads(pidscope("ps", "-J").stdout)["processes"])
        ns = json.loads(pidscope("ns", "-J").stdout)["namespaces"]
        yield Made(path, live, workload.pid, tree.pid, ps, ns)
        tree.stdin.close()
        tree.wait(60)


def below(root: int, processes: list[Object]) -> list[Object]:
    """Return the descendants of a process, less what changes while they wait."""
    parents = {it["pid"]: it["levels"][0]["ppid"] for it in processes}
    tree = {root}
    while more := {pid for pid, ppid in parents.items() if ppid in tree} - tree:
        tree |= more
    return [{**it, "state": None} for it in processes if it["pid"] in tree]


def of_tree(events: list[Object], root: int) -> list[str]:
    """Return the events of the descendants of a process, less the times of the hooks.

    Numbers are given out again: a task is one from its birth to its release. What a sweep finds in
    tracepoint mode it finds at moments of its own, and a task may be freed after the watch's end,
    by an RCU callback.
    """
    tids: set[int] = set()
    found = []
    for it in events:
        is_birth = it["type"] == "PidAttached" and bool(it["birth"])
        if is_birth and (it["tid"] == root or it["by"] in tids):
            tids.add(it["tid"])
        is_told = is_birth or it["type"] not in ("PidAttached", "TaskFreed")
        if it.get("tid") in tids - {root} and is_told:
            found.append(json.dumps({**it, "ts_ns": None}, sort_keys=True))
        if it["type"] in ("PidDetached", "TaskFreed"):
            tids.discard(it["tid"])
    return sorted(found)


def test_it_plays_what_a_watch_showed_meanwhile(made: Made) -> None:
    """Birth by birth, exec by exec, exit by exit of the workload's processes."""
    played = pidscope("watch", "-J", "--source", made.path)
    assert played.returncode == 0, played.stderr
    found = objects(played.stdout)
    assert found[0]["probes"] == made.live[0]["probes"]
    assert of_tree(found, made.root) == of_tree(made.live, made.root)
    births = [it for it in of_tree(found, made.root) if '"PidAttached"' in it]
    assert len(births) == COUNT
    text = pidscope("watch", "-v", "--source", made.path)
    assert text.returncode == 0
    assert len(text.stdout.splitlines()) > len(births)


def test_tables_are_those_of_its_end(made: Made) -> None:
    """The tree has lived on, so the live tables of a moment later have the same rows of it."""
    table = json.loads(pidscope("ps", "--source", made.path, "-J").stdout)
    VALIDATOR.validate(table)
    assert len(made.ps) > 5
    assert below(made.tree, table["processes"]) == made.ps
    spaces = json.loads(pidscope("ns", "--source", made.path, "-J").stdout)
    VALIDATOR.validate(spaces)
    mine = {it["ns"] for it in made.ps}
    there = [it for it in spaces["namespaces"] if it["ns"] in mine and it["level"]]
    now = [it for it in made.ns if it["ns"] in mine and it["level"]]
    assert there == now and there
    for it in made.ps:
        inner = it["levels"][-1]
        asked = ("lookup", str(inner["tid"]), "--in", f"ns:{inner['ns']}", "-q")
        done = pidscope(*asked, "--source", made.path)
        if inner["ns"] != it["levels"][0]["ns"] or len(it["levels"]) == 1:
            assert done.stdout.split() == [str(it["tid"])], done.stderr


def test_verify_judges_the_comparison_of_its_end(made: Made) -> None:
    """Every run of each hook is accounted for, and each number of /proc agreed."""
    done = pidscope("verify", "-J", "--source", made.path)
    (verdict,) = objects(done.stdout)
    assert verdict["agree"] + verdict["moved"] == verdict["compared"] > 20
    assert [verdict[name] for name in ("missing", "ghost", "wrong", "lost")] == [0] * 4
    assert all(it["hits"] == it["accounted"] for it in verdict["hooks"].values())
    by_tracepoints = verdict["probes"] == "tracepoint"
    assert (done.returncode, verdict["complete"]) == (int(by_tracepoints), not by_tracepoints)


def test_a_number_that_is_reused_is_whose_it_was_then(tmp_path: Path) -> None:
    """The questions and the workload's log of test_record.py, put to all events."""
    path = str(tmp_path / "reused.rec")
    done = pidscope("record", "--events", path, "--", sys.executable, str(REUSED), str(COUNT))
    assert done.returncode == 0, done.stderr
    log = logged(done.stderr, COUNT)
    rng = random.Random(17)
    with EventsRecording(path) as recording:
        for at in rng.sample(range(COUNT - 1), 12):
            one, following = log.had[at], log.had[at + 1]
            moments = [
                (rng.randrange(one["from_ns"], one["to_ns"]), [one["status"]]),
                (rng.randrange(one["after_ns"], following["before_ns"]), []),
            ]
            for moment, statuses in moments:
                past = Past(recording, Moment(Clock.BOOTTIME, moment, moment))  # type: ignore[arg-type]
                answer = past.holders(log.ns, NUMBER)
                assert answer.gap is None
                found = [None if it.status is None else it.status >> 8 for it in answer.holders]
                assert found == statuses
                for it in answer.holders:
                    assert it.facts_ns == moment and it.ppid in (None, log.init)
                    assert past.holders(it.inums[0], it.numbers[0] or 0).holders == (it,)


def test_it_may_be_read_while_it_is_written_and_after_kill_9(tmp_path: Path) -> None:
    """What was written is played; status 4 says that its end is missing."""
    path = str(tmp_path / "killed.rec")
    with begun("record", "--events", path, says="recording all events") as recorder:
        workload = subprocess.Popen(WORKED)
        assert workload.wait(300) == 0
        while True:  # it writes once a second
            played = pidscope("watch", "-J", "--source", path)
            if played.returncode == 4 and played.stdout:
                mine = of_tree(objects(played.stdout), workload.pid)
                if sum('"PidAttached"' in it for it in mine) == COUNT:
                    break
            assert recorder.poll() is None
        recorder.kill()
    after = pidscope("watch", "-J", "--source", path)
    assert after.returncode == 4
    assert of_tree(objects(after.stdout), workload.pid) == mine
    assert objects(after.stdout)[-1]["type"] == "Lost"
    for command in ("ps", "ns", "verify"):
        done = pidscope(command, "--source", path)
        assert (done.returncode, done.stdout) == (4, "")
