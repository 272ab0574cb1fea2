"""``lookup --at`` and ``record --status`` of a file, whole, hostile, or not there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli
from pidscope.history.cpid import cpid
from pidscope.history.frames import Through
from pidscope.history.segment import SegmentWriter
from pidscope.wire.lives import LIVES
from tests.unit.commands.asked import VALIDATOR
from tests.unit.history.lives import HOST, life, rows

S = 1_000_000_000
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
NAMED = {"runtime": "docker", "id": "a\nb", "name": "\x1b[31mx"}


def write(path: Path, *more: dict[str, Any], **head: Any) -> Path:
    """Ten minutes up to now: 42 lived in the middle, and 43, in a namespace of its own."""
    wall = time.time_ns()
    begin = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 600 * S
    clock = {"boottime_ns": begin, "realtime_ns": wall - 600 * S, "monotonic_ns": begin}
    first = {"type": "head", "boot_id": BOOT, "threads": True, "from_ns": begin, "clock": clock}
    made = SegmentWriter(
        str(path), {**first, "initial_ns": HOST, **head}, Through(begin, wall - 600 * S)
    )
    init = life((1,), start_ns=1, end_ns=begin + 1)
    made.add_rows(LIVES, rows(init), begin, alive=True)
    lived = {"start_ns": begin + 10 * S, "end_ns": begin + 400 * S}
    inner = life((43, 7), (HOST, HOST + 1), **lived, cgroup_id=9)  # type: ignore[arg-type]
    made.add_rows(LIVES, rows(life((42,), **lived), inner), begin + 401 * S)  # type: ignore[arg-type]
    made.add_rows(LIVES, rows(init._replace(end_ns=begin + 500 * S + 1)), begin + 500 * S, True)
    for it in more:
        made.add_json(it)
    made.reached(Through(begin + 550 * S, wall - 50 * S))
    made.close()
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    return code, out, err


HUGE = {"boottime_ns": 1, "realtime_ns": 10**60, "monotonic_ns": 1}


@pytest.mark.parametrize(
    ("head", "more"),
    [
        ({"clock": [1, 2]}, []),
        ({"clock": {"boottime_ns": "x", "realtime_ns": "y"}}, []),
        ({"clock": HUGE}, []),
        ({"clock": {**HUGE, "realtime_ns": -(10**30)}}, []),
        ({"from_ns": "12"}, []),
        ({"boot_id": [1]}, []),
        ({"cannot": 5, "host": {"a": 1}, "mode": [1], "threads": "x"}, []),
        ({"cannot": ["\x1b[31mred", 7], "host": "\x1b]0;x"}, []),
        ({}, [{"type": "cgroups", "cgroups": {"9" * 5_000: "/x"}}]),
        ({}, [{"type": ["gap"]}, {"type": "gap", "first_ns": 10**40, "reason": "\x1b[31m"}]),
        ({}, [{"type": "gap", "first_ns": None, "reason": 5, "count": {"a": 1}}]),
        ({}, [{"type": "containers", "containers": {"9": [NAMED, 5, {"runtime": 5}]}}]),
    ],
)
def test_a_hostile_recording_is_answered_in_order(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    head: dict[str, Any],
    more: list[dict[str, Any]],
) -> None:
    """Heads of the wrong types, times of no year, keys of 5,000 digits: no traceback, no escape."""
    path = str(write(tmp_path / "one", *more, **head))
    at = f"@{time.time_ns() // S - 300}"
    for words in (
        ["42", "43", "--at", "-5m"],
        ["42", "--at", at],
        ["7", "--at", "-5m", "--in", "x"],
    ):
        assert run(capsys, "lookup", *words, "--source", path)[0] in (0, 1, 4)
        run(capsys, "lookup", *words, "--source", path, "-J")
    for words in (
        ["ps", "--at", "-5m"],
        ["ps", "--threads", "--at", at, "--in", f"ns:{HOST + 1}"],
        ["ns", "--at", at],
        ["watch", "--since", "-5m"],
        ["watch", "--since", at, "--until", "now", "--in", "x"],
        ["watch", "--since", "@1", "--by", "where"],
    ):
        for form in ([], ["-J"]):
            code, out, _ = run(capsys, *words, *form, "--source", path)
            assert code in (0, 1, 2, 4)
            assert all(map(json.loads, out.splitlines() if form else ()))
    assert run(capsys, "record", "--gaps", path)[0] in (0, 4)
    for option in ("--status", "--check"):
        assert run(capsys, "record", option, path)[0] == 0
        document = json.loads(run(capsys, "record", option, path, "-J")[1])
        assert isinstance(document["host"], (str, type(None)))


def test_what_is_not_there_was_not_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """4, not known, as record --status has it."""
    code, _, err = run(capsys, "lookup", "42", "--at", "-5m", "--source", str(tmp_path / "none"))
    assert (code, "nothing was recording: there is no" in err) == (4, True)


def test_what_is_no_file_is_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, _, err = run(capsys, "lookup", "42", "--at", "-5m", "--source", str(tmp_path / "pipe"))
    assert (code, err) == (3, f"pidscope: {tmp_path / 'pipe'}: not a recording of pidscope\n")


def test_a_cgroup_that_was_not_recorded_is_not_no_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was gone within the second before its path was asked for."""
    known = {"type": "cgroups", "cgroups": {"1": "/"}}
    path = str(write(tmp_path / "one", known))
    out = run(capsys, "lookup", "42", "43", "--at", "-5m", "-n", "--source", path)[1]
    assert [line.split("  process")[0].split()[-1] for line in out.splitlines()] == ["-", "?"]
    code, _, err = run(capsys, "lookup", "7", "--at", "-5m", "--in", "web", "--source", path)
    assert (code, "not known" in err) == (4, True)
    both = {"type": "cgroups", "cgroups": {"1": "/", "9": "/b"}}
    path = str(write(tmp_path / "two", both))
    assert run(capsys, "lookup", "7", "--at", "-5m", "--in", "web", "--source", path)[0] == 1


def test_a_number_that_is_not_there_is_told_with_q(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path / "one"))
    words = ["lookup", "42", "43", "--at", "-5m", "-q", "--to", f"ns:{HOST + 1}", "--source", path]
    code, out, err = run(capsys, *words)
    assert (code, out) == (1, "7\n")
    assert "42" in err


def test_an_inum_that_was_given_out_again_is_no_one_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within the time asked about another container got the inum: its 17 is not the other's."""
    wall, now = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    begin = now - 600 * S
    clock = {"boottime_ns": begin, "realtime_ns": wall - 600 * S, "monotonic_ns": begin}
    head = {"type": "head", "boot_id": BOOT, "threads": True, "from_ns": begin, "clock": clock}
    path = tmp_path / "one"
    made = SegmentWriter(str(path), {**head, "initial_ns": HOST}, Through(begin, wall - 600 * S))
    first = life((50, 1), (HOST, HOST + 1), begin + 10 * S, begin + 100 * S)
    second = life((60, 1), (HOST, HOST + 1), begin + 101 * S, begin + 200 * S)
    its_17 = life((61, 17), (HOST, HOST + 1), begin + 102 * S, begin + 199 * S)
    made.add_rows(LIVES, rows(first, second, its_17), begin + 300 * S)
    made.add_rows(
        LIVES, rows(life((2,), start_ns=1, end_ns=begin + 300 * S)), begin + 300 * S, True
    )
    made.reached(Through(begin + 300 * S, wall - 300 * S))
    made.close()

    def ask(at: str) -> tuple[int, str, str]:
        words = ("lookup", "--source", str(path), "--at", at, "--in", f"ns:{HOST + 1}", "17")
        return run(capsys, *words, "-q")

    code, out, err = ask("-10m")  # a minute: the first alone
    assert (code, out) == (1, "")
    code, out, err = ask(f"@{(wall - 450 * S) // S}")  # a second: the second alone
    assert (code, out) == (0, "61\n")
    code, out, err = ask("-1h")  # an hour: both
    assert (code, out) == (2, "")
    assert "was 2 namespaces in that time" in " ".join(err.split())


def test_a_holder_has_the_common_process_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its innermost number and namespace, wherever it was asked for."""
    path = str(write(tmp_path / "one"))
    out = run(capsys, "lookup", "43", "--at", "-5m", "--source", path, "-J")[1]
    VALIDATOR.validate(json.loads(out))
    (holder,) = json.loads(out)["past_lookups"][0]["holders"]
    assert holder["cpid"] == cpid(BOOT, HOST + 1, int(holder["start_ns"]), 7)
