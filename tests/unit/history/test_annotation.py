"""What is behind a line: certain, ambiguous, none, not known, each told apart; nothing forged."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers.container import Chain
from pidscope.escape import unescape
from pidscope.history.annotate import Known, find
from pidscope.history.annotation import MARK, Text
from pidscope.history.annotation_json import Objects
from pidscope.history.answer import Gap, Holder
from pidscope.history.logs.line import Mention, Parsed
from pidscope.history.moment import SECOND_NS, Clock, Moment
from tests.unit.commands.asked import VALIDATOR
from tests.unit.history.told import AT_S, BOOT, BOOTED_NS, WEB, Told, holder

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = Moment(
    Clock.REALTIME, BOOTED_NS + AT_S * SECOND_NS, BOOTED_NS + (AT_S + 1) * SECOND_NS - 1
)
OTHER_BOOT = "11111111-89ab-cdef-0123-456789abcdef"


def asked(*numbers: int, thread: bool = False, moment: Moment | None = MOMENT) -> Parsed:
    mentions = tuple(Mention(it, thread, 0, 1) for it in numbers)
    return Parsed(mentions, moment, "" if moment is not None else "the line has no time")


def text(recording: Told, parsed: Parsed) -> str:
    recorded = recording.recorded()
    return Text(recorded, BERLIN).of(parsed, find(parsed, lambda _: recorded))


def known(recording: Told, parsed: Parsed) -> Known:
    (found,) = find(parsed, lambda _: recording.recorded())
    return found.known


LIFE = holder((4242, 17), AT_S - 6, AT_S + 0.5, status=9)
HOUR = 3_600


@pytest.mark.parametrize(
    ("life", "container", "expected"),
    [
        (
            LIFE,
            WEB,
            "4242 (17 inside), at its end nginx in docker container web, born 14:02:59,"
            " ended 14:03:05 SIGKILL",
        ),
        (
            holder((4242,), AT_S - 6, AT_S + 1, status=256),
            (),
            "4242, at its end nginx, born 14:02:59, ended 14:03:06 status 1",
        ),
        (
            holder((4242,), AT_S - 6, AT_S, status=0x80 | 11),
            None,
            "4242, at its end nginx, container not known, born 14:02:59, ended 14:03:05 SIGSEGV",
        ),
        (
            holder((4242,), AT_S - 6, AT_S, status=40),
            (),
            "4242, at its end nginx, born 14:02:59, ended 14:03:05 signal 40",
        ),
        # of another day; it lives; the facts are a snapshot's
        (
            holder((4242,), AT_S - 43_000, None, facts_s=AT_S + 55),
            (),
            "4242, at 14:04:00 nginx, born 02:06:25, not ended",
        ),
        (
            holder((4242,), 0, AT_S + 12 * HOUR, status=None),
            (),
            "4242, at its end nginx, born 01:53:20, ended 2026-12-01 02:03:05 status not known",
        ),
        # a thread that called exec has no start
        (
            holder((4242, None), None, AT_S, tgid=4240),
            (),
            "4242 (? inside), thread of 4240, at its end nginx, born ?, ended 14:03:05 status 0",
        ),
    ],
)
def test_one_holder_is_the_answer(life: Holder, container: Chain | None, expected: str) -> None:
    recording = Told([life], (), {b"nginx": container})
    is_thread = life.is_thread
    assert text(recording, asked(4242, thread=is_thread)) == f" [pidscope: {expected}]"
    assert known(recording, asked(4242, thread=is_thread)) is Known.PROCESS


def test_a_number_of_another_namespace_is_said_first() -> None:
    class Inside(Told):
        def ask(self, number: int, moment: Moment, thread: bool):  # type: ignore[no-untyped-def]
            return super().ask(4242 if number == 17 else number, moment, thread)

    shown = text(Inside([LIFE]), asked(17))
    assert shown.startswith(" [pidscope: 17 is 4242 (17 inside), at its end nginx")


def test_two_lives_in_the_time_of_the_line_are_ambiguous() -> None:
    old, new = (
        holder((7,), AT_S - 100, AT_S, comm=b"old", status=256),
        holder((7,), AT_S + 0.5, None, comm=b"new", facts_s=AT_S + 60),
    )
    recording = Told([old, new])
    assert text(recording, asked(7)) == (
        " [pidscope: 7 ambiguous: 7, at its end old, born 14:01:25, ended 14:03:05 status 1 or"
        " 7, at 14:04:05 new, born 14:03:05, not ended]"
    )
    assert known(recording, asked(7)) is Known.AMBIGUOUS


def test_no_process_is_told_apart_from_not_known() -> None:
    assert text(Told([]), asked(9)) == " [pidscope: 9 no process had it then]"
    assert text(Told([]), asked(9, thread=True)) == " [pidscope: 9 no task had it then]"
    assert known(Told([]), asked(9)) is Known.NONE
    gap = Gap(BOOT, (AT_S - HOUR) * SECOND_NS, (AT_S + 2) * SECOND_NS, "nothing was recording")
    assert text(Told([], [gap]), asked(9)) == (
        " [pidscope: 9 not known: nothing was recording from 13:03:05 to 14:03:07]"
    )
    assert known(Told([], [gap]), asked(9)) is Known.NOT_KNOWN
    unbounded = gap._replace(last_ns=None, boot_id=OTHER_BOOT, reason="[pidscope: x]")
    assert text(Told([], [unbounded]), asked(9)) == (
        r" [pidscope: 9 not known: \x5bpidscope: x\x5d from ? to its end]"
    )


def test_a_question_that_has_no_answer_is_no_stretch_of_time() -> None:
    """``--in web`` was two containers, or none that is known."""
    recording = Told([], [Gap("", 0, None, "[web] was more than one place")])
    expected = r"9 not known: \x5bweb\x5d was more than one place"
    assert text(recording, asked(9)) == f" [pidscope: {expected}]"
    recorded = recording.recorded()
    (pid,) = Objects(recorded, BERLIN).of(b"x", asked(9), find(asked(9), lambda _: recorded))[
        "pids"
    ]
    assert (pid["gap"], pid["reason"]) == (None, "[web] was more than one place")


def test_a_holder_beside_a_gap_is_not_certain() -> None:
    gap = Gap(BOOT, AT_S * SECOND_NS, None, "records were lost")
    recording = Told([holder((9,), AT_S - 6, AT_S)], [gap])
    assert known(recording, asked(9)) is Known.NOT_KNOWN
    assert text(recording, asked(9)) == (
        " [pidscope: 9 not known: records were lost from 14:03:05 to its end; perhaps 9, at its"
        " end nginx, born 14:02:59, ended 14:03:05 status 0]"
    )


@pytest.mark.parametrize(
    ("start_s", "end_s", "facts_s", "expected"),
    [
        (AT_S, AT_S + 1, None, Known.PROCESS),
        (AT_S, None, AT_S + 1, Known.PROCESS),
        (AT_S, None, AT_S + 0.999, Known.NOT_KNOWN),
        (AT_S + 0.001, AT_S + 1, None, Known.NOT_KNOWN),
        (AT_S, AT_S + 0.999, None, Known.NOT_KNOWN),
        (None, AT_S + 1, None, Known.NOT_KNOWN),
    ],
)
def test_a_holder_that_lived_all_the_time_of_the_line_is_certain_beside_a_gap(
    start_s: float | None, end_s: float | None, facts_s: float | None, expected: Known
) -> None:
    gap = Gap(BOOT, AT_S * SECOND_NS, None, "records were lost")
    recording = Told([holder((9,), start_s, end_s, facts_s=facts_s)], [gap])
    assert known(recording, asked(9)) is expected
    first_ns = AT_S * SECOND_NS
    bounds = first_ns, first_ns + SECOND_NS - 1
    assert known(recording, asked(9, moment=Moment(Clock.BOOTTIME, *bounds))) is expected
    # how the two clocks stand to each other is not known here
    later = known(recording, asked(9, moment=Moment(Clock.MONOTONIC, *bounds)))
    assert later is Known.NOT_KNOWN


def test_a_line_without_a_time_is_not_asked() -> None:
    recording = Told([LIFE], asked=[])
    parsed = asked(4242, moment=None)
    assert text(recording, parsed) == " [pidscope: 4242 not known: the line has no time]"
    assert not recording.asked


def test_a_line_of_another_boot_is_not_of_this_recording() -> None:
    """A journal holds many boots, and may be another host's."""
    this = asked(4242, moment=MOMENT._replace(boot_id=BOOT.replace("-", "")))
    assert known(Told([LIFE]), this) is Known.PROCESS
    other = asked(4242, moment=MOMENT._replace(boot_id=OTHER_BOOT.replace("-", "")))
    assert known(Told([LIFE]), other) is Known.NOT_KNOWN
    assert "4242 not known: the line is of a boot, or a host, that" in text(Told([LIFE]), other)


def test_several_numbers_stand_in_the_order_of_the_line() -> None:
    assert text(Told([]), asked(9, 8)) == (
        " [pidscope: 9 no process had it then; 8 no process had it then]"
    )
    assert text(Told([]), Parsed()) == ""
    assert text(Told([]), Parsed(reason="x")) == " [pidscope: x]"


@given(st.binary(max_size=15), st.text(max_size=40))
def test_a_name_can_neither_end_an_annotation_nor_begin_another_one(comm: bytes, name: str) -> None:
    named = (WEB[0]._replace(name=name + MARK),)
    life = holder((4242,), AT_S - 6, AT_S, comm=comm)
    shown = text(Told([life], (), {comm: named}), asked(4242))
    assert shown.isprintable()
    assert shown.startswith(f" {MARK}4242, at its end ") and shown.endswith(" status 0]")
    assert shown.count("[") == 1 == shown.count("]")
    written = shown.partition("at its end ")[2].rpartition(" in docker container ")[0]
    assert unescape(written) == comm


LIVES = [LIFE, holder((7,), None, None, facts_s=1, comm=b"\xff[", status=None)]


@pytest.mark.parametrize(
    ("recording", "parsed", "verdicts"),
    [
        (Told(LIVES, (), {b"nginx": WEB, b"\xff[": None}), asked(4242, 7), ["process", "process"]),
        (Told([*LIVES, *LIVES]), asked(7, thread=True), ["ambiguous"]),
        (Told([], [Gap(BOOT, 0, None, "\x1b")]), asked(9), ["not known"]),
        (Told([], [Gap(OTHER_BOOT, 0, 1 << 60, "x")]), asked(9), ["not known"]),
        (Told([]), asked(9), ["none"]),
        (Told([]), asked(9, moment=None), ["not known"]),
        (Told([]), Parsed(), []),
    ],
)
def test_the_json_is_as_the_schema_has_it(
    recording: Told, parsed: Parsed, verdicts: list[str]
) -> None:
    recorded = recording.recorded()
    found = find(parsed, lambda _: recorded)
    document = Objects(recorded, BERLIN).of(b"\x1b\xff x\\", parsed, found)
    document = json.loads(json.dumps({**document, "continues": False}))
    VALIDATOR.validate(document)
    assert document["line"] == r"\x1b\xff x\\"
    assert [it["known"] for it in document["pids"]] == verdicts


def test_the_json_of_a_life_has_its_times_and_its_facts() -> None:
    recorded = Told([LIFE], (), {b"nginx": WEB}).recorded()
    parsed = asked(4242)
    (pid,) = Objects(recorded, BERLIN).of(b"x", parsed, find(parsed, lambda _: recorded))["pids"]
    (life,) = pid["holders"]
    assert (life["pid"], life["tid"], life["signal"], life["exit_status"]) == (4242, 4242, 9, None)
    assert [it["tid"] for it in life["levels"]] == [4242, 17]
    assert life["start_time"] == "2026-11-30T14:02:59.000000000+01:00"
    assert life["exited_time"] == "2026-11-30T14:03:05.500000000+01:00"
    assert life["facts"]["at_ns"] == life["exited_ns"] == str(int((AT_S + 0.5) * SECOND_NS))
    assert life["facts"]["container"]["name"] == "web"
