"""Recordings of this kernel: what is asked afterwards is what the workload itself has logged."""

from __future__ import annotations

import json
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past
from pidscope.history.past_namespaces import namespaces
from pidscope.history.recording import Recording

from .conftest import VALIDATOR

REUSED = Path(__file__).with_name("reused.py")
COUNT, NUMBER, MOMENTS = 40, 42, 1_000
PIDSCOPE = [sys.executable, "-m", "pidscope"]


class Logged(NamedTuple):
    """What a workload has logged of itself."""

    ns: int
    init: int
    had: Sequence[dict[str, int]]


def logged(text: str, count: int = COUNT) -> Logged:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [it["number"] for it in lines[1:]] == [NUMBER] * count
    return Logged(lines[0]["ns"], lines[0]["init"], lines[1:])


def pidscope(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PIDSCOPE, *arguments], capture_output=True, text=True, check=False, timeout=300, **more
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Logged]:
    path = str(tmp_path_factory.mktemp("record") / "web.rec")
    done = pidscope("record", path, "--", sys.executable, str(REUSED), str(COUNT))
    assert done.returncode == 0, done.stderr
    return path, logged(done.stderr)


def check(recording: Recording, log: Logged, moments: int) -> None:
    """Ask about random moments, at which the number was certainly had, or certainly not."""
    rng = random.Random(17)
    for _ in range(moments):
        at = rng.randrange(COUNT)
        one = log.had[at]
        if rng.random() < 0.7 or at + 1 == COUNT:
            moment, expected = rng.randrange(one["from_ns"], one["to_ns"]), one["status"]
        else:
            moment = rng.randrange(one["after_ns"], log.had[at + 1]["before_ns"])
            expected = None
        past = Past(recording, Moment(Clock.BOOTTIME, moment, moment))
        answer = past.holders(log.ns, NUMBER)
        assert answer.gap is None
        found = [None if it.status is None else it.status >> 8 for it in answer.holders]
        assert found == ([] if expected is None else [expected])


def test_a_thousand_moments_of_a_number_that_is_reused(recorded: tuple[str, Logged]) -> None:
    path, log = recorded
    with Recording(path) as recording:
        check(recording, log, MOMENTS)


def test_the_number_on_the_host_is_had_by_the_same(recorded: tuple[str, Logged]) -> None:
    path, log = recorded
    with Recording(path) as recording:
        for one in log.had:
            middle = (one["from_ns"] + one["to_ns"]) // 2
            past = Past(recording, Moment(Clock.BOOTTIME, middle, middle))
            (inside,) = past.holders(log.ns, NUMBER).holders
            host = inside.numbers[0]
            assert host is not None
            assert past.holders(past.initial_ns, host).holders == (inside,)
            assert inside.inums == (past.initial_ns, log.ns)


def test_the_command_answers_by_the_wall_clock(recorded: tuple[str, Logged]) -> None:
    path, log = recorded
    one = log.had[COUNT // 2]
    offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    middle = (one["from_ns"] + one["to_ns"]) // 2 + offset
    word = f"@{middle // 10**9}.{middle % 10**9:09d}"
    asked = ("lookup", "--source", path, "--at", word, "--in", f"ns:{log.ns}", str(NUMBER))
    done = pidscope(*asked, "-J")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    VALIDATOR.validate(document)
    ((holder,),) = [it["holders"] for it in document["past_lookups"]]
    assert holder["exit_status"] == one["status"]
    assert pidscope(*asked, "-q").stdout.strip() == str(holder["levels"][0]["tid"])
    by_init = ("lookup", "--source", path, "--at", word, "--in", f"pid:{log.init}", str(NUMBER))
    assert pidscope(*by_init, "-q").stdout.strip() == str(holder["levels"][0]["tid"])


def typed(boottime_ns: int) -> str:
    """A time of CLOCK_BOOTTIME as the wall clock shows it, to the ns."""
    wall = boottime_ns + time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return f"@{wall // 10**9}.{wall % 10**9:09d}"


def test_the_processes_of_random_moments_are_those_of_the_log(
    recorded: tuple[str, Logged],
) -> None:
    """Number 1 lived all the time; the number 42 was one process's, or no task's."""
    path, log = recorded
    rng = random.Random(18)
    with Recording(path) as recording:
        for _ in range(MOMENTS // 10):
            at = rng.randrange(COUNT)
            one = log.had[at]
            moment, expected = rng.randrange(one["from_ns"], one["to_ns"]), [one["status"]]
            if rng.random() < 0.3 and at + 1 < COUNT:
                moment = rng.randrange(one["after_ns"], log.had[at + 1]["before_ns"])
                expected = []
            answer = Past(recording, Moment(Clock.BOOTTIME, moment, moment)).alive(threads=False)
            assert answer.gap is None
            inside = {it.numbers[-1]: it for it in answer.holders if it.inums[-1] == log.ns}
            init = inside.pop(1)
            assert init.numbers[0] == log.init
            assert [(number, it.exit_status) for number, it in inside.items()] == [
                (NUMBER, status) for status in expected
            ]
            (space,) = [it for it in namespaces(answer.holders) if it.ns == log.ns]
            assert (space.init, space.processes) == (init, 1 + len(expected))


def test_ps_and_ns_answer_by_the_wall_clock(recorded: tuple[str, Logged]) -> None:
    path, log = recorded
    one = log.had[COUNT // 3]
    at = ("--source", path, "--at", typed((one["from_ns"] + one["to_ns"]) // 2), "-J")
    done = pidscope("ps", *at, "--in", f"pid:{log.init}")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    VALIDATOR.validate(document)
    assert [it["levels"][-1]["tid"] for it in document["past_processes"]] == [1, NUMBER]
    assert document["past_processes"][1]["exit_status"] == one["status"]
    document = json.loads(pidscope("ns", *at).stdout)
    VALIDATOR.validate(document)
    (space,) = [it for it in document["past_namespaces"] if it["ns"] == log.ns]
    assert (space["init"], space["processes"], space["threads"]) == (log.init, 2, 2)


def test_of_each_process_the_cgroup_is_known(recorded: tuple[str, Logged]) -> None:
    """Also of those that the walk leaves out, and a snapshot takes from /proc (number 1, on 6.18).

    One that is not known would make each name "not known" that is no container's.
    """
    path, log = recorded
    at = ("--source", path, "--at", typed(log.had[0]["to_ns"]))
    document = json.loads(pidscope("ps", *at, "-J").stdout)
    living = [it for it in document["past_processes"] if it["exited_ns"] is None]
    assert 1 in [it["pid"] for it in living]
    assert [it for it in living if not it["facts"]["container_known"]] == []
    done = pidscope("lookup", "1", *at, "--in", "no-such-place")
    assert done.returncode == 1, done.stderr


def test_what_ended_and_what_was_born_is_the_log(recorded: tuple[str, Logged]) -> None:
    path, log = recorded
    since, until = typed(log.had[0]["before_ns"]), typed(log.had[-1]["after_ns"])
    asked = ("watch", "--source", path, "--since", since, "--until", until, "-J")
    done = pidscope(*asked, "--in", f"ns:{log.ns}")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for it in found:
        VALIDATOR.validate(it)
    lives = [it["task"] for it in found if it["type"] == "life"]
    assert [it["levels"][-1]["tid"] for it in lives] == [NUMBER] * COUNT
    assert [it["exit_status"] for it in lives] == [one["status"] for one in log.had]
    for it, one in zip(lives, log.had):
        assert one["before_ns"] <= int(it["start_ns"]) <= one["from_ns"]
        assert one["to_ns"] <= int(it["exited_ns"]) <= one["after_ns"]
    done = pidscope(*asked, "--by", "where")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[1])
    (row,) = [it for it in counts["rows"] if it["ns"] == log.ns]
    assert (row["births"], row["processes"], row["init"]) == (COUNT, COUNT, log.init)


CHANGES = """
import os, sys, time
print(os.getpid(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), file=sys.stderr, flush=True)
os.setsid()
os.execvp("sleep", ["sleep", "0.01"])
"""


def test_what_changes_later_is_not_said_of_the_time(tmp_path: Path) -> None:
    """Issue 17: at T it was Python in another session; an exec and a setsid came after."""
    path = str(tmp_path / "one.rec")
    script = f"{sys.executable} -c '{CHANGES}'; true"
    done = pidscope("record", path, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    pid, at_ns = next(
        map(int, line.split())
        for line in done.stderr.splitlines()
        if line.replace(" ", "").isdigit()
    )
    answer = pidscope("ps", "--source", path, "--at", typed(at_ns), "-J")
    assert answer.returncode == 0, answer.stderr
    (task,) = [it for it in json.loads(answer.stdout)["past_processes"] if it["pid"] == pid]
    facts = task["facts"]
    assert (facts["comm"], facts["sid"]) == ("sleep", pid)
    assert facts["at_ns"] == task["exited_ns"] and int(facts["at_ns"]) > at_ns


def test_a_log_is_annotated_with_what_had_its_numbers(recorded: tuple[str, Logged]) -> None:
    """Lines as strace -f -ttt -o writes them, with the host's numbers, which nothing else had.

    What a program stamps may be five seconds old, and so long before the first there is no record:
    each number is at most perhaps a process's, but never another's.
    """
    path, log = recorded
    offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    lines, expected = [], []
    with Recording(path) as recording:
        for one in log.had:
            middle = (one["from_ns"] + one["to_ns"]) // 2
            past = Past(recording, Moment(Clock.BOOTTIME, middle, middle))
            (holder,) = past.holders(log.ns, NUMBER).holders
            stamp = middle + offset
            lines.append(
                f"{holder.numbers[0]} {stamp // 10**9}.{stamp % 10**9 // 1000:06d} x = ?\n"
            )
            expected.append((list(holder.numbers), one["status"]))
    done = pidscope(
        "annotate", "strace", "--source", path, "--in", "host", "-J", input="".join(lines)
    )
    assert done.returncode == 4, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f"{it['line']}\n" for it in found] == lines
    for it, (numbers, status) in zip(found, expected):
        VALIDATOR.validate(it)
        ((holder_json,),) = [number["holders"] for number in it["pids"]]
        assert [level["tid"] for level in holder_json["levels"]] == numbers
        assert holder_json["exit_status"] == status


def test_what_a_file_has_is_shown_and_checked(recorded: tuple[str, Logged]) -> None:
    path, _ = recorded
    shown = pidscope("record", "--status", path, "-J")
    document = json.loads(shown.stdout)
    VALIDATOR.validate(document)
    assert document["lives"] > COUNT
    assert (document["snapshots"], document["damaged"], document["recording"]) == (2, [], False)
    assert pidscope("record", "--check", path).returncode == 0
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    damaged = Path(path).with_name("damaged.rec")
    damaged.write_bytes(data)
    checked = pidscope("record", "--check", str(damaged))
    assert checked.returncode == 1
    assert "damaged: " in checked.stdout


def test_before_and_after_nothing_is_known(recorded: tuple[str, Logged]) -> None:
    path, _ = recorded
    for word in ("@1764511385", "now"):
        done = pidscope("lookup", "--source", path, "--at", word, "1")
        assert (done.returncode, done.stdout) == (4, "")
        assert "nothing was recording then" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_ring_keeps_what_was_written_however_it_ends(tmp_path: Path, number: int) -> None:
    """kill -9 costs what came since the last second; the next recorder seals what is left."""
    ring = str(tmp_path / "ring")
    command = [*PIDSCOPE, "record", "--ring", ring]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr is not None
        while "recording by" not in recorder.stderr.readline():
            pass
        worked = subprocess.run(
            [sys.executable, str(REUSED), str(COUNT)], capture_output=True, text=True, check=True
        )
        log = logged(worked.stdout)
        end_ns = log.had[-1]["after_ns"]
        while _reaches(ring) < end_ns:
            assert recorder.poll() is None
            select.select([], [], [], 0.05)  # it writes once a second
        recorder.send_signal(number)
    if number == signal.SIGKILL:
        again = pidscope("record", "--ring", ring, "--duration", "0.1")
        assert again.returncode == 0, again.stderr
    with Recording(ring) as recording:
        assert all(it.sealed for it in recording.segments)
        if number == signal.SIGTERM:
            check(recording, log, 100)
        else:
            for one in log.had:
                past = Past(recording, Moment(Clock.BOOTTIME, one["from_ns"], one["from_ns"]))
                (holder,) = past.holders(log.ns, NUMBER).holders
                assert holder.status == one["status"] << 8


def _reaches(ring: str) -> int:
    with Recording(ring) as recording:
        last = recording.segments[-1]
        file = recording._opened(last)
        return 0 if file is None else file.through.boottime_ns
