"""scripts/bench: the arithmetic of a row, verdicts, what cannot run, the table, the picture."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from unittest import mock

import pidscope_dev.bench.main as bench_main
import pytest
from pidscope_dev.bench import (
    growth,
    machine,
    picture,
    programs,
    replay,
    run,
    text,
    watched,
    watchers,
)
from pidscope_dev.bench.row import By, Goal, Row, from_json, to_json
from pidscope_dev.bench.sections import SECTIONS, Section
from pidscope_dev.bench.taken import Asked, Taken, Unable, figures_in_turn, in_turn

from pidscope.errors import WireError
from pidscope.events import PidAttached, PidDetached
from pidscope.live.ring import Ring
from pidscope.wire.decode import decode

RATIO = Row("ps", "ms", (1.0, 6.0, 9.0), (2.0, 3.0, 18.0), "lsns", Goal(1), kernel="6.1")
ABSENT = Row("exec", "µs", label="execsnoop", goal=Goal(1), unable="no execsnoop & <co>")
FREE = Row("look", "ns", (3.0,), (4.0,), "psutil")


DIFFERENCE = RATIO._replace(by=By.DIFFERENCE)


@pytest.mark.parametrize(
    ("row", "figures", "figure", "reached"),
    [
        (RATIO, [0.5, 2.0, 0.5], 0.5, True),  # of the medians the ratio would be 2
        (DIFFERENCE, [-1.0, 3.0, -9.0], -1.0, True),
        (DIFFERENCE._replace(ours=(9.0, 9.0, 20.0)), [7.0, 6.0, 2.0], 6.0, False),
        (RATIO._replace(by=By.VALUE, theirs=()), [1.0, 6.0, 9.0], 6.0, False),
        (FREE, [0.75], 0.75, None),
        (ABSENT, [], None, None),
    ],
    ids=["ratio", "less than theirs", "more than theirs", "value", "no goal", "no figure"],
)
def test_a_figure_is_of_samples_that_were_taken_together(row, figures, figure, reached):
    assert row.figures == figures
    assert row.figure == figure
    assert row.reached is reached


@pytest.mark.parametrize(
    ("goal", "figure", "score", "reached"),
    [
        (Goal(2), 2.0, 1.0, True),
        (Goal(2), 2.1, 2 / 2.1, False),
        (Goal(2), 0.5, 4.0, True),
        (Goal(5, at_least=True), 5.0, 1.0, True),
        (Goal(5, at_least=True), 4.9, 0.98, False),
        (Goal(5, at_least=True), 50.0, 10.0, True),
    ],
)
def test_the_verdict(goal, figure, score, reached):
    row = Row("x", "ns", (figure,), goal=goal, by=By.VALUE)
    assert row.score == pytest.approx(score)
    assert row.reached is reached


def test_a_figure_below_nothing_still_has_a_score():
    assert Goal(100).score(-5.0) > 1
    assert 0 < Goal(5, at_least=True).score(0.0) < 1


@pytest.mark.parametrize("row", [RATIO, ABSENT, FREE, RATIO._replace(by=By.VALUE, theirs=())])
def test_a_row_survives_json(row):
    assert from_json(json.loads(json.dumps(to_json(row)))) == row


@pytest.mark.parametrize(
    ("row", "follows"),
    [
        (RATIO, {"figure": 0.5, "spread": [0.5, 2.0], "reached": True}),
        (ABSENT, {"figure": None, "spread": None, "reached": None}),
    ],
    ids=["measured", "cannot run"],
)
def test_json_has_what_follows(row, follows):
    written = {"goal": {"limit": 1, "at_least": False}, "by": "ratio", **follows}
    assert to_json(row) == {**row._asdict(), **written}


def test_contenders_have_their_turn_in_alternating_order():
    order = []

    def take(name):
        return lambda: order.append(name) or float(len(order))

    taken = in_turn({name: take(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert taken.samples("a") == (1.0, 6.0, 7.0)


def test_who_cannot_is_not_asked_again_and_leaves_no_samples():
    fails_later = mock.Mock(side_effect=[1.0, Unable("gone")])
    taken = in_turn({"a": lambda: 2.0, "b": fails_later}, 4)
    assert fails_later.call_count == 2
    assert (taken.samples("b"), taken.why_not("b")) == ((), "gone")
    assert (taken.samples("a"), taken.why_not("a")) == ((2.0,) * 4, "")
    for ours, peer in (("a", "b"), ("b", "a")):
        row = taken.row(Asked("x", "ms", ours, peer, Goal(1)))
        assert row == Row("x", "ms", label=peer, goal=Goal(1), unable="gone")


def test_figures_of_one_turn_are_kept_apart():
    taken = figures_in_turn({"a": lambda: {"cpu": 1.0, "wall": 2.0}}, 2)
    assert taken.samples("a", "cpu") == (1.0, 1.0)
    asked = Asked("x", "s", "a", by=By.VALUE, figure="wall")
    assert taken.row(asked).figure == 2.0
    assert taken.row(asked._replace(figure="memory")).unable == "it was not measured"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_section_has_its_rows_even_if_nothing_could_be_measured(section):
    rows = map(Taken({}, otherwise="no such luck").row, section.rows)
    assert {row.unable for row in rows} == {"no such luck"}  # and there are some


def test_sections_have_names_of_their_own():
    assert max(Counter(section.name for section in SECTIONS).values()) == 1


ROWS = (Asked("x", "ms", "a", by=By.VALUE, goal=Goal(1)),)


def test_sections_share_what_they_measure():
    measure = mock.Mock(return_value=Taken({("a", ""): (1.0,)}))
    rows = run.here([Section("one", "", measure, ROWS), Section("two", "", measure, ROWS)])
    measure.assert_called_once_with()
    assert [row.section for row in rows] == ["one", "two"]
    assert {row.kernel for row in rows} == {machine.kernel_name(os.uname().release)}


def test_a_section_that_cannot_says_so_in_its_place():
    unable = mock.Mock(side_effect=Unable("no compiler"))
    (row,) = run.here([Section("one", "", unable, ROWS)])
    assert (row.section, row.unable) == ("one", "no compiler")


NOT_ASKED = mock.Mock(side_effect=AssertionError("measured on a kernel that cannot"))
ONE = Section("one", "", lambda: Taken({("a", ""): (1.0,)}), ROWS)
HOOKED = Section("hooked", "", NOT_ASKED, ROWS, functions=True)


def test_without_function_hooks_their_sections_are_not_measured_here(monkeypatch):
    monkeypatch.setattr(run, "_refusal", lambda: "EPERM")
    one, hooked = run.here([ONE, HOOKED])
    assert (one.unable, hooked.unable) == ("", "EPERM")


def answered_by_vm(monkeypatch, returncode, stdout):
    monkeypatch.setattr(run, "_refusal", lambda: "EPERM")
    done = subprocess.CompletedProcess([], returncode, stdout)
    monkeypatch.setattr(run.subprocess, "run", lambda *arguments, **options: done)
    return run.everywhere([HOOKED, ONE])


def test_rows_from_the_vm_stand_in_their_place(monkeypatch):
    row = RATIO._replace(section="hooked", kernel="6.1.0")
    told = json.dumps({"rows": [to_json(row)]})
    hooked, one = answered_by_vm(monkeypatch, 0, f"a line of somebody's\n{told}\n")
    assert hooked == row._replace(kernel="6.1.0 in a VM")
    assert one.section == "one"


@pytest.mark.parametrize(("status", "said"), [(125, ""), (0, ""), (0, "no JSON\n")])
def test_a_vm_that_is_lost_is_said_in_the_place_of_its_rows(monkeypatch, status, said):
    hooked, one = answered_by_vm(monkeypatch, status, said)
    assert hooked.section == "hooked"
    assert "scripts/vm" in hooked.unable
    assert not one.unable


@pytest.mark.parametrize(
    ("value", "said"),
    [(1 / 12, "1/12"), (0.5, "1/2"), (0.96, "0.96"), (1.05, "1.05"), (1234.0, "1,234")],
)
def test_a_ratio_in_words(value, said):
    assert text.ratio(value) == said


def test_figures_have_the_sign_and_the_unit_of_their_kind():
    figures = ((By.DIFFERENCE, 61.0), (By.DIFFERENCE, -61.0), (By.VALUE, 0.012))
    words = [text.figure(RATIO._replace(by=by), value) for by, value in figures]
    assert words == ["+61 ms", "-61 ms", "0.012 ms"]
    assert text.goal(RATIO._replace(goal=Goal(5, at_least=True))) == "≥ 5.00"


def test_the_table_shows_verdict_spread_and_reason():
    lines = list(text.shown([RATIO, RATIO._replace(goal=Goal(1 / 3)), ABSENT, FREE]))
    assert max(map(len, lines)) <= text.WIDTH
    assert lines[1].startswith("ps, in ms [")
    assert re.search(r"lsns +6 +3 +1/2 +1/2 … 2.00 +≤ 1.00 reached$", lines[2])
    assert re.search(r"1/3 NOT reached$", lines[3])
    assert lines[4:6] == [
        "exec, in µs [, nowhere]",
        "  execsnoop: cannot run: no execsnoop & <co>",
    ]
    assert lines[-1].endswith("1/1.33")  # no goal, no verdict


def bars(svg):
    """Which of the coloured bars begin at the goal, and which end there."""
    root = ET.fromstring(svg)
    found = [each.attrib for each in root.iter() if each.attrib.get("class") in ("good", "bad")]
    rects = [each for each in found if "width" in each]
    return [
        (each["class"], float(each["x"]), float(each["x"]) + float(each["width"])) for each in rects
    ]


def test_the_picture_has_a_bar_for_each_figure_on_its_side_of_the_goal():
    rows = [RATIO, RATIO._replace(goal=Goal(1 / 20)), ABSENT, FREE]
    (good, good_from, good_to), (bad, bad_from, bad_to) = bars(picture.drawn(rows, "a machine"))
    assert (good, bad) == ("good", "bad")
    assert good_from == pytest.approx(bad_to, abs=0.2)  # the goal is one line
    decade = 20 / 2  # and the scale is logarithmic: 2 times better, 10 times short
    assert (bad_to - bad_from) / (good_to - good_from) == pytest.approx(3.32, abs=0.02), decade


def test_what_is_beyond_the_scale_is_cut():
    far = [Row("x", "ns", (value,), goal=Goal(1.0), by=By.VALUE) for value in (1e-9, 1e9)]
    (_, _, right), (_, left, _) = bars(picture.drawn(far, ""))
    assert (left, right) == (picture._LEFT, picture._RIGHT)


def test_the_picture_tells_in_words():
    svg = picture.drawn([RATIO, RATIO._replace(goal=Goal(1 / 20)), ABSENT, FREE], "CPU & kernel")
    said = [each.text for each in ET.fromstring(svg).iter() if each.tag.endswith("text")]
    assert "1 of 3 goals reached, 1 cannot run here; medians, ours divided by theirs" in said
    assert "cannot run: no execsnoop & <co>" in said
    assert "CPU & kernel" in said
    assert said.count("ps") == 1  # two rows of one thing on one kernel stand under one title
    assert "look" not in said  # there is nothing to be reached
    assert {"1/2", "≤ 1.00", "≤ 1/20"} <= set(said)


def test_the_picture_has_colours_for_both_kinds_of_page():
    svg = picture.drawn([RATIO], "")
    light, _, dark = svg.partition("@media (prefers-color-scheme: dark)")
    for name, colour in picture._LIGHT.items():
        assert colour in light
        assert picture._DARK[name] in dark
    assert picture._LIGHT.keys() == picture._DARK.keys()


def in_ring(recording):
    ring = Ring(recording.fd, recording.size)
    try:
        return [decode(data).event for data in ring.drain(ring.position)]
    finally:
        ring.close()
        os.close(recording.fd)


def test_a_recorded_storm_is_of_lives_that_overlap():
    events = in_ring(replay.storm(500))
    alive, most = set(), 0
    for event in events:
        if isinstance(event, PidAttached):
            assert event.birth.pgid == event.birth.sid
            assert len(event.pid.numbers) == len(event.birth.sid.numbers) == 3
            alive.add(event.tid)
        else:
            assert isinstance(event, PidDetached)
            alive.remove(event.tid)
        most = max(most, len(alive))
    assert len(events) == 1000
    assert not alive
    assert 24 < most <= 48
    assert len({event.by for event in events}) == 2  # two shells, not one after the other
    first = [event.by for event in events[:40]]
    assert 5 < first.count(first[0]) < 35


def test_a_follower_plays_a_storm_again_and_again_and_knows_a_crowd():
    follower, storm, crowd = replay.Replay(), replay.storm(300), replay.crowd(100)
    for _ in range(3):
        follower.play(storm)
    with pytest.raises(KeyError):
        follower.lookup(replay.inner_number(0))
    follower.play(crowd)
    assert follower.lookup(replay.inner_number(99))[-1] == replay.inner_number(99)
    assert len(follower.lookup(replay.inner_number(0))) == 3
    with pytest.raises(WireError, match="0 of 100 records were plain"):
        follower.play(crowd)  # from its beginning, and all of them are there
    assert (storm.events, crowd.events) == (600, 100)
    os.close(storm.fd)
    os.close(crowd.fd)


def test_records_lie_as_the_kernel_lays_them():
    recording = replay.recorded([b"x" * 56, b"y" * 120])
    page, page_size = os.pread(recording.fd, 8, 4096), 4096
    assert int.from_bytes(page, "little") == recording.end == 64 + 128
    data = os.pread(recording.fd, 256, 2 * page_size)
    assert data[:4] == (56).to_bytes(4, "little")
    assert data[64:68] == (120).to_bytes(4, "little")
    os.close(recording.fd)


FDINFO = (
    {"prog_type": 17, "prog_id": 1, "run_time_ns": 100},
    {"prog_type": 17, "prog_id": 1, "run_time_ns": 100},  # the same one
    {"prog_type": 26, "prog_id": 2, "run_time_ns": 7},
    {"map_type": 27},
    {"prog_type": 26, "prog_id": 3, "run_time_ns": 50},
    {"link_type": "iter", "link_id": 9, "prog_id": 3},
    {"link_type": "tracing", "link_id": 8, "prog_id": 2},
)


def test_each_program_of_a_process_is_counted_once(tmp_path):
    folder = tmp_path / "42" / "fdinfo"
    folder.mkdir(parents=True)
    for fd, lines in enumerate(FDINFO):
        said = "".join(f"{name}:\t{value}\n" for name, value in lines.items())
        (folder / str(fd)).write_text(f"pos:\t0\n{said}")
    assert watched.run_time_ns(42, proc=tmp_path) == 107


def test_a_missing_program_is_said_with_its_package():
    with pytest.raises(Unable, match=r"no no-such-program \(package nosuch: scripts/install --b"):
        programs.find("no-such-program", "nosuch")


def test_missing_headers_are_said_with_their_package(tmp_path):
    release = os.uname().release
    with pytest.raises(Unable, match=re.escape(f"(package linux-headers-{release})")):
        watchers.expect_headers(tmp_path)
    (tmp_path / release / "build" / "include").mkdir(parents=True)
    watchers.expect_headers(tmp_path)


def test_the_machine_is_described(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One\n")
    said = machine.line(machine.described(tmp_path / "cpuinfo"))
    assert said.startswith("Fast One, ")
    assert f"Linux {machine.kernel_name(os.uname().release)}, Python 3." in said


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("6.1.0-56-cloud-amd64", "6.1.0-56"),
        ("6.18.44-my-own-v657", "6.18.44"),
        ("6.12.117+deb13-cloud-amd64", "6.12.117"),
        ("mine", "mine"),
    ],
)
def test_a_kernel_is_named_without_what_is_its_machines_own(release, name):
    assert machine.kernel_name(release) == name


@pytest.fixture
def script(monkeypatch):
    """scripts/bench itself, with two sections that take no time."""
    two = ONE._replace(name="two", rows=(Asked("exec", "µs", "execsnoop", goal=Goal(1)),))
    monkeypatch.setattr(bench_main, "SECTIONS", (ONE, two))
    return bench_main


def test_the_command_tells_json_and_draws(script, capsys, tmp_path):
    svg = tmp_path / "bench.svg"
    assert script.main(["--json", "--picture", str(svg)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["type"] == "bench"
    assert told["machine"]["kernel"] == machine.kernel_name(os.uname().release)
    assert [(row["section"], row["unable"]) for row in told["rows"]] == [
        ("one", ""),
        ("two", "it was not measured"),
    ]
    assert "2 goals reached, 1 cannot run here" in svg.read_text()


def test_the_command_shows_the_chosen_section(script, capsys):
    assert script.main(["--here", "one"]) == 0
    told = capsys.readouterr().out
    assert "in ms [one, " in told
    assert "cannot run" not in told


@pytest.fixture
def loops(tmp_path):
    """In place of the program that makes processes: it waits for its end."""
    program = tmp_path / "loops"
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    return str(program)


def test_a_watcher_is_awaited_until_it_tells_of_a_process(loops):
    said = "echo head; echo exec 42 loops; exec tail -f /dev/null"
    with watchers.watching(["sh", "-c", said], loops) as watcher:
        assert watcher.first_event_s > 0
        os.kill(watcher.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(watcher.pid, 0)


def test_a_watcher_that_tells_of_nobody_is_said_with_its_words(loops):
    with (
        pytest.raises(Unable, match="reported no process: it needs headers"),
        watchers.watching(["sh", "-c", "echo it needs headers"], loops),
    ):
        raise AssertionError("nobody told of anything")


def test_a_command_that_fails_is_said_with_its_words():
    with pytest.raises(Unable, match=r"sh -c .* ended with 3: no debug information"):
        programs.wall_ms(["sh", "-c", "echo no debug information >&2; exit 3"])


def test_the_parts_of_a_table_of_tasks_are_measured_in_another_process():
    recording = replay.crowd(2_000)
    made_of_it = growth.grown(recording)
    os.close(recording.fd)
    assert made_of_it.ns_per_birth > made_of_it.ns_per_lookup > 0
    assert 100 < made_of_it.bytes_per_task < 10_000
