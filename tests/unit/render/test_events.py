"""Lines for people: one a event, short, harmless to a terminal."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from pidscope import events
from pidscope.containers.container import shorten_ids
from pidscope.limits.failure import Known, Reason
from pidscope.render.event_names import ALWAYS, CHOICES, FAILED, STEPS, event_name
from pidscope.render.events import (
    TaskLabel,
    disagreement,
    event_line,
    gap_line,
    reason_lines,
    verification,
)
from pidscope.render.text import WIDTH
from pidscope.verify.verdicts import Judgement, Verdict
from tests.unit.stepped_kernel import ROOT
from tests.unit.wire.test_wire import EVENTS

NOON = datetime(2024, 5, 1, 12, 0, 0, 1234)
ZERO = events.PidNumbers((0,), ROOT)


def line(event: events.Event, why: Reason | None = None) -> str:
    return event_line(event, lambda ns: NOON, lambda tid: TaskLabel(f"{tid}/1", b"sh\x1b[0m"), why)


@settings(max_examples=400)
@given(st.one_of(*EVENTS.values()))
def test_every_event_is_one_harmless_short_line(event: events.Event) -> None:
    text = line(event)
    assert len(text) <= WIDTH
    assert text.isprintable() and text == text.rstrip()
    assert text.startswith("12:00:00.001 ")
    word = text.split()[1]
    assert word == event_name(event) and text[12:23].strip() == word  # one word, in its column


def test_the_words_are_those_that_can_be_asked_for() -> None:
    attached = [events.PidAttached(0, 5, 4242, kind, PID) for kind in events.PidType]
    born = [attached[0]._replace(birth=birth) for birth in BIRTHS]
    others = [find(EVENTS[kind], bool) for kind in EVENTS if kind is not events.PidAttached]
    told = {event_name(event) for event in [*attached, *born, *others]}
    assert told - {"pid", "tgid"} == set(CHOICES)  # attachments that no hook tells of
    assert {event_name(events.Lost(0, 1)), event_name(events.Repaired(0, 1, 2, 3))} == ALWAYS
    assert set(CHOICES) > STEPS | FAILED and len(set(CHOICES)) == len(CHOICES)


BIRTH = events.Birth(4242, 1, 0, b"ng\x1b[31m", ROOT, ZERO, ZERO)
BIRTHS = (BIRTH, BIRTH._replace(tgid=9))  # of a process, of a thread
PID = events.PidNumbers((4242, 17), 4026532000)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            events.PidAttached(0, 5, 4242, events.PidType.PID, PID, BIRTH),
            r"birth     4242/17            ng\x1b[31m      by 5/1",
        ),
        (
            events.PidAttached(0, 5, 4242, events.PidType.PID, PID, BIRTH._replace(tgid=9)),
            r"thread    4242/17            ng\x1b[31m      of 9/1",
        ),
        (
            events.PidAttached(0, 5, 5, events.PidType.SID, PID),
            r"sid       5/1                sh\x1b[0m       now 4242/17",
        ),
        (
            events.TaskExited(0, 5, 5, 5, 0x8B),
            r"exit      5/1                sh\x1b[0m       signal 11 SEGV",
        ),
        (
            events.TaskExited(0, 5, 5, 5, 0x0300),
            r"exit      5/1                sh\x1b[0m       status 3",
        ),
        (
            events.TaskExecuted(0, 5, 5, 6, b"ls"),
            r"exec      5/1                ls              was sh\x1b[0m",
        ),
        (
            events.NamespaceCreated(0, 5, 4026532146, ROOT, 32),
            r"ns-new    5/1                sh\x1b[0m       4026532146 level 32",
        ),
    ],
)
def test_what_a_line_says(event: events.Event, text: str) -> None:
    assert line(event) == f"12:00:00.001 {text}"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((4194303, 4194303, 17), "4194303/4194303/17"),
        ((4194303, 4194302, 4194301, 17), "4194303/…/17"),
        ((4194303, 1, 2, 3, 4, 5, 6), "4194303/…/3/4/5/6"),
        ((4194303, 4194302, 4194301), "4194303/…/4194301"),
    ],
)
def test_deep_numbers_stay_in_their_column(numbers: tuple[int, ...], shown: str) -> None:
    text = line(
        events.PidAttached(0, 5, 4194303, events.PidType.PID, events.PidNumbers(numbers, 1), BIRTH)
    )
    assert text[23:42] == f"{shown:<19}" and text[42:50] == r"ng\x1b[31m"[:8]


def test_a_long_name_stays_in_its_column() -> None:
    hostile = BIRTH._replace(comm=b"\x1b" * 15)
    text = line(events.PidAttached(0, 5, 4242, events.PidType.PID, PID, hostile))
    assert text.endswith(r"\x1b\x1b\x1b\x… by 5/1")


FAILED_FORK = events.ForkFailed(0, 5, 11, 0, 0, ROOT)


LIKELY = Reason(Known.LIKELY, ("pids.max",), "pids.max 8 of /a")


@pytest.mark.parametrize(
    ("event", "why", "said"),
    [
        (FAILED_FORK, None, "EAGAIN"),
        (events.PidRefused(0, 5, 11), None, "EAGAIN"),
        (FAILED_FORK._replace(errno=513), None, "ERESTARTNOINTR"),
        (FAILED_FORK._replace(errno=95), None, "EOPNOTSUPP"),  # as the kernel calls it
        (FAILED_FORK, LIKELY, "EAGAIN pids.max?"),
        (FAILED_FORK, Reason(Known.CERTAIN, ("pid_max",), "pid_max"), "EAGAIN pid_max"),
        (FAILED_FORK, LIKELY._replace(known=Known.NOT), "EAGAIN"),
        (FAILED_FORK, LIKELY._replace(causes=("a", "b")), "EAGAIN"),
    ],
)
def test_a_failed_fork_says_what_and_why(
    event: events.Event, why: Reason | None, said: str
) -> None:
    assert line(event, why).endswith(f" {said}")


def test_a_long_reason_is_folded_below_its_line_and_nothing_is_left_out() -> None:
    path = "/kubepods.slice/" + "x-" * 60
    told = reason_lines(Reason(Known.LIKELY, ("pids.max",), f"pids.max 8 of {path}, full"))
    assert all(len(one) <= WIDTH and one.startswith(" " * 13) for one in told)
    joined = "".join(one[13:] for one in told)
    assert path in joined and joined.startswith("likely pids.max 8 of")


def test_a_reason_has_ids_as_short_as_they_are_shown_elsewhere() -> None:
    reason = Reason(Known.LIKELY, ("pids.max",), f"pids.max 8 of /docker/{'0a' * 32}, full")
    assert reason_lines(reason) == [" " * 13 + "likely pids.max 8 of /docker/0a0a0a0a0a0a…, full"]
    no_id = "/" + "0a" * 33
    paths = {f"/a/docker-{'0a' * 32}.scope/b": "/a/docker-0a0a0a0a0a0a….scope/b", no_id: no_id}
    assert {path: shorten_ids(path) for path in paths} == paths


def test_a_loss_and_its_repair_are_told() -> None:
    assert re.match(r"12:00:00.001 LOST +12 records", line(events.Lost(0, 12)))
    repaired = events.Repaired(0, 65536, 12_345_678_901, 2300)
    text = "exact again, from 65536 tasks on (12.35 s, 2300 lost)"
    assert line(repaired) == f"12:00:00.001 REPAIRED  {text}"
    assert gap_line(repaired) == f"REPAIRED {text}"


def test_a_disagreement_says_what_was_expected_and_seen() -> None:
    bug = Judgement(17, Verdict.WRONG, "NSsid at level 0", "NSsid[0] in [5]", "NSsid (6,)")
    text = disagreement(bug)
    assert text.lower().startswith("wrong 17: nssid at level 0")
    assert bug.expected in text and bug.seen in text


def summary(**changed: Any) -> dict[str, Any]:
    """A verification in which all is well, but for what is changed."""
    zeros = [
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
    ]
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
        ({"births": {"proc_stat": 3, "told": 2}}, "2 births reported, 3 in /proc/stat"),
        ({"skipped": 4, "complete": False}, "4 runs of hooks skipped by the kernel"),
        ({"cmd_status": 3, "cmd_counts": {"births": 2, "threads": 0}}, "CMD's status 3"),
        ({"cmd_status": 3, "cmd_counts": {"births": 2, "threads": 0}}, "its tree: births 2"),
        ({"cmd_status": 0, "cmd_counts": {"births": 0}}, "status 0; it forked no process"),
    ],
)
def test_the_sum_of_a_verification(changed: dict[str, Any], said: str) -> None:
    text = verification(summary(**changed))
    assert said in text
    bad = changed.get("births") or not changed.keys() <= {
        *("cmd_status", "cmd_counts", "hooks_at_rest", "births")
    }
    assert ("all agree" in text) is not bool(bad)
