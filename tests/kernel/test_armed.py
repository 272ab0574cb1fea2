"""Armed: programs and slots that outlive the process that made them, and what they answer."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pidscope.errors import HostError, NotKnown, UsageError
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past
from pidscope.live import armed
from pidscope.live.armed import ArmedLives, arm, disarm, read_about
from pidscope.live.kept_programs import kept_programs
from pidscope.live.life_program import LifeProgram
from pidscope.live.supply import Supply
from pidscope.sources.armed_host import about_armed, armed_recording
from pidscope.wire.hooks import TRACEPOINT
from pidscope.wire.lives import LIVES

from .test_record import COUNT, MOMENTS, NUMBER, REUSED, check, logged

SMALL = 1024
FORKS = 3 * SMALL


@pytest.fixture(scope="module")
def supply() -> Supply:
    return Supply(kept_programs())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    """A BPF file system of the test's own: what is pinned in it ends with it."""
    subprocess.run(["mount", "-t", "bpf", "bpf", tmp_path], check=True)
    yield str(tmp_path)
    subprocess.run(["umount", tmp_path], check=True)


def arm_it(place: str, supply: Supply, lives: int = 65_536) -> None:
    """Arm as a process would that then ends: nothing of it is left open."""
    with closing(LifeProgram(TRACEPOINT, supply=supply, lives=lives)) as program:
        arm(program, about_armed(TRACEPOINT, True, lives), place)


def work() -> str:
    command = [sys.executable, str(REUSED), str(COUNT)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_ended_while_no_process_ran_is_known(place: str, supply: Supply) -> None:
    arm_it(place, supply)
    log = logged(work())
    with armed_recording(supply, place) as recording:
        check(recording, log, MOMENTS)
    with armed_recording(supply, place) as recording:  # reading takes nothing away
        check(recording, log, 10)


def test_what_was_overwritten_is_not_known(place: str, supply: Supply) -> None:
    """More end than there is room for: from the oldest that is left on, all is known."""
    arm_it(place, supply, SMALL)
    log = logged(work())
    subprocess.run(["sh", "-c", f"for i in $(seq {FORKS}); do (:); done"], check=True)
    with armed_recording(supply, place) as recording:
        for one in random.Random(17).sample(list(log.had), 10):
            with pytest.raises(NotKnown, match="nothing was recording then"):
                Past(recording, Moment(Clock.BOOTTIME, one["from_ns"], one["from_ns"]))
    with closing(ArmedLives(place)) as lives:
        rows = sum(len(run) // of.size for of, run in lives.take() if of is LIVES)
        assert rows == SMALL
        assert lives.overwritten == [LIVES]


def test_runs_that_the_kernel_skipped_are_a_gap(
    place: str, supply: Supply, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm_it(place, supply)
    log = logged(work())
    monkeypatch.setattr(armed, "recursion_misses", lambda fd: 3)
    one, other = log.had[0], log.had[1]
    with armed_recording(supply, place) as recording:
        had = Past(recording, Moment(Clock.BOOTTIME, one["from_ns"], one["from_ns"]))
        assert [it.end_ns for it in had.holders(log.ns, NUMBER).holders] != []
        free_ns = (one["after_ns"] + other["before_ns"]) // 2
        free = Past(recording, Moment(Clock.BOOTTIME, free_ns, free_ns)).holders(log.ns, NUMBER)
        assert not free.holders
        assert free.gap is not None and free.gap.reason == "the kernel skipped runs of a program"


def test_it_is_armed_once_and_ends_with_disarm(place: str, supply: Supply) -> None:
    assert read_about(place) is None
    arm_it(place, supply)
    about = read_about(place)
    assert about is not None
    assert (about["lives"], about["mode"], about["layout"]) == (65_536, TRACEPOINT, 1)
    with pytest.raises(UsageError, match="armed already"):
        arm_it(place, supply)
    assert Path(place, "pidscope").stat().st_mode & 0o777 == 0o700
    assert disarm(place)
    assert not disarm(place)
    assert read_about(place) is None
    assert not [it for it in Path(place).iterdir() if "pidscope" in it.name]
    with pytest.raises(NotKnown, match="not armed"):
        ArmedLives(place)


def test_another_layout_is_never_misread(
    place: str, supply: Supply, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm_it(place, supply)
    monkeypatch.setattr(armed, "LIFE_LAYOUT", 2)
    with pytest.raises(HostError, match="whose records have layout 1; this one reads layout 2"):
        ArmedLives(place)
    assert disarm(place)


def test_a_size_that_is_not_the_maps_is_refused(place: str, supply: Supply) -> None:
    with closing(LifeProgram(TRACEPOINT, supply=supply, lives=SMALL)) as program:
        arm(program, about_armed(TRACEPOINT, True, 4 * 65_536), place)
    with pytest.raises(HostError, match="cannot be read"):
        ArmedLives(place)


def test_without_a_bpf_file_system_it_says_what_to_do(tmp_path: Path, supply: Supply) -> None:
    with pytest.raises(HostError, match="no BPF file system") as raised:
        arm_it(str(tmp_path), supply)
    assert raised.value.hint == f"mount -t bpf bpf {tmp_path}, as root"


def test_the_commands(tmp_path: Path) -> None:
    """In a mount namespace of their own, with a BPF file system that ends with it."""
    script = """
        mount -t bpf bpf /sys/fs/bpf && "$0" -m pidscope arm && "$0" "$1" 40 >"$2" || exit
        ns=$(sed -n '1s/.*"ns": \\([0-9]*\\).*/\\1/p' "$2")
        "$0" -m pidscope lookup -J --source armed --at -1h --in ns:$ns 42; echo $? >&2
        "$0" -m pidscope lookup -J --source armed --at now --in host 2; echo $? >&2
        "$0" -m pidscope disarm && "$0" -m pidscope disarm; echo $? >&2
    """
    command = ["unshare", "-m", "sh", "-c", script, sys.executable, str(REUSED), f"{tmp_path}/log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    said = [line for line in done.stderr.splitlines() if line.isdigit()]
    assert said == ["2", "0", "1"], done.stderr  # in an hour 40 had it
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    hour, now = (document["past_lookups"][0]["holders"] for document in documents)
    assert [holder["exit_status"] for holder in hour] == [*range(COUNT)]
    assert [holder["facts"]["comm"] for holder in now] == ["kthreadd"]
