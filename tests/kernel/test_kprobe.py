"""kprobes see what trampolines see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pidscope.live.program import Program
from pidscope.live.session import LiveWorld
from pidscope.procfs import ProcFs
from pidscope.session import Session

from .conftest import WORKLOAD, Host, expected


@pytest.fixture(scope="module")
def kprobe_host() -> Iterator[Host]:
    host = Host()
    program = Program("kprobe")
    try:
        host.session = Session(LiveWorld(program, ProcFs()), host.listen)
        host.session.begin()
        yield host
    finally:
        program.close()


@pytest.mark.parametrize("name", ("nested", "exec-thread", "failed", "held"))
def test_workload_by_kprobes(kprobe_host: Host, name: str) -> None:
    status, tally, counts = kprobe_host.judge([WORKLOAD, name])
    assert status == 0
    assert tally.bugs == []
    assert kprobe_host.session.broken == []
    assert kprobe_host.session.ungrammatical == []
    assert tally.complete
    assert {key: counts[key] for key in expected(name)} == expected(name)
