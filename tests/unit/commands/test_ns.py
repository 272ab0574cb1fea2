from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pidscope.commands import ns
from tests import CHECKOUT
from tests.unit.commands.asked import AS_USER, STATUS, Answer, needs_root, put_proc, run, valid


def inum_of(pid: int | str) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


OWN_NS = inum_of("self")


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[[], Answer]:
    """``ns -J`` as a valid document."""

    def ask() -> Answer:
        assert run(ns, "-J") == 0
        return valid(capsys.readouterr().out)

    return ask


def below(pid: int) -> list[int]:
    """A process and its descendants, by following only children."""
    family = [pid]
    for member in family:
        for thread in Path(f"/proc/{member}/task").iterdir():
            family += map(int, (thread / "children").read_text().split())
    return family


def chain_of(pid: int) -> list[int]:
    """The inits of the namespaces that a process holds, outermost first."""
    family = below(pid)
    inits = [it for it in family if Path(f"/proc/{it}/comm").read_text() == "init\n"]
    return sorted(inits, key=lambda init: len(numbers(init)))


def numbers(pid: int) -> list[str]:
    status = Path(f"/proc/{pid}/status").read_text()
    return status.partition("\nNSpid:\t")[2].partition("\n")[0].split()


# --- as any user -----------------------------------------------------------------------------


def test_the_namespace_of_this_process(answer: Callable[[], Answer]) -> None:
    first = answer()["namespaces"][0]
    assert (first["ns"], first["level"], first["parent"]) == (OWN_NS, 0, 0)
    assert first["processes"] >= 1 and first["last_pid"] > 0


def test_the_headings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a /proc without containers; with containers, `ns` prints one more."""
    put_proc(tmp_path)
    (tmp_path / "1" / "status").write_text(STATUS.format(1))
    assert run(ns, "--proc", str(tmp_path)) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NS", "LEVEL", "INIT", "PROCS", "THREADS", "ZOMBIES", "COMM"]
    assert row.split() == ["77", "0", "1", "2", "2", "0", "x"]


def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ns) == 0
    heading, first, *_ = capsys.readouterr().out.split("\n")
    assert heading.split()[:6] == ["NS", "LEVEL", "INIT", "PROCS", "THREADS", "ZOMBIES"]
    assert first.split()[:2] == [str(OWN_NS), "0"]
    assert run(ns, "-n", "-o", "ns") == 0
    assert capsys.readouterr().out.split()[0] == str(OWN_NS)


# --- as root, with three nested namespaces alive ---------------------------------------------


@needs_root
def test_three_nested_namespaces(tree: int, answer: Callable[[], Answer]) -> None:
    first, second, third = inits = chain_of(tree)
    inums = [inum_of(init) for init in inits]
    found = {entry["ns"]: entry for entry in answer()["namespaces"]}
    keys = ("level", "parent", "init", "processes", "zombies", "last_pid")
    # What scripts/workload tree holds: its own words are in scripts/pidscope_dev/workload/shows.py.
    assert [tuple(found[inum][key] for key in keys) for inum in inums] == [
        (1, OWN_NS, first, 6, 0, None),
        (2, inums[0], second, 3, 0, None),
        (3, inums[1], third, 2, 0, None),
    ]


@needs_root
def test_threads_are_those_that_proc_lists(tree: int, answer: Callable[[], Answer]) -> None:
    found = {entry["ns"]: entry["threads"] for entry in answer()["namespaces"]}
    for level, init in enumerate(chain_of(tree), start=1):
        members = [pid for pid in below(tree) if len(numbers(pid)) == level + 1]
        threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in members)
        assert found[inum_of(init)] == threads


@needs_root
def test_the_tree_is_indented_by_level(tree: int, capsys: pytest.CaptureFixture[str]) -> None:
    inits = chain_of(tree)
    run(ns, "-n", "-o", "NS,INIT")
    lines = {line.split()[1]: line for line in capsys.readouterr().out.split("\n") if line}
    indents = [len(lines[str(init)]) - len(lines[str(init)].lstrip()) for init in inits]
    assert indents == [2, 4, 6]


@needs_root
def test_nobody_is_told_that_it_is_not_all(tree: int) -> None:
    command = [sys.executable, "-c", AS_USER, "65534", "ns"]
    text = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "run as root" in text.stderr
    document = valid(subprocess.check_output([*command, "-J"], cwd=CHECKOUT, text=True))
    assert document["complete"] is False
    inums = {inum_of(init) for init in chain_of(tree)}
    assert inums.isdisjoint(entry["ns"] for entry in document["namespaces"])


@needs_root
def test_the_last_number_is_that_of_the_readers_namespace(answer: Callable[[], Answer]) -> None:
    command = ["unshare", "-p", "-f", sys.executable, "-m", "pidscope", "ns", "-J"]
    document = valid(subprocess.check_output(command, cwd=CHECKOUT, text=True))
    assert document["outermost"] == answer()["outermost"]
    told = {entry["ns"]: entry["last_pid"] for entry in document["namespaces"]}
    assert told.pop(OWN_NS) is None
    assert [last for last in told.values() if last is not None] == [1]
