"""The start is exact while everything forks around it."""

from __future__ import annotations

import subprocess

from pidscope.verify import Tally

from .conftest import WORKLOAD, Host

STARTS = 10


def test_starts_in_a_fork_storm(host: Host) -> None:
    tally = Tally()
    with subprocess.Popen([WORKLOAD, "storm"], stdin=subprocess.PIPE) as storm:
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
    assert tally.complete
