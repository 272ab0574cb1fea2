"""The start is exact while everything forks around it."""

from __future__ import annotations

import subprocess

from pidscope.verify import Tally

from .conftest import WORKLOAD, Host

STARTS = 10
SHELL_STORM = ["sh", "-c", "while :; do (exit 0); done"]


def test_starts_in_a_fork_storm(host: Host) -> None:
    tally = Tally()
    births = host.session.hooks()[0]["attach_pid"]["hits"]
    storm = subprocess.Popen([WORKLOAD, "storm"], stdin=subprocess.PIPE)
    with storm, subprocess.Popen(SHELL_STORM) as shell:
        for _ in range(STARTS):
            host.session.begin()
            host.session.check_all(tally)
            assert tally.complete
        shell.kill()
        assert storm.stdin is not None
        storm.stdin.close()
    assert storm.returncode == 0
    host.session.check_all(tally)
    assert tally.bugs == []
    assert host.session.broken == []
    assert host.session.ungrammatical == []
    assert tally.complete
    assert host.session.hooks()[0]["attach_pid"]["hits"] - births > 100 * STARTS
