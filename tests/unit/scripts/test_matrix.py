"""The table of kernels and modes: rows come from runs, the README's table from rows."""

import json
import re
import subprocess

import pytest
from pidscope_dev.matrix import row, table, trial

from tests import CHECKOUT

ALL = dict.fromkeys(row.MODES, row.YES)
OLD = row.Row("5.10.0-46-cloud-amd64", "0.26.0", ALL)
NEW = row.Row("6.12.117+deb13-cloud-amd64", "0.26.0", {**ALL, "kprobe": "EPERM"})
GOOD = {
    **dict.fromkeys(["missing", "ghost", "wrong", "ungrammatical"], 0),
    **{"type": "verification", "compared": 1, "probes": "kprobe", "cmd_status": 0},
    "cmd_counts": {"births": 23},
}


def matrix(*arguments, stdin=""):
    return subprocess.run(
        [CHECKOUT / "scripts" / "matrix", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_rows_are_found_among_what_tests_say():
    said = ["......", row.to_line(OLD), '{"type": "verification"}', "{", row.to_line(NEW), "ok"]
    assert list(row.from_lines(said)) == [OLD, NEW]


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
    assert row.refusal(detail) == word


def test_a_row_is_good_if_all_was_tried_and_nothing_wrong():
    assert OLD.good
    assert NEW.good
    assert not OLD._replace(cells={**ALL, "fentry": row.WRONG}).good
    assert not OLD._replace(cells={**ALL, "fentry": row.UNTRIED}).good


def test_the_table_is_sorted_by_version():
    newer_bcc = OLD._replace(bcc="0.37.0")
    native = row.Row("6.18.44 (native)", "0.26.0", {**ALL, "fentry": "EPERM"})
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
    done = matrix(stdin="".join(row.to_line(each) + "\n" for each in twice))
    assert done.returncode == 1
    assert done.stderr == "scripts/matrix: two rows of 5.10.0-46-cloud-amd64 with bcc 0.26.0\n"


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
    head, rule, *body = [line.split("|")[1:-1] for line in readme[begin:end].splitlines()]
    assert [cell.strip() for cell in head] == [*table.HEAD]
    assert rule == ["---"] * len(table.HEAD)
    assert body
    rows = []
    for kernel, *cells, bcc in [[cell.strip() for cell in line] for line in body]:
        assert re.fullmatch(r"\d+\.\d+\.\S+|\d+\.\d+(\.\d+)? \(native\)", kernel)
        assert all(re.fullmatch(r"yes|no|E[A-Z0-9]+", cell) for cell in cells)
        assert re.fullmatch(r"\d+\.\d+\.\d+", bcc)
        rows.append(row.Row(kernel, bcc, dict(zip(row.MODES, cells))))
    assert table.markdown(rows) == readme[begin:end]


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


def said_by(answers, asked):
    def pidscope(*arguments):
        asked.append(arguments)
        return answers[arguments[3] if "--probes" in arguments else "doctor"]

    return pidscope


def check(name, ok, detail="all hooks attach"):
    return {"name": name, "ok": ok, "detail": detail}


def test_each_mode_that_doctor_finds_is_verified_on_its_own(monkeypatch):
    asked = []
    checks = [
        check("bcc", True, "0.26.0 in /somewhere"),
        check("fentry", False, "attach_pid: EPERM (Operation not permitted)"),
        check("kprobe", True),
        check("tracepoint", True),
        check("task iterator", True),
    ]
    answers = {
        "doctor": (0, {"checks": checks}),
        "kprobe": (0, GOOD),
        "tracepoint": (1, {**GOOD, "probes": "tracepoint", "wrong": 1}),
    }
    monkeypatch.setattr(trial, "_pidscope", said_by(answers, asked))
    made = trial.tried(native=False)
    assert made.cells == {
        "fentry": "EPERM",
        "kprobe": "yes",
        "tracepoint": "WRONG",
        "task iterator": "yes",
    }
    assert [arguments[0] for arguments in asked] == ["doctor", "verify", "verify"]


def test_what_doctor_does_not_know_is_untried(monkeypatch):
    answers = {"doctor": (3, {"checks": [check("bcc", True, "0.26.0 in /somewhere")]})}
    monkeypatch.setattr(trial, "_pidscope", said_by(answers, []))
    made = trial.tried(native=False)
    assert {*made.cells.values()} == {"untried"}
    assert not made.good


def test_the_script_prints_the_table_and_judges_the_rows(tmp_path):
    (tmp_path / "said").write_text(f"..\n{row.to_line(NEW)}\n")
    done = matrix(str(tmp_path / "said"))
    assert done.returncode == 0
    assert done.stdout == table.markdown([NEW])
    wrong = NEW._replace(cells={**ALL, "fentry": row.WRONG})
    assert matrix(stdin=row.to_line(wrong) + "\n").returncode == 1
    assert matrix(stdin=json.dumps({"type": "other"})).returncode == 1


def test_its_help_has_examples():
    done = matrix("--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert matrix("--sideways").returncode == 2
