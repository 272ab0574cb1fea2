"""Lives of the life stream against those of the stream of all steps, field by field, of workloads.

By tracepoints here; by function hooks in test_lives_functions.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pidscope.host.proc import ProcFs
from pidscope.live.session import live_session
from pidscope.wire.hooks import TRACEPOINT

from .conftest import Host
from .lived import Lived, compare_with_full, life_stream
from .test_lives import workload
from .test_workloads import WORKLOADS

# No tracepoint reports that a thread takes its leader's number.
COMPARED = [name for name in WORKLOADS if name != "exec-thread"]


@pytest.fixture(scope="module")
def tracing() -> Iterator[Host]:
    host = Host()
    with live_session(ProcFs(), host.listen, TRACEPOINT) as host.session:
        yield host


@pytest.fixture(scope="module")
def lived() -> Iterator[Lived]:
    with life_stream(TRACEPOINT) as stream:
        yield stream


@pytest.mark.parametrize("name", COMPARED)
def test_lives_equal_those_of_the_full_stream(lived: Lived, tracing: Host, name: str) -> None:
    tree, differences = compare_with_full(lived, tracing, workload(name))
    assert tree.status == 0 and len(tree.lives) >= len(tree.births)
    assert differences == []
