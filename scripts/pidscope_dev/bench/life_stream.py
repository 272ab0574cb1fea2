"""The life stream against the default stream: its hooks, its collector, its memory.

Time in hooks is the mean of a run of each program, summed over the programs that run once in a
fork, exec and exit: others may fork meanwhile. Collectors are held against `watch` by the clock,
each while one loop forks; the CPU time of `watch` is that of its threads.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Callable, Protocol

from pidscope.errors import PidscopeError
from pidscope.live.life_program import LifeProgram
from pidscope.live.program import Program
from pidscope.wire.hooks import TRACEPOINT
from pidscope_dev.bench.programs import compiled, pidscope
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, TakeFigures, Taken, Unable, figures_in_turn, in_turn
from pidscope_dev.bench.watched import counted

LIFE, WITH_BIRTHS, RING, DEFAULT, WATCH = (
    "life stream",
    "life stream with births",
    "life stream by the ring",
    "default stream",
    "pidscope watch, printing nothing",
)
CPU, IDLE, MEMORY = "cpu", "idle", "memory"
_LIVES = 1_000
_FORKS = 20_000
_IDLE_S = 5.0
_SETTLED_S = 0.3
_STARTED_S = 1.0  # a watch says that it watches before it starts its CMD


class Attached(Protocol):
    """Programs in the kernel."""

    def close(self) -> None:
        """Take them out."""


HOOKS: dict[str, Callable[[], Attached]] = {
    DEFAULT: lambda: Program(TRACEPOINT, steps=False),
    LIFE: LifeProgram,
    WITH_BIRTHS: partial(LifeProgram, births=True),
    RING: partial(LifeProgram, slots=False),
}


def measure_hooks() -> Taken:
    """Each form of the life stream, and the default stream."""
    with compiled("loops") as loops:
        return in_turn({name: partial(hooks_us, each, loops) for name, each in HOOKS.items()})


def hooks_us(attach: Callable[[], Attached], loops: str) -> float:
    """Return the time in all hooks of a fork, exec and exit; raises Unable."""
    try:
        attached = attach()
    except PidscopeError as error:
        raise Unable(str(error)) from error
    with closing(attached), counted():
        before = _runs()
        subprocess.run([loops, "exec", str(_LIVES)], check=True, capture_output=True)
        spent = ((run, *before.get(number, (0, 0))) for number, run in _runs().items())
        means = [
            (ns - ns_before) / (count - count_before)
            for (ns, count), ns_before, count_before in spent
            if count - count_before > _LIVES // 2
        ]
    return sum(means) / 1e3


def _runs() -> dict[int, tuple[int, int]]:
    """Time and number of the runs of each program that this process holds."""
    runs = {}
    for file in Path("/proc/self/fdinfo").iterdir():
        try:
            lines = file.read_text().splitlines()
        except FileNotFoundError:
            continue  # the directory's own
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if "run_cnt" in fields:
            runs[int(fields["prog_id"])] = int(fields["run_time_ns"]), int(fields["run_cnt"])
    return runs


def measure_collectors() -> Taken:
    """CPU time of a life, and of seconds without any; resident memory."""
    with compiled("loops") as loops:
        contenders: dict[str, TakeFigures] = {
            LIFE: partial(collected, _life_collector, loops),
            WITH_BIRTHS: partial(collected, partial(_life_collector, "births"), loops),
            WATCH: partial(collected, partial(watching, *_FOLLOWED), loops),
        }
        return figures_in_turn(contenders, repetitions=3)


class Collector(Protocol):
    """One that runs."""

    pid: int

    def cpu_ns(self) -> int:
        """CPU time that it has taken so far."""


def collected(
    collector: Callable[[], AbstractContextManager[Collector]], loops: str
) -> dict[str, float]:
    """Return what a collector costs while a loop forks, and while nothing happens."""
    with collector() as one:
        time.sleep(_STARTED_S)
        before = one.cpu_ns()
        time.sleep(_IDLE_S)
        idle = one.cpu_ns()
        subprocess.run([loops, "fork", str(_FORKS)], check=True, stdout=subprocess.DEVNULL)
        time.sleep(_SETTLED_S)
        return {
            IDLE: (idle - before) / _IDLE_S / 1e7,
            CPU: (one.cpu_ns() - idle) / _FORKS / 1e3,
            MEMORY: _resident_mb(one.pid),
        }


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Unable(f"/proc/{pid}/status has no VmRSS")


class _Life:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def cpu_ns(self) -> int:
        """Everything that was written until now included."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b".")
        return int(self._process.stdout.readline())


@contextmanager
def _life_collector(*arguments: str) -> Iterator[_Life]:
    command = [sys.executable, "-m", "pidscope_dev.bench.life_collector", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        if process.stdout.readline() != b"ready\n":
            raise Unable(process.stderr.read().decode(errors="replace").strip()[-200:])
        yield _Life(process)


class _Watch:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_ns(self) -> int:
        """Of all its threads, by the scheduler (Documentation/scheduler/sched-stats.rst)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


_FOLLOWED = ("-n", "--", "cat")  # it prints what another command does, and follows all


@contextmanager
def watching(*arguments: str) -> Iterator[Collector]:
    """Run `watch` with a CMD that waits, from its first line on; raises Unable."""
    command = pidscope("watch", "--probes", TRACEPOINT, *arguments)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        if not process.stdout.readline():
            raise Unable(process.stderr.read().decode(errors="replace").strip()[-200:])
        try:
            yield _Watch(process.pid)
        finally:
            process.stdin.close()  # cat ends, and so does the watch
            process.stdout.read()


_HOOKS_WHAT = "time in all hooks per fork+exec+exit"
HOOK_ROWS = (
    Asked(f"{_HOOKS_WHAT}, life stream", "µs", LIFE, DEFAULT, Goal(1 / 4)),
    Asked(f"{_HOOKS_WHAT}, life stream and births", "µs", WITH_BIRTHS, DEFAULT, Goal(1 / 2.8)),
    Asked(f"{_HOOKS_WHAT}, life stream by the ring", "µs", RING, DEFAULT),
)
_CPU_WHAT = "CPU of the collector per process born and gone, into columns"
COLLECTOR_ROWS = (
    Asked(_CPU_WHAT, "µs", LIFE, WATCH, Goal(1 / 15), figure=CPU),
    Asked(f"{_CPU_WHAT}, births too", "µs", WITH_BIRTHS, WATCH, figure=CPU),
    Asked("resident memory, life stream", "MB", LIFE, WATCH, figure=MEMORY),
    # A quarter of what watch took while its programs were compiled in its process (b09a91a).
    Asked(
        *("resident memory, life stream", "MB", LIFE, ""), Goal(164 / 4), By.VALUE, figure=MEMORY
    ),
    Asked(
        *("life stream, nothing ends: of a core", "%", LIFE, ""), Goal(0.05), By.VALUE, figure=IDLE
    ),
)
