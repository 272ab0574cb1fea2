"""The start is exact while everything forks around it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pidscope.verify import Tally

from .conftest import WORKLOAD, Host

STARTS = 10
SHELL_STORM = ["sh", "-c", "while :; do (exit 0); done"]


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill it at the end, whatever happens: nobody else would."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_starts_in_a_fork_storm(host: Host) -> None:
    tally = Tally()
    births = host.session.hooks()[0]["attach_pid"]["hits"]
    storm = subprocess.Popen([WORKLOAD, "storm"], stdin=subprocess.PIPE)
    with storm, ended(subprocess.Popen(SHELL_STORM)):
        for _ in range(STARTS):
            host.session.begin()
            host.session.check_all(tally)
            assert tally.complete
        assert storm.stdin is not None
        storm.stdin.close()
    assert storm.returncode == 0
    host.session.check_all(tally)
    assert tally.bugs == []
    assert host.session.broken == []
    assert host.session.ungrammatical == []
    assert tally.complete
    assert host.session.hooks()[0]["attach_pid"]["hits"] - births > 100 * STARTS
