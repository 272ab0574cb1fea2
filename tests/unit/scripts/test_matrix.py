"""The table of kernels and modes: rows come from runs, the README's table from rows."""

import json
import re
from unittest import mock

import pytest
from pidscope_dev.matrix import table, trial

from tests import CHECKOUT
from tests.unit.scripts import run

ALL = dict.fromkeys(table.MODES, table.YES)
OLD = table.Row("5.10.0-46-cloud-amd64", "0.26.0", ALL)
NEW = table.Row("6.12.117+deb13-cloud-amd64", "0.26.0", {**ALL, "kprobe": "EPERM"})
GOOD = {
    **dict.fromkeys(["missing", "ghost", "wrong", "ungrammatical"], 0),
    **{"type": "verification", "compared": 1, "probes": "kprobe", "cmd_status": 0},
    "cmd_counts": {"births": 23},
}


def test_rows_are_found_among_what_tests_say():
    said = ["......", table.to_line(OLD), '{"type": "verification"}', "{", table.to_line(NEW), "ok"]
    assert list(table.from_lines(said)) == [OLD, NEW]


@pytest.mark.parametrize(
    ("detail", "word"),
    [
        ("attach_pid: EPERM (Operation not permitted)", "EPERM"),
        ("copy_process: ENOENT (No such file or directory)", "ENOENT"),
        ("E2BIG", "E2BIG"),
        ("THE END of bpf", "no"),
    ],
)
def test_a_refusal_is_a_word(detail, word):
    assert table.refusal(detail) == word


@pytest.mark.parametrize(
    ("cell", "good"),
    [(table.YES, True), ("EPERM", True), (table.WRONG, False), (table.UNTRIED, False)],
)
def test_a_row_is_good_if_all_was_tried_and_nothing_wrong(cell, good):
    assert OLD._replace(cells={**ALL, "fentry": cell}).good is good


def test_the_table_is_sorted_by_version():
    newer_bcc = OLD._replace(bcc="0.37.0")
    native = table.Row("6.18.44 (native)", "0.26.0", {**ALL, "fentry": "EPERM"})
    between = OLD._replace(kernel="6.5.0-1-amd64")
    assert table.markdown([native, newer_bcc, NEW, between, OLD]) == (
        "| kernel | fentry | kprobe | tracepoint | task iterator | bcc |\n"
        "|---|---|---|---|---|---|\n"
        "| 5.10.0-46-cloud-amd64 | yes | yes | yes | yes | 0.26.0 |\n"
        "| 5.10.0-46-cloud-amd64 | yes | yes | yes | yes | 0.37.0 |\n"
        "| 6.5.0-1-amd64 | yes | yes | yes | yes | 0.26.0 |\n"
        "| 6.12.117+deb13-cloud-amd64 | yes | EPERM | yes | yes | 0.26.0 |\n"
        "| 6.18.44 (native) | EPERM | yes | yes | yes | 0.26.0 |\n"
    )


def test_the_same_kernel_and_bcc_twice_is_refused():
    twice = [OLD, NEW, OLD._replace(cells={**ALL, "fentry": "EPERM"})]
    with pytest.raises(ValueError, match=r"two rows of 5\.10\.0-46-cloud-amd64 with bcc 0\.26\.0"):
        table.markdown(twice)
    done = run("matrix", input="".join(table.to_line(each) + "\n" for each in twice))
    assert (done.returncode, done.stderr) == (
        1,
        "scripts/matrix: two rows of 5.10.0-46-cloud-amd64 with bcc 0.26.0\n",
    )


def test_it_is_written_between_its_marks_and_nowhere_else():
    text = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    once = table.written(text, "new\n")
    assert once == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    assert table.written(once, "new\n") == once


@pytest.mark.parametrize(
    "text", ["", f"{table.BEGIN}\n", f"{table.END}\n", f"{table.END}\n{table.BEGIN}\n"]
)
def test_without_its_marks_nothing_is_written(text):
    with pytest.raises(ValueError, match="no place for the table"):
        table.written(text, "new\n")


def test_the_readme_has_a_table_that_could_have_been_made():
    readme = (CHECKOUT / "README.md").read_text()
    begin, end = readme.index(f"{table.BEGIN}\n") + len(table.BEGIN) + 1, readme.index(table.END)
    _head, _rule, *body = [line.split("|")[1:-1] for line in readme[begin:end].splitlines()]
    assert body
    rows = [
        table.Row(kernel, bcc, dict(zip(table.MODES, cells)))
        for kernel, *cells, bcc in [[cell.strip() for cell in line] for line in body]
    ]
    assert table.markdown(rows) == readme[begin:end]  # its head and its rule as well
    line = r"(\d+\.\d+\.\S+|\d+\.\d+(\.\d+)? \(native\))( (yes|no|E[A-Z0-9]+))+ \d+\.\d+\.\d+"
    said = [" ".join([row.kernel, *row.cells.values(), row.bcc]) for row in rows]
    assert [row for row in said if not re.fullmatch(line, row)] == []


@pytest.mark.parametrize(
    ("release", "native", "name"),
    [
        ("6.1.0-56-cloud-amd64", False, "6.1.0-56-cloud-amd64"),
        ("6.18.44-of-someone", True, "6.18.44 (native)"),
        ("7.3.4+deb13-cloud-amd64", True, "7.3.4 (native)"),
    ],
)
def test_a_kernel_is_named_by_its_release(release, native, name):
    assert trial.kernel_name(release, native) == name


def test_the_version_of_bcc_is_what_doctor_found():
    found = {"ok": True, "detail": "0.37.0 in /usr/lib/python3/dist-packages/bcc"}
    assert trial.bcc_version(found) == "0.37.0"
    with pytest.raises(ValueError, match="no bcc: bcc is not installed"):
        trial.bcc_version({"ok": False, "detail": "bcc is not installed"})


@pytest.mark.parametrize(
    "fault",
    [
        {"missing": 1},
        {"ghost": 1},
        {"wrong": 1},
        {"ungrammatical": 1},
        {"compared": 0},
        {"probes": "fentry"},  # another way stood in for it
        {"cmd_status": 1},
        {"cmd_counts": {"births": 22}},
        {"type": "disagreement"},  # and nothing after it
    ],
)
def test_a_mode_counts_only_if_it_was_verified(fault):
    assert trial.passed("kprobe", 0, GOOD, 23)
    assert not trial.passed("kprobe", 0, {**GOOD, **fault}, 23)
    of_tracepoints = {**GOOD, "probes": "tracepoint"}
    assert trial.passed("tracepoint", 1, of_tracepoints, 23)
    assert not trial.passed("tracepoint", 1, {**of_tracepoints, **fault}, 23)


def test_only_tracepoints_may_be_incomplete():
    assert not trial.passed("kprobe", 1, GOOD, 23)
    assert not trial.passed("kprobe", 3, {}, 23)


@pytest.fixture
def pidscope(monkeypatch):
    """In the place of pidscope: what doctor and verify answer is for the test to set."""
    pidscope = mock.Mock()
    monkeypatch.setattr(trial, "_pidscope", pidscope)
    return pidscope


def check(name, ok, detail="all hooks attach"):
    return {"name": name, "ok": ok, "detail": detail}


BCC = check("bcc", True, "0.26.0 in /somewhere")


def test_each_mode_that_doctor_finds_is_verified_on_its_own(pidscope):
    refused = check("fentry", False, "attach_pid: EPERM (Operation not permitted)")
    found = [check(name, True) for name in ("kprobe", "tracepoint", "task iterator")]
    pidscope.side_effect = [
        (0, {"checks": [BCC, refused, *found]}),
        (0, GOOD),
        (1, {**GOOD, "probes": "tracepoint", "wrong": 1}),
    ]
    assert trial.tried(native=False).cells == {
        "fentry": "EPERM",
        "kprobe": "yes",
        "tracepoint": "WRONG",
        "task iterator": "yes",
    }
    verify = [
        mock.call("verify", "-J", "--probes", way, "--", *trial.WORKLOAD)
        for way in ("kprobe", "tracepoint")
    ]
    assert pidscope.call_args_list == [mock.call("doctor", "-J"), *verify]


def test_what_doctor_does_not_know_is_untried(pidscope):
    pidscope.return_value = 3, {"checks": [BCC]}
    made = trial.tried(native=False)
    assert {*made.cells.values()} == {"untried"}
    assert not made.good


def test_the_script_prints_the_table_and_judges_the_rows(tmp_path):
    (tmp_path / "said").write_text(f"..\n{table.to_line(NEW)}\n")
    done = run("matrix", tmp_path / "said")
    assert (done.returncode, done.stdout) == (0, table.markdown([NEW]))
    wrong = NEW._replace(cells={**ALL, "fentry": table.WRONG})
    assert run("matrix", input=table.to_line(wrong) + "\n").returncode == 1
    assert run("matrix", input=json.dumps({"type": "other"})).returncode == 1
