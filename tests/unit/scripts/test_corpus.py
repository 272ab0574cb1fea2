"""scripts/corpus: what two builds answer, what differs, and that planted faults are found."""

import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pidscope_dev.corpus.main as corpus_main
import pytest
from pidscope_dev.builds import Build, BuildError
from pidscope_dev.corpus import host
from pidscope_dev.corpus.cases import Case, cases
from pidscope_dev.corpus.main import Answer, Comparison, compare

from pidscope.host.proc import ProcFs

TEXT = Answer(["ps"], "", 0, "PID\n17\n", "")
JSON = Answer(["ps", "-J"], "", 0, '{"pid": 17}\n', "a note\n")


@pytest.mark.parametrize(
    ("old", "fault"),
    [
        (TEXT, {"status": 1}),
        (JSON, {"status": 1}),
        (JSON, {"stdout": '{"pid":17}\n'}),
        (JSON._replace(argv=["lookup", "17", "-q"], stdout="42\n"), {"stdout": "43\n"}),
    ],
)
def test_another_exit_code_or_json_is_a_difference(old, fault):
    new = old._replace(**fault)
    assert compare([TEXT, old], [TEXT, new]) == Comparison(1, [(old, new)], 0, Counter())


def test_other_words_are_counted_by_kind():
    old = [TEXT._replace(stdout=f"nobody has {n}\nend\n") for n in (17, 99)]
    new = [TEXT._replace(stdout=f"no task has {n}\nend\nmore\n") for n in (17, 99)]
    comparison = compare([*old, JSON], [*new, JSON._replace(stderr="another note\n")])
    kinds = {
        ("nobody has N", "no task has N"): 2,
        ("", "more"): 2,
        ("a note", "another note"): 1,
    }
    assert comparison == Comparison(0, [], 3, Counter(kinds))


def test_another_number_in_the_same_words_is_shown():
    kinds = compare([TEXT], [TEXT._replace(stdout="PID\n18\n")]).kinds
    assert kinds == {("17", "18"): 1}


def test_measured_times_are_no_difference():
    took = [TEXT._replace(stdout=f"it took {seconds} s of CPU\n") for seconds in ("0.004", "1.25")]
    assert compare(took[:1], took[1:]).equal == 1


@pytest.mark.parametrize("others", [[TEXT], [TEXT, TEXT._replace(argv=["ns"])], [TEXT, JSON, JSON]])
def test_records_of_other_cases_are_not_compared(others):
    with pytest.raises(ValueError, match="not of the same cases"):
        compare([TEXT, JSON], others)


def test_the_cases_are_many_and_each_one_is_once():
    every = list(cases("/a/proc"))
    assert 6_000 <= len(every) == len(set(every)) <= 9_000


def test_no_case_reads_the_host_that_it_runs_on():
    harmless = {"--source", "--proc", "--help", "--version", "--bogus", "bogus"}
    assert [it for it in cases("/a/proc") if not harmless & set(it.argv) and it.argv] == []


def test_the_host_of_files_can_be_read(tmp_path):
    host.write(tmp_path / "proc")
    assert ProcFs(str(tmp_path / "proc")).snapshot().tasks


def planted(folder, name, source):
    """A build whose package is this text, run by this interpreter."""
    build = Build(name, folder / name)
    package = build.home / "pidscope"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(source)
    python = Path(build.python)
    python.parent.mkdir()
    # -I, the first argument, would keep this package from being found.
    python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={build.home} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return build


ANSWERS = """
import os, sys
def main(argv):
    print(os.environ["TZ"], argv, repr(sys.stdin.read()), file=sys.stderr)
    print('{"number": 1}')
    return int("--bogus" in argv)
"""


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """Makes an earlier build, and a present one with a fault; both are asked a few cases."""
    asked = [Case(("lookup", "-", "-J"), "5 x\n"), Case(("ps", "--bogus")), Case(("ps",))]
    monkeypatch.setattr(corpus_main, "cases", lambda proc: iter(asked))
    return lambda *fault: [
        planted(tmp_path, "earlier", ANSWERS),
        planted(tmp_path, "present", ANSWERS.replace(*fault)),
    ]


@pytest.mark.parametrize(
    ("fault", "differing", "reworded"),
    [
        (("TZ", "TZ"), 0, 0),
        (('"number": 1', '"number": 2'), 1, 2),  # of the other two, standard output is no data
        (('"--bogus" in', '"-J" in'), 2, 0),
        (("return", "raise SystemExit(3) #"), 3, 0),
        (("return", "os.kill(os.getpid(), 9) #"), 3, 0),
        (("return", "raise RuntimeError #"), 3, 0),
        (("'{\"number", "' {\"number"), 1, 2),
    ],
)
def test_a_planted_fault_is_found(builds, tmp_path, fault, differing, reworded):
    comparison = corpus_main.compared(builds(*fault), tmp_path, 1)
    assert len(comparison.differing) == differing
    assert comparison.reworded == reworded
    assert comparison.equal == 3 - differing - reworded


def test_an_answer_has_its_input_status_and_both_outputs(builds, tmp_path):
    made = builds("return int", "return 5 + int")
    (_, new), (_, wrong), _ = corpus_main.compared(made, tmp_path, 1).differing
    assert new == Answer(
        ["lookup", "-", "-J"],
        "5 x\n",
        5,
        '{"number": 1}\n',
        "UTC ['lookup', '-', '-J'] '5 x\\n'\n",
    )
    assert wrong.status == 6


def test_a_build_that_does_not_run_is_named(builds, tmp_path):
    with pytest.raises(BuildError, match="present does not run: ModuleNotFoundError"):
        corpus_main.compared(builds("import os", "import nothing_such"), tmp_path, 1)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (("TZ", "LC_ALL"), 0, ["1 times:", "  - UTC ['ps'] ''", "  + C.UTF-N ['ps'] ''"]),
        (("1}", "2}"), 1, ["2 times:", '  - {"number": 1}', '  + {"number": 2}']),
    ],
)
def test_the_command(builds, monkeypatch, capsys, fault, status, kind):
    made = builds(*fault)
    monkeypatch.setattr(corpus_main, "earlier_and_present", lambda revision: nullcontext(made))
    assert corpus_main.main(["--against", "v1"]) == status
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("3 invocations: 0 equal, ")
    differing = [line for line in shown if line.startswith("DIFFERS")]
    assert differing == ["DIFFERS pidscope lookup - -J: exit code 0, now 0"] * status
    assert shown[-3:] == kind
