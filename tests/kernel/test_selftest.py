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

OF_FUNCTIONS = ("detach_pid", "copy_pid_ns")


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
        if way == "fentry":
            hooks = {hook.name: hook for hook in program.hooks}
            names = {name: program._trampoline_name(hooks[name]) for name in OF_FUNCTIONS}
            program._module.detach_kfunc(fn_name=names["detach_pid"])
            program._module.detach_kretfunc(fn_name=names["copy_pid_ns"])
        else:
            program._module.detach_kprobe(event=b"detach_pid")
            program._module.detach_kretprobe(event=b"copy_pid_ns")
        program._tracepoints.pop("sched_process_exec").close()
        stream = Stream(LiveWorld(program, ProcFs()))
        silent = [hook.name for hook in silent_hooks(stream, program.hooks)]
        assert silent == ["detach_pid", "copy_pid_ns", "sched_process_exec"]
