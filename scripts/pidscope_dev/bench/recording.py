"""The flight recorder: what a life costs to be kept, and a look-up and a log to be answered.

All in CPU time. Rings are made (`pidscope_dev.bench.made_ring`); they are read warm.
PIDSCOPE_BENCH_LIVES is how many lives the greatest has, 10,000,000 by default: each hundred
million takes 2.3 GB in the directory for temporary files, and two minutes to be made.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pidscope.history.recorder import Clocks, Recorder, Runs
from pidscope.history.ring_writer import Limits, RingWriter
from pidscope.wire.lives import LIVES, LIVES_DEEP
from pidscope_dev.bench.made_ring import LIVES_A_FILE, Made, made_ring, rows_of_lives
from pidscope_dev.bench.row import By, Goal
from pidscope_dev.bench.taken import Asked, TakeFigures, Taken, figures_in_turn

GREATEST = int(os.environ.get("PIDSCOPE_BENCH_LIVES", "10000000"))
CPU, MEMORY, BYTES = "cpu", "memory", "bytes"
NOTHING, RECORDED, ANNOTATED = "pidscope --version", "the recorder", "annotate"
_SIZES = tuple(size for size in (10**5, 10**6, 10**7, 10**8) if size <= GREATEST)
_A_SECOND = 3_500
_LIVES, _LINES = 10_000, int(os.environ.get("PIDSCOPE_BENCH_LINES", "100000"))
_PIDSCOPE = (sys.executable, "-m", "pidscope")
# What a process has resident before it calls exec counts to its ru_maxrss (exec_mmap(), fs/exec.c
# in 6.18): this one has little, a bench that has made rings much.
_LAUNCH = """
import os, sys
child = os.fork()
if not child:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def name(size: int) -> str:
    """The name of a ring among the samples."""
    return f"a ring of {size:,}"


def _files(size: int) -> int:
    return -(-size // LIVES_A_FILE)


@contextmanager
def _ring(size: int) -> Iterator[Made]:
    with tempfile.TemporaryDirectory(prefix="pidscope-bench-") as place:
        yield made_ring(Path(place) / "ring", _files(size))


def _run(*arguments: str, **options: Any) -> dict[str, float]:
    """Return CPU time in ms and greatest resident memory in MB of a command."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCH, *_PIDSCOPE, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, ["pidscope", *arguments])
    used_s, most_kb = done.stdout.split()
    return {CPU: float(used_s) * 1e3, MEMORY: float(most_kb) * 1024 / 1e6}


def measure_lookups() -> Taken:
    """One life in the middle of each ring, by its time."""
    with ExitStack() as stack:
        contenders: dict[str, TakeFigures] = {NOTHING: partial(_run, "--version")}
        for size in _SIZES:
            ring = stack.enter_context(_ring(size))
            number, start, end = ring.lives[LIVES_A_FILE // 2]
            at = ring.wall_ns(ring.files // 2, (start + end) // 2)
            words = ("lookup", str(number), "--source", str(ring.path))
            contenders[name(size)] = partial(
                _run, *words, "--at", f"@{at // 10**9}.{at % 10**9:09}"
            )
        return figures_in_turn(contenders)


def measure_annotate() -> Taken:
    """A log of 10,000 lives in the order of time, with several lines each."""
    with _ring(GREATEST) as ring:
        log = ring.path.parent / "log"
        log.write_text("".join(_lines(ring)))

        def take() -> dict[str, float]:
            words = ("annotate", "strace", "--in", "host", "--source", str(ring.path))
            with log.open() as lines:
                used = _run(*words, stdin=lines)
            return {CPU: used[CPU] * 1e3 / _LINES, MEMORY: used[MEMORY]}

        return figures_in_turn({ANNOTATED: take}, repetitions=3)


def _lines(ring: Made) -> Iterator[str]:
    """Yield the lines, of files amid the ring.

    A line of the first may be of a time before it, and behind the last snapshot not all is known.
    """
    each, step = _LINES // _LIVES, LIVES_A_FILE * (ring.files - 2) // _LIVES
    for at in range(_LIVES):
        file, place = divmod(LIVES_A_FILE + at * step, LIVES_A_FILE)
        number, start, end = ring.lives[place]
        for line in range(each):
            ns = ring.wall_ns(file, start + (end - start) * line // each)
            yield f'{number} {ns // 10**9}.{ns % 10**9 // 1000:06} write(1, "x", 1) = 1\n'


class _Prepared:
    """A kernel in which 3,500 lives end a second, and its clocks."""

    lags = False

    def __init__(self) -> None:
        self._rows, lives = rows_of_lives(_A_SECOND * 38)
        self._ends = [end for _, _, end in lives]
        self._at = 0
        self._now_ns = self._ends[0]

    @property
    def left(self) -> bool:
        return self._at + _A_SECOND <= len(self._ends)

    def clocks(self) -> Clocks:
        return Clocks(self._now_ns, 10**18 + self._now_ns, self._now_ns)

    def take(self) -> Runs:
        at, self._at = self._at, self._at + _A_SECOND
        self._now_ns = self._ends[min(self._at, len(self._ends)) - 1] + 1
        return [(LIVES, self._rows[at * LIVES.size : self._at * LIVES.size]), (LIVES_DEEP, b"")]

    def living(self) -> Runs:
        return []

    def lost(self) -> int:
        return 0

    def unfinished(self) -> bool:
        return False

    def forget(self) -> None:
        """Nothing was given beside the rows."""


def _recorded() -> Mapping[str, float]:
    """Keep the lives of 38 seconds, and seal them: one file."""
    source = _Prepared()
    with tempfile.TemporaryDirectory(prefix="pidscope-bench-") as place:
        ring = RingWriter(f"{place}/ring", Limits(64 << 20))
        begun = time.process_time_ns()
        recorder = Recorder(source, ring, source.clocks, {"boot_id": "made"})
        while source.left:
            recorder.step()
        ring.close()
        spent = time.process_time_ns() - begun
        (sealed,) = Path(f"{place}/ring").iterdir()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        size = sealed.stat().st_size
    return {CPU: spent / 1e3 / recorder.lives, BYTES: size / recorder.lives, MEMORY: memory}


def measure_recorder() -> Taken:
    """What follows the drain: a second's lives are written each second, and sealed at the end."""
    return figures_in_turn({RECORDED: _recorded}, repetitions=5)


_LEAST, _MOST = name(_SIZES[0]), name(_SIZES[-1])
LOOKUP_ROWS = [
    *(Asked(f"look-up in {name(it)}", "ms", name(it), NOTHING, figure=CPU) for it in _SIZES),
    Asked("that in the greatest", "ms", _MOST, goal=Goal(60), by=By.VALUE, figure=CPU),
    Asked("that, as rings grow", "ms", _MOST, _LEAST, Goal(1.5), figure=CPU),
    Asked("its memory", "MB", _MOST, goal=Goal(30), by=By.VALUE, figure=MEMORY),
]
ANNOTATE_ROWS = (
    Asked(f"a line, {GREATEST:,} lives", "us", ANNOTATED, "", Goal(60), By.VALUE, CPU),
    Asked("memory", "MB", ANNOTATED, "", Goal(64), By.VALUE, MEMORY),
)
RECORDER_ROWS = (
    Asked("a life, written and sealed", "us", RECORDED, "", Goal(1.43), By.VALUE, CPU),
    Asked("a life once sealed", "bytes", RECORDED, "", Goal(40), By.VALUE, BYTES),
)
