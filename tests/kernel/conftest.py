"""Kernel tests: they run where function hooks can be attached, so in the VM, and never skip.

`scripts/test` runs them there by the same pytest: ``scripts/vm -- .venv/bin/pytest tests/kernel``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pidscope.events import Event
from pidscope.host.proc import ProcFs
from pidscope.live.session import live_session
from pidscope.query.descendants import Counts
from pidscope.session.session import Session
from pidscope.verify.grammar import Faults
from pidscope.verify.verdicts import Tally
from tests import CHECKOUT

WORKLOAD = str(CHECKOUT / "scripts" / "workload")


class Host:
    """A live session, and who listens to it."""

    def __init__(self) -> None:
        self.counts: Counts | None = None
        self.events: list[Event] = []
        self.session: Session
        self.lost = 0  # before the last judgement began

    def listen(self, event: Event, session: Session) -> None:
        self.events.append(event)
        if self.counts is not None:
            self.counts.add(event)

    def judge(self, command: list[str]) -> tuple[int, Tally, dict[str, int]]:
        """Run a command under the judge's eyes, then judge once more; its counts by its tree."""
        tally = Tally()
        self.session.pump()
        if self.session.suspect or self.session.ungrammatical:
            # While other tests had the kernel nobody read the ring, and whenever they attached to
            # copy_process() as well, whoever was in it missed its return (README, Limits).
            self.session.faults = Faults()
            self.session.begin()
        self.lost = self.session.stream.lost
        self.events.clear()
        with subprocess.Popen(command) as child:
            self.counts = Counts(child.pid)
            while child.poll() is None:
                self.session.check_all(tally)
        self.session.check_all(tally)
        counts, self.counts = self.counts.result(), None
        return child.returncode, tally, counts


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    host = Host()
    with live_session(ProcFs(), host.listen) as host.session:
        yield host


def expected(*workload: str) -> dict[str, int]:
    """What the workload says that it will do, to the last fork."""
    said = subprocess.run([WORKLOAD, *workload, "--expect"], capture_output=True, check=True)
    counts: dict[str, int] = json.loads(said.stdout)
    return counts


def pidscope(*arguments: str) -> list[str]:
    """The command line of this checkout's pidscope."""
    return [sys.executable, "-m", "pidscope", *arguments]
