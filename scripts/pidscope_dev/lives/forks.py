"""Many forks on this kernel: the life stream against the kernel's own count of them.

``processes`` of /proc/stat counts every task born since boot, and is read before and behind the
stream's position, so others may fork meanwhile: the stream's births lie between two differences.
The forks of one loop have one parent, so of those the counts are exact.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from contextlib import closing
from typing import NamedTuple

from pidscope.errors import PidscopeError
from pidscope.history.lives import Block, Columns
from pidscope.host.proc import ProcFs
from pidscope.live.life_program import LifeProgram
from pidscope.live.slots import LifeReader
from pidscope.wire.lives import LifeFlag, LifeKind
from pidscope_dev.bench.programs import compiled

_POLL_S = 0.1


class Counted(NamedTuple):
    """What was counted; ``good`` if no two counts differ."""

    asked: int
    births: int  # all that came
    lives: int  # rows
    exits: int  # those of them that are a task's exit
    least: int  # births, by /proc/stat
    most: int
    loop_births: int  # of the loop's children
    loop_lives: int
    lost: int
    skipped: int

    @property
    def good(self) -> bool:
        """Nothing is missing, and nothing is there twice."""
        exact = self.loop_births == self.loop_lives == self.asked
        slack = os.cpu_count() or 1  # forks that are counted, and whose hook comes next
        between = self.least - slack <= self.births <= self.most + slack
        return exact and between and not self.lost and not self.skipped


def count(forks: int) -> Counted:
    """Let one process fork so often, and count; raises PidscopeError."""
    with (
        compiled("loops") as loops,
        closing(LifeProgram(births=True, execs=True)) as program,
        closing(LifeReader(program)) as reader,
    ):
        counts = _Counts(program)
        early = _forks()
        counts.add(reader)
        counts.clear()
        before = _forks()
        with subprocess.Popen([loops, "fork", str(forks)], stdout=subprocess.DEVNULL) as loop:
            ended = threading.Event()
            while not ended.wait(_POLL_S):
                counts.add(reader)
                if loop.poll() is not None:
                    ended.set()
        if loop.returncode:
            raise PidscopeError(f"loops ended with {loop.returncode}")
        behind = _forks()
        counts.add(reader)
        late = _forks()
        return Counted(
            forks,
            *(counts.births, counts.lives, counts.exits, behind - before, late - early),
            *(counts.births_of[loop.pid], counts.lives_of[loop.pid]),
            *(reader.lost, program.skipped()),
        )


class _Counts:
    """Counts of rows, by columns."""

    def __init__(self, program: LifeProgram) -> None:
        self._columns = {stream.of.name: Columns(stream.of) for stream in program.streams}
        self.clear()

    def clear(self) -> None:
        self.births = self.lives = self.exits = 0
        self.births_of: Counter[int] = Counter()  # by parent
        self.lives_of: Counter[int] = Counter()

    def add(self, reader: LifeReader) -> None:
        for of, rows in reader.take():
            for block in self._columns[of.name].add(rows):
                self._add(block)
        for columns in self._columns.values():
            self._add(columns.flush())

    def _add(self, block: Block) -> None:
        if block.of.births:
            self.births += block.rows
            self.births_of.update(block.columns["ppid"])
            return
        self.lives += block.rows
        kinds, flags = block.columns["kind"], block.columns["flags"]
        self.exits += sum(
            count
            for (kind, flag), count in Counter(zip(kinds, flags)).items()
            if kind != LifeKind.EXECED and not flag & LifeFlag.BY_THREAD
        )
        self.lives_of.update(block.columns["ppid"])


def _forks() -> int:
    forks = ProcFs().forks()
    if forks is None:
        raise PidscopeError("/proc/stat has no count of processes")
    return forks
