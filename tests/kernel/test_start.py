"""The start is exact while everything forks around it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pidscope.verify.verdicts import Tally

from .conftest import WORKLOAD, Host

STARTS = 10
BIRTHS = 200
SHELL_STORM = ["sh", "-c", "while :; do (exit 0); done"]


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill it at the end, whatever happens."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_starts_in_a_fork_storm(host: Host) -> None:
    tally, starts = Tally(), 0
    before = host.session.stream.births
    # One job and the shell keep one CPU of two busy. With two jobs the kernel writes events faster
    # than an emulated CPU judges them: each check takes in what came meanwhile, and grows.
    storm = subprocess.Popen([WORKLOAD, "storm", "--jobs", "1"], stdin=subprocess.PIPE)
    with storm, ended(subprocess.Popen(SHELL_STORM)):
        while starts < STARTS or host.session.stream.births - before < BIRTHS:
            host.session.begin()
            host.session.check_all(tally)
            assert tally.complete
            starts += 1
        assert storm.stdin is not None
        storm.stdin.close()
    assert storm.returncode == 0
    host.session.check_all(tally)
    assert tally.bugs == []
    assert host.session.broken == []
    assert host.session.ungrammatical == []
    assert tally.complete
