"""What being watched costs, by pidscope and its peers: each is started once a repetition.

- ``start``: from its command to the first process that it reports, in seconds;
- ``loop``: a fork, exec and wait meanwhile, in microseconds of the loop's CPU time. What is done in
  an interrupt (the end of a task, a grace period later) is not in it, nor is the reader's time;
- ``hooks``: the time in all its programs of a fork, exec and exit, as the kernel counts it while
  ``kernel.bpf_stats_enabled`` is 1. Two readings of the clock a run are in it, but not the task
  iterator, which is no hook.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pidscope.wire.hooks import AUTO, TRACEPOINT
from pidscope_dev.bench import watchers
from pidscope_dev.bench.programs import compiled, cpu_ns_of
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, Taken, Unable, figures_in_turn
from pidscope_dev.bench.watchers import OURS, PEERS

NOTHING = "nothing attached"
START, LOOP, HOOKS = "start", "loop", "hooks"
_STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
_LIVES = 300


def _measure(names: Sequence[str], probes: str, repetitions: int) -> Taken:
    """These watchers, and nothing."""
    with compiled("loops") as loops:
        watched = {name: partial(_watched, name, loops, probes) for name in names}
        return figures_in_turn({NOTHING: lambda: {LOOP: _us(loops)}, **watched}, repetitions)


measure = partial(_measure, (OURS,), TRACEPOINT, repetitions=7)
measure_functions = partial(_measure, (OURS, *PEERS), AUTO, repetitions=3)


def _watched(name: str, loops: str, probes: str) -> dict[str, float]:
    with watchers.watching(watchers.command(name, probes), loops) as watcher:
        loop_us = _us(loops)
        with counted():
            before = run_time_ns(watcher.pid)
            subprocess.run([loops, "exec", str(_LIVES)], check=True, capture_output=True)
            spent_ns = run_time_ns(watcher.pid) - before
    if not spent_ns:
        raise Unable(f"{name} holds no descriptor of a program that ran")
    return {START: watcher.first_event_s, LOOP: loop_us, HOOKS: spent_ns / _LIVES / 1e3}


def _us(loops: str) -> float:
    return cpu_ns_of([loops, "exec", str(_LIVES)]) / 1e3


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Switch the statistics on, and back to what they were."""
    try:
        before = _STATISTICS.read_text()
        _STATISTICS.write_text("1\n")
    except OSError as error:
        raise Unable(f"{_STATISTICS}: {error.strerror}") from error
    try:
        yield
    finally:
        _STATISTICS.write_text(before)


def run_time_ns(pid: int, proc: Path = Path("/proc")) -> int:
    """The sum over the programs that a process holds, each once, without its iterators."""
    programs: dict[int, int] = {}
    iterators: set[int] = set()
    for file in (proc / str(pid) / "fdinfo").iterdir():
        try:
            lines = file.read_text().splitlines()
        except FileNotFoundError:
            continue  # closed meanwhile
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if "run_time_ns" in fields:
            programs[int(fields["prog_id"])] = int(fields["run_time_ns"])
        elif fields.get("link_type", "").strip() == "iter":
            iterators.add(int(fields["prog_id"]))
    return sum(run_ns for number, run_ns in programs.items() if number not in iterators)


_HOOKS = "time in all hooks per fork+exec+exit"
HOOK_ROWS = (
    Asked(f"{_HOOKS}, tracepoint mode", "µs", OURS, goal=Goal(1.5), by=By.VALUE, figure=HOOKS),
)
HOOK_ROWS_FUNCTIONS = [Asked(_HOOKS, "µs", OURS, peer, Goal(1), figure=HOOKS) for peer in PEERS]
_LOOP = "fork+exec+wait while it is watched"
LOOP_ROWS = (Asked(_LOOP, "µs", OURS, NOTHING, Goal(1.05), figure=LOOP),)
LOOP_ROWS_FUNCTIONS = (
    *LOOP_ROWS,
    *(Asked(_LOOP, "µs", OURS, peer, Goal(1), figure=LOOP) for peer in PEERS),
)
# The goal is to start in half the time of execsnoop as bcc has it; the others stand for comparison.
START_ROWS = [
    Asked(
        *("live start: command to first event", "s", OURS, peer),
        Goal(1 / 2) if peer == watchers.BCC_EXECSNOOP else None,
        figure=START,
    )
    for peer in PEERS
]
