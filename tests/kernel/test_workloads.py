"""Known workloads: every verdict right while they run, and every act counted exactly."""

from __future__ import annotations

import pytest

from .conftest import WORKLOAD, Host, expected

WORKLOADS = (
    "nested",
    "groups",
    "threads",
    "exec-thread",
    "held",
    "failed",
    "dying-init",
    "injected",
    "reuse",
    "short 500",
    "zombies",
    "hostile",
    "deep",
)


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_is_rebuilt_exactly(host: Host, name: str) -> None:
    arguments = name.split()
    status, tally, counts = host.judge([WORKLOAD, *arguments])
    assert status == 0
    assert host.wrongs(tally) == []
    forks = host.session.forks()
    assert forks is not None and forks[0] == forks[1]
    assert host.session.stream.lost == host.lost
    assert tally.complete
    wanted = expected(*arguments)
    assert {key: counts[key] for key in wanted} == wanted


def test_hook_hits_are_accounted_for(host: Host) -> None:
    hooks, at_rest = host.session.hooks()
    assert at_rest
    assert {name: hook["hits"] for name, hook in hooks.items()} == {
        name: hook["accounted"] for name, hook in hooks.items()
    }
    assert hooks["attach_pid"]["hits"] > 0
