"""One watch that counts forks in the kernel: its start, what it counts, and what it misses.

There is no table and no snapshot of all tasks: a fork is counted by what its own task shows at that
moment. So a start is a reading of the counters, and the counts since then are the difference.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import offsets_of_reader
from pidscope.live.count_program import CountProgram, Counts
from pidscope.live.kept_programs import kept_programs
from pidscope.live.program import expect_root
from pidscope.live.refused import Refused
from pidscope.live.selftest import exercise_errors
from pidscope.live.session import initial_ns, open_in_mode, unobserved
from pidscope.live.supply import Supply
from pidscope.wire.counts import Counted, Init
from pidscope.wire.hooks import AUTO

_SILENT = "attached, but told nothing when it was tried"


class Missed(NamedTuple):
    """What is in no row.

    Attributes:
        others: births and failed forks of keys that did not fit.
        skipped: runs of the programs that the kernel skipped, each of a fork, or of what a number 1
            did; as far as it counts them: since 5.12.
        lost: acts of number 1s that were not recorded.
    """

    others: Counted = Counted()
    skipped: int = 0
    lost: int = 0


class Counting:
    """Counts since the start.

    Attributes:
        begun_ns: CLOCK_BOOTTIME before the programs were attached, by the initial time namespace.
        root_ns: inum of the initial PID namespace.
        ns_per_tick, start_offset_ns: of start times in /proc (`pidscope.host.ticks`).
    """

    def __init__(self, program: CountProgram, procfs: ProcFs, begun_ns: int) -> None:
        self._program = program
        self.procfs = procfs
        self.root_ns = initial_ns(procfs)
        self.ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        self._offset_ns, self.start_offset_ns = offsets_of_reader(procfs)
        self.begun_ns = begun_ns - self._offset_ns
        self._skipped = program.skipped()
        self._before = program.read()

    @property
    def way(self) -> str:
        """``fentry``, ``kprobe`` or ``tracepoint``."""
        return self._program.way

    @property
    def sees_failures(self) -> bool:
        """Whether failed forks are counted."""
        return self._program.sees_failures

    @property
    def missing(self) -> list[str]:
        """What it cannot observe, in the words of a watch that streams."""
        return unobserved(self.way, self._program.missing)

    @property
    def ring_fd(self) -> int | None:
        """A descriptor that can be read from when a number 1 has done something."""
        return self._program.ring_fd

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME of the initial time namespace."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._offset_ns

    def tasks(self) -> int:
        """How many tasks /proc lists now, threads too."""
        return sum(len(self.procfs.threads(number)) for number in self.procfs.numbers())

    def counts(self) -> Counts:
        """Return what was counted since the start; raises OSError."""
        now, before = self._program.read(), self._before
        none = Counted()
        grown = {key: it.less(before.by_key.get(key, none)) for key, it in now.by_key.items()}
        return Counts(
            {key: it for key, it in grown.items() if any(it)},
            now.others.less(before.others),
            _grown(now.errors, before.errors),
        )

    def missed(self) -> Missed:
        """Return what is in no row, without reading the rows; raises OSError."""
        others = self._program.others().less(self._before.others)
        return Missed(others, self._program.skipped() - self._skipped, self._program.lost())

    def inits(self) -> Iterator[Init]:
        """Yield what number 1s did since the last time; raises WireError."""
        return self._program.inits()


def _grown(now: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    grown = {key: count - before.get(key, 0) for key, count in now.items()}
    return {key: count for key, count in grown.items() if count}


@contextlib.contextmanager
def live_counting(
    procfs: ProcFs,
    by_namespace: bool,
    probes: str = AUTO,
    supply: Supply | None = None,
    phase: Callable[[str], None] = lambda _: None,
) -> Iterator[Counting]:
    """Load the programs, count from here on, and take everything out of the kernel at the end.

    ``phase`` gets what it does next.

    Raises:
        HostError: this host cannot do it, with the reason.
    """
    expect_root()
    initial_ns(procfs)
    supply = supply or Supply(kept_programs())
    begun_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def open_in(way: str) -> CountProgram:
        phase(f"loading the programs ({way})")
        program = CountProgram(way, by_namespace, supply)
        phase(f"testing the hooks ({way})")
        return self_tested(program)

    program = open_in_mode(open_in, probes, supply)
    try:
        supply.forget_btf()
        yield Counting(program, procfs, begun_ns)
    finally:
        program.close()


def self_tested(program: CountProgram) -> CountProgram:
    """Let a fork succeed and one fail, and look if both are counted.

    Raises:
        Refused: births are not counted; the program is out of the kernel.
    """
    try:
        before = program.read()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        refused = exercise_errors()
        now = program.read()
        if _births(now) == _births(before):
            raise Refused(f"task_newtask: {_SILENT}")
        if program.sees_failures and refused and now.errors == before.errors:
            program.miss_failures(_SILENT)
    except BaseException:
        program.close()
        raise
    return program


def _births(counts: Counts) -> int:
    rows = (*counts.by_key.values(), counts.others)
    return sum(row.processes + row.threads for row in rows)
