"""Kernel tests: they run where function hooks can be attached, so in the VM, and never skip.

`scripts/test` runs them there by the same pytest: ``scripts/vm -- .venv/bin/pytest tests/kernel``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pidscope.events import Event
from pidscope.host.proc import ProcFs
from pidscope.live.session import live_session
from pidscope.query.descendants import TreeCounts
from pidscope.session.session import Session
from pidscope.verify.grammar import Faults
from pidscope.verify.verdicts import Tally
from tests import CHECKOUT

WORKLOAD = str(CHECKOUT / "scripts" / "workload")
SCHEMA = json.loads((CHECKOUT / "pidscope" / "schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


class Host:
    """A live session, its events, and the counts of one command."""

    def __init__(self) -> None:
        self.counts: TreeCounts | None = None
        self.events: list[Event] = []
        self.session: Session
        self.lost = 0  # before the last judgement began

    def listen(self, event: Event, session: Session) -> None:
        self.events.append(event)
        if self.counts is not None:
            self.counts.add(event)

    def judge(self, command: list[str]) -> tuple[int, Tally, dict[str, int]]:
        """Judge all tasks while a command runs, and once more; count the events of its tree."""
        tally = Tally()
        self.session.pump()
        if self.session.suspect or self.session.ungrammatical:
            # While other tests used the kernel, no test read this ring. When they attached to
            # copy_process() as well, the returns of tasks inside it were missed (README, Limits).
            self.session.faults = Faults()
            self.session.begin()
        self.lost = self.session.stream.lost
        self.events.clear()
        with subprocess.Popen(command) as child:
            self.counts = TreeCounts(child.pid)
            while child.poll() is None:
                self.session.check_all(tally)
        self.session.check_all(tally)
        counts, self.counts = self.counts.result(), None
        return child.returncode, tally, counts

    def wrongs(self, tally: Tally) -> list[object]:
        """What must never be, of the verdicts and of the stream."""
        return [*tally.bugs, *self.session.broken, *self.session.ungrammatical]


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    host = Host()
    with live_session(ProcFs(), host.listen) as host.session:
        yield host


def expected(*workload: str) -> dict[str, int]:
    """What the workload will do, exact to the last fork, as it prints itself."""
    said = subprocess.run([WORKLOAD, *workload, "--expect"], capture_output=True, check=True)
    return json.loads(said.stdout)


def valid(lines: Iterable[bytes]) -> list[Any]:
    """The objects of these lines, each valid by the definition of its type.

    The whole schema tries every definition and takes five times as long, which under emulation was
    most of a test's time; it is for the first object of each type.
    """
    objects = [json.loads(line) for line in lines]
    by_type: dict[str, Draft202012Validator] = {}
    for each in objects:
        kind = each["type"]
        if kind not in by_type:
            VALIDATOR.validate(each)
            by_type[kind] = Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": f"#/$defs/{kind}"}]})
        by_type[kind].validate(each)
    return objects


def pidscope(*arguments: str) -> list[str]:
    """The command line of this checkout's pidscope."""
    return [sys.executable, "-m", "pidscope", *arguments]
