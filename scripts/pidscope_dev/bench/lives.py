"""Lives a second: of a recorded fork storm, of the model, and of this machine's kernel."""

from __future__ import annotations

import os
import subprocess
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
from pidscope_dev.bench.replay import Replay, cpu_ns, storm
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Take, Taken, in_turn

_LIVES = 100_000
_FORKS = 3_000  # of one core, in one repetition
OURS, FORKS = "pidscope", "forks of two cores"
_MODEL_LIVES = 5_000
MODEL, WIRE, KERNEL = "the model", "the model, to bytes and back", "forks of one core"


def measure() -> Taken:
    """Both in CPU time: others may be running."""
    recording, follower = storm(_LIVES), Replay()
    try:
        with compiled("loops") as loops:
            return in_turn(
                {
                    OURS: lambda: _LIVES * 1e9 / cpu_ns(lambda: follower.play(recording)),
                    FORKS: lambda: _fork_rate(loops),
                }
            )
    finally:
        os.close(recording.fd)


def _fork_rate(loops: str) -> float:
    """Forks, exits and waits in a second of CPU time, of as many loops at once as two cores."""
    command = [loops, "fork", str(_FORKS)]
    cores = min(2, len(os.sched_getaffinity(0)))
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(cores)]
    return sum(1e9 / float(loop.communicate()[0]) for loop in running)


_WHAT = "births and releases at depth 2: drained, decoded, applied"
ROWS = (
    Asked(_WHAT, "lives/s", OURS, goal=Goal(200_000, at_least=True), by=By.VALUE),
    Asked(_WHAT, "lives/s", OURS, FORKS, Goal(5, at_least=True)),
)


def measure_model() -> Taken:
    """A life in the model is one in a container, with all six events it makes; in CPU time."""
    with compiled("loops") as loops:
        return in_turn(
            {
                MODEL: _rate(_model_lives(None)),
                WIRE: _rate(_model_lives(_through_the_wire)),
                KERNEL: lambda: 1e9 / cpu_ns_of([loops, "fork", str(_MODEL_LIVES)]),
            }
        )


def _rate(live: Callable[[], None]) -> Take:
    return lambda: _MODEL_LIVES * 1e9 / cpu_ns(live)


def _model_lives(listener: Callable[[Event], None] | None) -> Callable[[], None]:
    kernel = Kernel()
    shell = _child(kernel.init, call(kernel.init, "fork"))
    container = _child(shell, call(shell, "clone", CLONE_NEWPID))
    kernel.listener = listener

    def live() -> None:
        for _ in range(_MODEL_LIVES):
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


MODEL_ROWS = [Asked(f"lives in {ours}", "lives/s", ours, KERNEL) for ours in (MODEL, WIRE)]
