"""The stream without intermediate events, as `watch` has it: exact, with every failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pidscope.events import ForkFailed, PidAllocated, PidFreed, PidRefused, TaskCreated
from pidscope.host.proc import ProcFs
from pidscope.live.session import live_session

from .conftest import WORKLOAD, Host, expected

STEPS = (PidAllocated, PidFreed, TaskCreated)


@pytest.fixture(scope="module", params=("fentry", pytest.param("kprobe", marks=pytest.mark.matrix)))
def stepless(request: pytest.FixtureRequest) -> Iterator[Host]:
    host = Host()
    with live_session(ProcFs(), host.listen, request.param, steps=False) as host.session:
        assert host.session.world.missing == []
        yield host


@pytest.mark.parametrize("name", ("nested", "groups", "exec-thread", "failed", "dying-init"))
def test_workload_is_rebuilt_exactly(stepless: Host, name: str) -> None:
    session = stepless.session
    status, tally, counts = stepless.judge([WORKLOAD, name])
    assert (status, stepless.wrongs(tally)) == (0, [])
    assert tally.complete and session.stream.lost == stepless.lost
    wanted = {key: n for key, n in expected(name).items() if key != "transfer_pid"}
    assert {key: counts[key] for key in wanted} == wanted
    assert not [event for event in stepless.events if isinstance(event, STEPS)]
    hooks, at_rest = session.hooks()
    assert at_rest and "free_pid" not in hooks
    assert all(hook["hits"] == hook["accounted"] for hook in hooks.values())


def test_a_fork_that_gets_no_number_is_told_twice(stepless: Host) -> None:
    """By alloc_pid(), and with the same error by copy_process(), which fails for more reasons."""
    stepless.judge([WORKLOAD, "failed"])
    told = [e for e in stepless.events if isinstance(e, (PidRefused, ForkFailed))]
    refused = [n for n, e in enumerate(told) if isinstance(e, PidRefused)]
    assert refused and len(told) > 2 * len(refused)
    for n in refused:
        after = next(e for e in told[n + 1 :] if e.by == told[n].by)
        assert isinstance(after, ForkFailed) and after.errno == told[n].errno
