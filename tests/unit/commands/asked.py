"""A command that is asked, and its valid answer: what the tests of the /proc commands share."""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import pidscope
from pidscope.query.process import Process, processes
from pidscope.simulated.stage import Stage, set_stage
from tests import CHECKOUT

SCHEMA = json.loads((Path(pidscope.__file__).parent / "schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
Answer = dict[str, Any]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="run as root: it makes namespaces")

# Argument 1 is the user to become once everything is imported, 2 the command, the rest its options.
AS_USER = """
import argparse, importlib, json, os, sys, tabulate, textwrap
from pidscope.containers import docker, kubelet, names
command = importlib.import_module(f"pidscope.commands.{sys.argv[2]}")
parser = argparse.ArgumentParser()
command.register(parser.add_subparsers())
args = parser.parse_args(sys.argv[2:])
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(args.func(args))
"""

STATUS = (
    "Name:\tx\nState:\tS\nTgid:\t{0}\nPid:\t{0}\nPPid:\t0\n"
    "NStgid:\t{0}\nNSpid:\t{0}\nNSpgid:\t0\nNSsid:\t0\n"
)


def run(command: Any, *arguments: str) -> int:
    """Run a command's module without the rest of the program, which turns errors into lines."""
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    args = parser.parse_args([command.__name__.rpartition(".")[2], *arguments])
    code: int = args.func(args)
    return code


def valid(text: str) -> Answer:
    """The document in a text."""
    document: Answer = json.loads(text)
    VALIDATOR.validate(document)
    return document


def objects(text: str) -> list[Answer]:
    """The documents of a text, one a line."""
    return [valid(line) for line in text.splitlines()]


def scenario(tmp_path: Path, *lines: str) -> str:
    """A source whose scenario has these lines."""
    path = tmp_path / "x.scenario"
    path.write_text("\n".join(lines))
    return f"simulated:{path}"


def played(name: str) -> Stage:
    """A scenario at its end."""
    stage = set_stage(name)
    while stage.world.step():
        pass
    return stage


def tasks_of(stage: Stage) -> list[Process]:
    """What its /proc shows now, threads too."""
    return processes(stage.world.procfs.snapshot(), boot_time=0, ticks_per_second=100)


def take_for_initial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tests' own PID namespace for the initial one: some answers are certain only there.

    Whoever is in it has a number in no other that the test would have to know.
    """
    inum = Path("/proc/self/ns/pid").stat().st_ino
    monkeypatch.setattr("pidscope.host.proc.PROC_PID_INIT_INO", inum)


def own_uid() -> int:
    """A user of the test's own: the kernel counts the tasks of each on the whole machine."""
    return 4_000_000_000 + secrets.randbelow(200_000_000)


def printable(text: str) -> list[str]:
    """The lines of a text, which fits a terminal."""
    lines = text.rstrip("\n").split("\n")
    assert max(map(len, lines)) < 80
    assert all(line.isprintable() for line in lines)
    return lines


def put_process(root: Path, number: int, visible: bool = True) -> None:
    """Add a process to a directory that looks like a /proc; not visible: hidepid hides it."""
    task = root / str(number)
    (task / "ns").mkdir(parents=True, exist_ok=True)
    (task / "ns" / "pid").symlink_to("pid:[77]")
    (task / "stat").write_text(f"{number} (x) S " + "0 " * 40)
    if visible:
        (task / "status").write_text(STATUS.format(number))


def put_proc(root: Path) -> None:
    """Make a directory look like the /proc of process 7, from which number 1 is hidden."""
    put_process(root, 7)
    put_process(root, 1, visible=False)
    (root / "self").symlink_to("7")
    (root / "stat").write_text("btime 1\n")


@contextmanager
def alive(*command: str, says: bytes = b"") -> Iterator[int]:
    """A process that has said it is ready and ends when its standard input does."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT)
    assert process.stdin is not None and process.stdout is not None
    said = process.stdout.readline()
    assert said and said == (says or said), f"{command} did not come up"
    yield process.pid
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def await_state(pid: int, state: str) -> None:
    """Wait until a process is in a state, as stat has it."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != state:
        os.sched_yield()


def only_child(pid: int) -> int:
    """Wait until a process has exactly one child, and return it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not re.fullmatch(r"[0-9]+ ", children.read_text()):
        os.sched_yield()
    return int(children.read_text())
