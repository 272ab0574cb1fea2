"""Lines for people: one a event, short, harmless to a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ROOT
from test_wire import EVENTS

from pidscope import lines
from pidscope.event import (
    Birth,
    Event,
    ForkFailed,
    Lost,
    PidAttached,
    PidNumbers,
    PidRefused,
    PidType,
    Repaired,
    TaskExecuted,
    TaskExited,
)
from pidscope.verify import Judgement, Verdict

NOON = datetime(2024, 5, 1, 12, 0, 0, 1234)
ZERO = PidNumbers((0,), ROOT)


def line(event: Event) -> str:
    return lines.event_line(event, lambda ns: NOON, lambda tid: f"{tid}/1")


@settings(max_examples=400)
@given(st.one_of(*EVENTS.values()))
def test_every_event_is_one_harmless_short_line(event: Event) -> None:
    text = line(event)
    assert len(text) <= lines.WIDTH
    assert text.isprintable() and text == text.rstrip()
    assert text.startswith("12:00:00.001234 ")
    assert len(text.split()) >= 3


BIRTH = Birth(4242, 1, 0, b"ng\x1b[31m", ROOT, ZERO, ZERO)
PID = PidNumbers((4242, 17), 4026532000)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            PidAttached(0, 5, 4242, PidType.PID, PID, BIRTH),
            r"birth     4242/17              by 5/1 ng\x1b[31m",
        ),
        (
            PidAttached(0, 5, 4242, PidType.PID, PID, BIRTH._replace(tgid=9)),
            r"thread    4242/17              of 9/1 ng\x1b[31m",
        ),
        (
            PidAttached(0, 5, 5, PidType.SID, PID),
            "sid       5/1                  now 4242/17",
        ),
        (TaskExited(0, 5, 5, 5, 0x0B), "exit      5/1                  signal 11"),
        (TaskExited(0, 5, 5, 5, 0x0300), "exit      5/1                  status 3"),
        (TaskExecuted(0, 5, 5, 6, b"sh"), "exec      5/1                  sh"),
    ],
)
def test_what_a_line_says(event: Event, text: str) -> None:
    assert line(event) == f"12:00:00.001234 {text}"


def test_a_failed_fork_says_why() -> None:
    assert "EAGAIN" in line(ForkFailed(0, 5, 11, 0, 0, ROOT)) and "EAGAIN" in line(
        PidRefused(0, 5, 11)
    )


def test_a_loss_is_told() -> None:
    assert "LOST" in line(Lost(0, 12)) and "12 records" in line(Lost(0, 12))


def test_a_repair_is_told() -> None:
    repaired = Repaired(0, 65536, 12_345_678_901, 2300)
    text = "exact again, from 65536 tasks on (12.35 s, 2300 lost)"
    assert line(repaired) == f"12:00:00.001234 REPAIRED  {text}"
    assert lines.repair(repaired) == f"REPAIRED {text}"


def test_a_disagreement_says_what_was_expected_and_seen() -> None:
    bug = Judgement(17, Verdict.WRONG, "NSsid at level 0", "NSsid[0] in [5]", "NSsid (6,)")
    text = lines.disagreement(bug)
    assert text.lower().startswith("wrong 17: nssid at level 0")
    assert bug.expected in text and bug.seen in text


def summary(**changed: Any) -> dict[str, Any]:
    """A verification in which all is well, but for what is changed."""
    zeros = (
        "moved",
        "held",
        "unjudged",
        "missing",
        "ghost",
        "wrong",
        "lost",
        "repairs",
        "ungrammatical",
        "skipped",
    )
    return {
        **dict.fromkeys(zeros, 0),
        "snapshots": 3,
        "compared": 30,
        "agree": 30,
        "events": 9,
        "probes": "fentry",
        "elapsed_s": 1.5,
        "complete": True,
        "hooks": {"attach_pid": {"hits": 8, "accounted": 8}},
        "hooks_at_rest": True,
        "births": {"proc_stat": 2, "told": 2},
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "all agree: 30 comparisons"),
        ({}, "every run of a hook accounted for: 8"),
        ({"complete": False}, "NOT PROVED"),
        ({"wrong": 1, "ghost": 2, "missing": 3}, "6 DISAGREE"),
        ({"hooks": {"attach_pid": {"hits": 8, "accounted": 4}}}, "attach_pid: ran 8 times"),
        ({"hooks": {"attach_pid": {"hits": 8, "accounted": 4}}}, "NOT PROVED"),
        ({"hooks_at_rest": False}, "never at rest"),
        ({"births": None}, "all agree"),
        ({"births": {"proc_stat": 3, "told": 2}}, "NOT PROVED"),
        ({"births": {"proc_stat": 3, "told": 2}}, "2 births told of, 3 in /proc/stat"),
        ({"skipped": 4, "complete": False}, "4 runs of hooks left out by the kernel"),
        ({"cmd_status": 3, "cmd_counts": {"births": 2, "threads": 0}}, "CMD's status 3"),
        ({"cmd_status": 3, "cmd_counts": {"births": 2, "threads": 0}}, "its tree: births 2"),
    ],
)
def test_the_sum_of_a_verification(changed: dict[str, Any], said: str) -> None:
    text = lines.verification(summary(**changed))
    assert said in text
    bad = changed.get("births") or not changed.keys() <= {
        *("cmd_status", "cmd_counts", "hooks_at_rest", "births")
    }
    assert ("all agree" in text) is not bool(bad)
