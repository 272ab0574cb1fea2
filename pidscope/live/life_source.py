"""This kernel's lives for a recorder: what ended, who lives, and the paths of their cgroups."""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.live.alive import Living
from pidscope.live.cgroup_paths import CgroupPaths
from pidscope.live.life_program import LIVES as LIVES_KEPT
from pidscope.live.life_program import LifeProgram
from pidscope.live.refused import Refused
from pidscope.live.slots import LifeReader
from pidscope.live.supply import Supply
from pidscope.snapshot import TaskReading
from pidscope.wire.hooks import AUTO, WAYS
from pidscope.wire.lives import LIVES, UID_UNKNOWN, Class, Life, LifeKind, offset_of, pack_life

Runs = list[tuple[Class, bytes]]
_CGROUP = offset_of(LIVES, "cgroup_id")
_KNOWN = 16_384  # cgroups whose paths are kept in mind


class LifeWalk:
    """The tasks that live, and the paths of cgroups; raises HostError, BtfError.

    Args:
        supply: gives the compiled program.
        threads: tasks that are no process's leader, too.
    """

    def __init__(self, supply: Supply, threads: bool) -> None:
        self._threads = threads
        self._procfs = ProcFs()
        self._known: OrderedDict[int, None] = OrderedDict()
        with contextlib.ExitStack() as undo:
            self._living = Living(supply)
            undo.callback(self._living.close)
            self._paths = CgroupPaths()
            undo.callback(self._paths.close)
            self._close = undo.pop_all()

    def rows(self) -> Runs:
        """Return every task that lives; those that the walk leaves out are read from /proc."""
        begun_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        runs = self._living.rows()
        walked = {number for of, rows in runs for number in _words(of, rows, "tgid")}
        others = (number for number in self._procfs.numbers() if number not in walked)
        lives = [life for number in others for life in self._left_out(number)]
        # What was born during the walk did not live at the time that it is of.
        there = (it for it in lives if it.start_ns is not None and it.start_ns <= begun_ns)
        return runs + [(of, row) for of, row in map(pack_life, there)]

    def _left_out(self, number: int) -> Iterator[Life]:
        """Yield the tasks of a process that the walk does not show."""
        for tid in self._procfs.threads(number) if self._threads else [number]:
            task = self._procfs.read(tid)
            if task is not None and task.start_ticks is not None and task.status.state not in "ZX":
                cgroup_id = self._paths.id_of(number)
                yield _life(task, task.start_ticks, self._procfs.ns_chain(tid), cgroup_id)

    def paths(self, runs: Iterable[tuple[Class, bytes]]) -> Mapping[str, Any]:
        """Return the paths of the cgroups of these rows that were not returned before."""
        ids = {number for of, rows in runs for number in _cgroups(of, rows)}
        found = {}
        for number in ids - self._known.keys():
            path = self._paths.path(number)
            if path is not None:
                found[str(number)] = path
                self._known[number] = None
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return {"cgroups": found}

    def forget(self) -> None:
        """Let `paths` return them all once more, for a new file."""
        self._known.clear()

    def close(self) -> None:
        """Take everything out of the kernel."""
        self._close.close()


class LifeSource:
    """A `pidscope.history.recorder.Source` of this kernel.

    Args:
        way: a probe mode, or ``auto``: the best that works.
        threads: lives of threads are recorded, too.
        supply: gives the compiled programs.

    Raises:
        HostError: the kernel refuses it, or nothing can be compiled.
    """

    def __init__(self, way: str, threads: bool, supply: Supply) -> None:
        self._program = life_program(way, threads, supply)
        with contextlib.ExitStack() as undo:
            undo.callback(self._program.close)
            self._reader = LifeReader(self._program)
            undo.callback(self._reader.close)
            self._walk = LifeWalk(supply, threads)
            undo.callback(self._walk.close)
            self._close = undo.pop_all()

    @property
    def way(self) -> str:
        """How it is probed."""
        return self._program.way

    def take(self) -> Runs:
        """Return what has ended since the last time."""
        return self._reader.take()

    def living(self) -> Runs:
        """Return every task that lives."""
        return self._walk.rows()

    def lost(self) -> int:
        """Return how many records were lost, and runs of programs were skipped."""
        return self._reader.lost + self._program.skipped()

    def unfinished(self) -> bool:
        """Whether records that were begun before the last `take` are not written yet."""
        return self._reader.unfinished > 0

    @property
    def lags(self) -> bool:
        """Whether a record may come a moment after it was filled: a ring gives it a place then."""
        return not self._program.slots

    def paths(self, runs: Iterable[tuple[Class, bytes]]) -> Mapping[str, Any]:
        """Return the paths of the cgroups of these rows that were not returned before."""
        return self._walk.paths(runs)

    def forget(self) -> None:
        """Let `paths` return them all once more, for a new file."""
        self._walk.forget()

    def close(self) -> None:
        """Take everything out of the kernel."""
        self._close.close()


def life_program(
    way: str, threads: bool, supply: Supply, lives: int = LIVES_KEPT, ways: Sequence[str] = WAYS
) -> LifeProgram:
    """Return the first probe mode's that works; raises HostError."""
    reasons = []
    for each in ways if way == AUTO else (way,):
        try:
            return LifeProgram(each, threads=threads, supply=supply, lives=lives)
        except Refused as error:
            reasons.append(f"{each}: {error}")
    raise HostError("this kernel refuses the life stream", "\n".join(reasons))


def _life(
    task: TaskReading, start_ticks: int, chain: Sequence[tuple[int, int]], cgroup_id: int
) -> Life:
    """Return a task as /proc shows it; its start is as exact as that, to a clock tick."""
    status = task.status
    start_ns = start_ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    return Life(
        kind=LifeKind.PROCESS if status.pid == status.tgid else LifeKind.THREAD,
        numbers=status.ns_pid,
        inums=tuple(inum for inum, _ in reversed(chain)),
        start_ns=start_ns,
        end_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        tgid=status.tgid,
        leader_start_ns=start_ns,
        ppid=status.ppid,
        parent_start_ns=0,
        pgid=status.ns_pgid[0],
        sid=status.ns_sid[0],
        comm=status.name[:15],
        uid=UID_UNKNOWN,
        status=0,
        cgroup_id=cgroup_id,
        joined=None,
    )


def _words(of: Class, rows: bytes, name: str) -> list[int]:
    return memoryview(rows).cast("I")[offset_of(of, name) // 4 :: of.size // 4].tolist()


def _cgroups(of: Class, rows: bytes) -> list[int]:
    return memoryview(rows).cast("Q")[_CGROUP // 8 :: of.size // 8].tolist()
