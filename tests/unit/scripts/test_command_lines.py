"""The command lines in scripts/: what their help has, and what they refuse."""

import importlib
import os
import re

import pytest
from pidscope_dev.bench.sections import SECTIONS

from tests.unit.scripts import run

HELP = {
    "bench": [f"  {section.name} " for section in SECTIONS],
    "docs": ["examples:"],
    "engines": ["examples:"],
    "lives": ["puppets", "--modes", "examples:"],
    "matrix": ["examples:"],
    "vm": ["--idle", "124", "125", "examples:", "--kernel newest"],
}
WRONG = {
    "bench": [
        ["no-such-section"],
        ["--against", "HEAD", "lives"],  # a section, not a row
        ["version"],  # a row, not a section
        ["--pairs", "0"],
        ["--pairs", "many"],
        ["--against"],
    ],
    "corpus": [[], ["--against", "v1", "--every", "0"], ["more"]],
    "docs": [["paint"]],
    "engines": [["--here", "rkt"], ["--sideways"]],
    "fuzz": [
        ["--target", "none"],
        ["--inputs", "1"],
        ["--seed", "0"],
        ["--replay", "x"],
        ["--target", "wire", "--replay", "/nonexistent"],
    ],
    "lives": [[], ["forks", "0"], ["puppets", "--modes", "fentry,none"]],
    "matrix": [["--sideways"]],
    "workload": [
        [],
        ["no-such-workload"],
        ["nested", "extra"],
        ["short", "0"],
        ["short", "many"],
        ["deep", "--depth", "33"],
        ["tree", "--seconds", "-1"],
    ],
}
WRONG_VM = [
    [],
    ["--"],
    ["uname"],
    *(
        [*options, "--", "true"]
        for options in (
            ["--kernel", "latest"],
            ["--kernel", "../../etc"],
            ["--bcc", "latest"],
            ["--bcc", ""],
            ["--engines", "--oci"],
            ["--engines", "--bcc", "newest"],
            ["--cpus", "0"],
            ["--cpus", "many"],
            ["--memory", "1"],
            ["--timeout", "0"],
            ["--timeout", "nan"],
            ["--timeout", "inf"],
            ["--idle", "0"],
            ["--idle", "nan"],
            ["--share", "nfs"],
        )
    ),
]


def words(value):
    """An id of a case."""
    return " ".join(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", HELP)
def test_the_help_has_what_a_stranger_needs(name):
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in HELP[name] if word not in done.stdout] == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, arguments) for name, cases in WRONG.items() for arguments in cases],
    ids=words,
)
def test_wrong_usage_is_2_and_one_line_below_the_usage(name, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"pidscope_dev.{name}.main").main(arguments)
    assert ended.value.code == 2
    printed, (*usage, reason) = map(str.splitlines, capsys.readouterr())
    assert printed == []
    assert usage[0].startswith("usage: ")
    assert re.match(rf"(scripts/)?{name}( \w+)?: error: ", reason)


@pytest.mark.parametrize("arguments", WRONG_VM, ids=words)
def test_wrong_usage_of_vm_is_2_and_no_traceback(arguments):
    done = run("vm", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("scripts/vm: ")
    assert "Traceback" not in done.stderr


def test_missing_programs_are_one_line_with_the_packages(tmp_path):
    done = run("vm", "--", "true", env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install busybox-static qemu-system-x86 util-linux" in done.stderr
