"""scripts/bench --against: two builds in alternating pairs, the verdict on each row."""

import json
import os
import re
import subprocess
from contextlib import nullcontext
from unittest import mock

import pidscope_dev.bench.main as bench_main
import pidscope_dev.corpus.main as corpus_main
import pytest
from pidscope_dev import builds
from pidscope_dev.bench import against
from pidscope_dev.bench.against import MEASURES, Compared, Measure, compared
from pidscope_dev.bench.programs import CPU, USER, WALL, spent
from pidscope_dev.bench.taken import Unable
from pidscope_dev.builds import Build, BuildError, earlier_and_present

FIFTEEN = (100.0,) * 15


def row(present, user=FIFTEEN):
    return Compared("ps", WALL, FIFTEEN, present, FIFTEEN, user)


@pytest.mark.parametrize(
    ("present", "verdict"),
    [
        ((101.0,) * 15, "WORSE"),
        ((101.0,) * 14 + (50.0,), "WORSE"),  # one pair of fifteen is not of the spread
        ((101.0,) * 13 + (50.0,) * 2, "equal"),
        (FIFTEEN, "equal"),
        ((99.0,) * 14 + (500.0,), "better"),
        ((99.0,) * 13 + (500.0,) * 2, "equal"),
    ],
)
def test_a_row_is_worse_if_all_of_its_spread_is_above_1(present, verdict):
    assert row(present).verdict == verdict
    assert row(present).is_worse == (verdict == "WORSE")


@pytest.mark.parametrize(
    ("user", "worse"),
    [((106.0,) * 15, True), ((105.0,) * 15, False), ((100.0,) * 8 + (200.0,) * 7, False)],
)
def test_user_cpu_time_may_be_5_percent_more_in_the_median(user, worse):
    assert row(FIFTEEN, user).is_worse is worse
    assert (row(FIFTEEN, user).verdict == "MORE USER CPU") is worse


def test_a_ratio_is_of_one_pair():
    drifting = tuple(range(1, 16))
    both = Compared("ps", WALL, drifting, tuple(2 * n for n in drifting))
    assert both.ratios == [2.0] * 15
    assert both.spread == (2.0, 2.0)


def test_few_pairs_all_count():
    assert Compared("ps", WALL, (1.0,) * 3, (3.0, 2.0, 1.0)).spread == (1.0, 3.0)


EARLIER, PRESENT = Build("earlier", None), Build("present", None)


def measure(spend):
    return Measure("row", "", CPU, lambda: nullcontext(spend))


def test_both_builds_run_in_each_pair_and_the_order_alternates():
    spend = mock.Mock(side_effect=[{CPU: 10.0 * n, USER: 1.0} for n in range(1, 7)])
    made = compared(measure(spend), (EARLIER, PRESENT), pairs=3)
    order = (EARLIER, PRESENT, PRESENT, EARLIER, EARLIER, PRESENT)
    assert spend.call_args_list == list(map(mock.call, order))
    costs = (10.0, 40.0, 50.0), (20.0, 30.0, 60.0)
    assert made == Compared("row", CPU, *costs, (1.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("failing", "verdict", "worse"),
    [("present", "FAILS", True), ("earlier", "not run", False), ("both", "not run", False)],
)
def test_a_build_that_cannot_run_a_row(failing, verdict, worse):
    def spend(build):
        if failing in (build.name, "both"):
            raise Unable("no such option")
        return {CPU: 1.0, USER: 1.0}

    made = compared(measure(spend), (EARLIER, PRESENT))
    assert (made.verdict, made.is_worse, made.unable) == (verdict, worse, "no such option")
    assert f"row: {made.unable}" in against.shown([made])


def test_a_row_that_cannot_be_opened_is_not_run():
    opened = mock.Mock(side_effect=Unable("no compiler"))
    made = compared(Measure("live", "", CPU, opened), (EARLIER, PRESENT))
    assert (made.verdict, made.unable) == ("not run", "no compiler")


def build(folder, name, rounds):
    """A build whose every command is a loop of so many rounds."""
    program = folder / name / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ni=0; while [ $i -lt {rounds} ]; do i=$((i+1)); done\n")
    program.chmod(0o755)
    return Build(name, folder / name)


@pytest.fixture
def slower(tmp_path):
    return build(tmp_path, "earlier", 1_000), build(tmp_path, "present", 50_000)


def test_a_planted_slower_build_is_found(slower):
    version = {each.name: each for each in MEASURES}["version"]
    made = compared(version, slower, pairs=5)
    assert made.verdict == "WORSE"
    assert made.user_ratio > against.USER_LIMIT
    assert compared(version, slower[::-1], pairs=5).verdict == "better"


def test_a_command_is_measured_with_its_cpu_time_and_a_failure_has_its_words(slower):
    used = spent(slower[1].command())
    assert 0 < used[USER] <= used[CPU] <= used[WALL] * 1.1  # the clocks have other ticks
    with pytest.raises(Unable, match=r"sh -c .* ended with 3: no such thing"):
        spent(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_the_times_of_a_process_are_read(tmp_path):
    times = os.times()
    seconds = [ticks / os.sysconf("SC_CLK_TCK") for ticks in against._ticks(os.getpid())]
    assert seconds == pytest.approx([times.user, times.system], abs=0.5)


def test_the_table_has_a_line_for_each_row():
    table = against.shown([row((120.0,) * 15), Compared("live", CPU, unable="EPERM")])
    assert [line.split() for line in table.splitlines()] == [
        ["ROW", "COST", "EARLIER", "PRESENT", "RATIO", "SPREAD", "USER", "VERDICT"],
        [
            *("ps", "wall", "100.0", "120.0", "1.200", "1.200-1.200"),
            *("100.0", "100.0", "1.000", "WORSE"),
        ],
        ["live", "cpu", "not", "run"],
        ["live:", "EPERM"],
    ]


@pytest.fixture
def script(monkeypatch, slower):
    """scripts/bench itself, with two builds and one row."""
    chosen = tuple(each for each in MEASURES if each.name in ("version", "ns"))
    monkeypatch.setattr(bench_main.against, "MEASURES", chosen)
    monkeypatch.setattr(bench_main, "earlier_and_present", lambda revision: nullcontext(slower))
    return bench_main.main


def test_the_command_fails_if_a_row_is_worse(script, capsys):
    assert script(["--against", "v1", "--pairs", "3", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["type"] == "against"
    assert [each["name"] for each in document["rows"]] == ["version", "ns"]
    assert all(len(each["present"]) == 3 and each["ratio"] > 1 for each in document["rows"])


def test_the_command_runs_the_chosen_rows_and_is_content_if_none_is_worse(
    script, slower, monkeypatch, capsys
):
    monkeypatch.setattr(
        bench_main, "earlier_and_present", lambda revision: nullcontext(slower[::-1])
    )
    assert script(["--against", "v1", "--pairs", "3", "ns"]) == 0
    shown = capsys.readouterr().out
    assert "better" in shown
    assert "version" not in shown


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A checkout of one commit that pip cannot install, with a file that is not committed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "pyproject.toml").write_text("this is no TOML\n")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    (folder / "pyproject.toml").write_text("changed\n")
    (folder / "new").write_text("not added\n")
    return folder


@pytest.mark.parametrize(
    ("revision", "folder", "path", "reason"),
    [
        ("nope", "checkout", None, r"no revision 'nope' in .*/checkout: fatal:.*"),
        ("HEAD", ".", None, ".*not a git repository.*"),
        ("HEAD", "checkout", "/nowhere", ".*git is needed and not installed"),
        ("HEAD", "checkout", None, ".* cannot be installed: .*"),
    ],
    ids=["no such revision", "no repository", "no git", "pip refuses"],
)
def test_a_build_that_cannot_be_made_is_named_in_one_line(
    repository, monkeypatch, tmp_path, revision, folder, path, reason
):
    monkeypatch.setenv("PATH", path or os.environ["PATH"])
    with pytest.raises(BuildError) as raised, earlier_and_present(revision, tmp_path / folder):
        raise AssertionError("there is no such build")
    assert re.fullmatch(reason, str(raised.value))


@pytest.mark.parametrize(
    ("command", "name"), [(bench_main, "bench"), (corpus_main, "corpus")], ids=["bench", "corpus"]
)
def test_the_command_prints_why_there_is_no_build(monkeypatch, capsys, command, name):
    refused = mock.Mock(side_effect=BuildError("no revision 'nope'"))
    monkeypatch.setattr(command, "earlier_and_present", refused)
    assert command.main(["--against", "nope"]) == 2
    assert capsys.readouterr().err == f"scripts/{name}: no revision 'nope'\n"
    refused.assert_called_once_with("nope")


def test_the_builds_are_of_the_commit_and_of_the_files_as_they_are(repository, monkeypatch):
    seen = {}

    def installed(folder, name):
        source = folder / "source"
        seen[name] = {file.name: file.read_text() for file in source.iterdir() if file.is_file()}
        return Build(name, folder)

    monkeypatch.setattr(builds, "_installed", installed)
    with earlier_and_present("HEAD", repository) as (earlier, present):
        assert seen[earlier.name] == {"pyproject.toml": "this is no TOML\n"}
        assert seen[present.name] == {"pyproject.toml": "changed\n", "new": "not added\n"}
    assert not earlier.home.exists()


def test_a_build_imports_nothing_of_another_ones_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in builds.environment()
    assert "PATH" in builds.environment()
