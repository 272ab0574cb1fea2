"""The self-test of a start, with real hooks: all report, and those taken out are named."""

from __future__ import annotations

from contextlib import closing

import pytest

from pidscope.host.proc import ProcFs
from pidscope.live.program import Program
from pidscope.live.selftest import silent_hooks
from pidscope.live.session import LiveWorld
from pidscope.session.stream import Stream

from .conftest import Host

TAKEN_OUT = ["detach_pid", "copy_pid_ns", "sched_process_exec"]


@pytest.mark.parametrize("way", ("fentry", "kprobe"))
def test_alloc_pid_and_copy_process_are_tried_where_they_tell_of_errors_alone(way: str) -> None:
    with closing(Program(way, steps=False)) as program:
        stream = Stream(LiveWorld(program, ProcFs()))
        assert silent_hooks(stream, program.hooks) == []
        assert stream.accounted["alloc_pid"] == stream.accounted["copy_process"] == 1


def test_every_hook_tells(host: Host) -> None:
    assert host.session.world.missing == []  # the session began with a self-test


@pytest.mark.parametrize("way", ("fentry", "kprobe"))
def test_hooks_that_were_taken_out_are_named(way: str) -> None:
    with closing(Program(way)) as program:
        for name in TAKEN_OUT:
            program.detach(name)
        stream = Stream(LiveWorld(program, ProcFs()))
        silent = [hook.name for hook in silent_hooks(stream, program.hooks)]
        assert silent == TAKEN_OUT
