"""Lives a second in the model: a kernel's PID subsystem in Python, and this machine's kernel."""

from __future__ import annotations

from typing import Callable

from pidscope.events import Event
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_task_by_vpid
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from pidscope_dev.bench.programs import compiled, cpu_ns_of
from pidscope_dev.bench.replay import cpu_ns
from pidscope_dev.bench.taken import Asked, Take, Taken, in_turn

_LIVES = 5_000
MODEL, WIRE, KERNEL = "the model", "the model, to bytes and back", "forks of one core"


def measure() -> Taken:
    """A life in the model is one in a container, with all six events it makes; in CPU time."""
    with compiled("loops") as loops:
        return in_turn(
            {
                MODEL: _rate(_model_lives(None)),
                WIRE: _rate(_model_lives(_through_the_wire)),
                KERNEL: lambda: 1e9 / cpu_ns_of([loops, "fork", str(_LIVES)]),
            }
        )


def _rate(live: Callable[[], None]) -> Take:
    return lambda: _LIVES * 1e9 / cpu_ns(live)


def _model_lives(listener: Callable[[Event], None] | None) -> Callable[[], None]:
    kernel = Kernel()
    shell = _child(kernel.init, call(kernel.init, "fork"))
    container = _child(shell, call(shell, "clone", CLONE_NEWPID))
    kernel.listener = listener

    def live() -> None:
        for _ in range(_LIVES):
            nr = call(container, "fork")
            call(_child(container, nr), "exit_group", 0)
            call(container, "wait4", nr)

    return live


def _child(parent: TaskStruct, nr: int | None) -> TaskStruct:
    """The task that a fork has just made."""
    task = find_task_by_vpid(nr or 0, parent)
    assert task is not None
    return task


def _through_the_wire(event: Event) -> None:
    decode(encode(event))


ROWS = [Asked(f"lives in {ours}", "lives/s", ours, KERNEL) for ours in (MODEL, WIRE)]
