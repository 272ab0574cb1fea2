"""What being watched costs others: loops of system calls, with programs attached and without."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from costs.tracefs import counting
from costs.unable import Unable
from pidscope.errors import PidscopeError
from pidscope.hooks import TRACEPOINT
from pidscope.live.program import Program, expect_root

REPETITIONS = 7
BEST_OF = 3  # loops in a repetition: what disturbs only ever adds
GETPPIDS, FORKS = "700000", "150"
Attach = Callable[[], "contextlib.AbstractContextManager[None]"]


class Cost(NamedTuple):
    """One row: nanoseconds of each repetition, or why there are none."""

    name: str
    bare: list[float]
    attached: list[float]
    unable: str = ""

    @property
    def ratios(self) -> list[float]:
        """With to without, in each repetition."""
        return [with_ / without for with_, without in zip(self.attached, self.bare)]


@contextlib.contextmanager
def tracepoint_mode() -> Iterator[None]:
    """Pidscope's programs of tracepoint mode; nobody reads what they write."""
    try:
        expect_root()
        program = Program(TRACEPOINT)
    except PidscopeError as error:
        raise Unable(str(error)) from error
    try:
        yield
    finally:
        program.close()


ROWS: tuple[tuple[str, Sequence[str], Attach], ...] = (
    ("getppid, tracepoint mode attached / nothing", ("getppid", GETPPIDS), tracepoint_mode),
    ("fork+exec+wait, tracepoint mode / nothing", ("fork", FORKS), tracepoint_mode),
    ("getppid, setpgid+setsid tracepoints / nothing", ("getppid", GETPPIDS), counting),
)


def measure_costs() -> list[Cost]:
    """Each row, with and without in turn, so that a busy moment hits both."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            loops = _compiled(Path(folder))
        except Unable as unable:
            return [Cost(name, [], [], str(unable)) for name, _, _ in ROWS]
        return [_measure(name, [loops, *arguments], attach) for name, arguments, attach in ROWS]


def _compiled(folder: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unable("no C compiler (cc)")
    loops = os.fspath(folder / "loops")
    source = os.fspath(Path(__file__).with_name("loops.c"))
    try:
        subprocess.run([compiler, "-O2", "-o", loops, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unable(f"{compiler}: {error}") from error
    return loops


def _measure(name: str, loop: Sequence[str], attach: Attach) -> Cost:
    cost = Cost(name, [], [])
    for repetition in range(REPETITIONS):
        if repetition % 2:  # what grows or falls steadily favours neither
            cost.bare.append(_time(loop))
        try:
            with attach():
                cost.attached.append(_time(loop))
        except Unable as unable:
            return Cost(name, [], [], str(unable))
        if not repetition % 2:
            cost.bare.append(_time(loop))
    return cost


def _time(loop: Sequence[str]) -> float:
    """Nanoseconds of CPU time of one call."""
    runs = (subprocess.run(loop, check=True, capture_output=True) for _ in range(BEST_OF))
    return min(float(run.stdout) for run in runs)


def show(costs: Sequence[Cost]) -> Iterator[str]:
    """The lines of the table."""
    names = f"{'without':>8}{'with':>8}{'ratio':>7}{'from':>6}{'to':>6}"
    yield f"{'nanoseconds of CPU time a call':47}{names}"
    for cost in costs:
        if cost.unable:
            yield f"{cost.name}: cannot be measured here: {cost.unable}"
            continue
        bare, attached = statistics.median(cost.bare), statistics.median(cost.attached)
        ratio, ratios = statistics.median(cost.ratios), cost.ratios
        yield (
            f"{cost.name:47}{bare:8.0f}{attached:8.0f}"
            f"{ratio:7.2f}{min(ratios):6.2f}{max(ratios):6.2f}"
        )
