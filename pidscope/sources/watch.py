"""The worlds that watch and verify can look at: this host's kernel, or a model of one."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from pidscope.containers.container import Chain
from pidscope.errors import NotFound, UsageError
from pidscope.host.proc import ProcFs
from pidscope.limits.failure import TasksLimit
from pidscope.session.session import Listener, Session
from pidscope.sources.command import Reader, expect_command
from pidscope.sources.options import expect_no_proc, procfs_of, scenario_of, stage_of
from pidscope.wire.hooks import AUTO, TRACEPOINT, WAYS

if TYPE_CHECKING:
    from pidscope.limits.pids_files import CgroupFiles
    from pidscope.limits.task_counts import TaskCounts
    from pidscope.sources.listing import Listed

T = TypeVar("T")


def add_probes(parser: argparse.ArgumentParser) -> None:
    """Add ``--probes``, for what watches a kernel."""
    parser.add_argument(
        "--probes",
        default=AUTO,
        choices=(AUTO, *WAYS),
        help="where the programs sit: the best that works here (default), or one",
    )


class WatchedWorld(Protocol):
    """What watch and verify do differently from world to world."""

    duration_s: float
    """How long verify takes if nothing else is said."""

    def open(
        self, listener: Listener, judged: bool, steps: bool
    ) -> contextlib.AbstractContextManager[Session]:
        """Start exactly.

        ``judged``: /proc will be read, and others are to go on meanwhile; ``steps``: the single
        steps are told.
        """

    def title(self) -> str:
        """How it is watched, for the head of a stream."""

    def boot_s(self) -> float:
        """When it booted, in seconds since the epoch."""

    def number_of(self, pid: int) -> int:
        """The number in the initial namespace of our child that is ``pid`` to us."""

    def listed(self) -> Listed:
        """What its /proc shows now; raise HostError."""

    def when_there(self, look: Callable[[], T]) -> T:
        """Return what ``look`` does once that does not raise NotFound, before it is opened."""

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """RLIMIT_NPROC of a task's user and threads-max, as far as they hold and can be read."""

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """The limits of a cgroup and of those above it; None: they cannot be read."""

    def chain(self, tid: int, ticks: int) -> Chain:
        """The containers around a task now; none: it is in none, or not that of this start."""

    def goes_on(self) -> bool:
        """Whether anything can still happen."""

    def wait(self) -> None:
        """Let time pass until something may have happened; BrokenPipeError: nobody reads us."""

    def rest(self) -> None:
        """Let nothing happen any more, where that can be had."""


class LiveHost:
    """This host's kernel."""

    duration_s = 10.0

    def __init__(self, procfs: ProcFs, probes: str) -> None:
        self._procfs = procfs
        self._reader = Reader()
        self._probes = probes
        self._way = ""
        self._cgroups: CgroupFiles | None = None
        self._counts: TaskCounts | None = None

    @contextlib.contextmanager
    def open(self, listener: Listener, judged: bool, steps: bool) -> Iterator[Session]:
        """Load the programs and start; raises HostError."""
        from pidscope.live.session import live_session  # ctypes, mmap, the programs' loader

        with live_session(self._procfs, listener, self._probes, steps=steps) as session:
            self._way = session.world.way
            yield session

    def title(self) -> str:
        """``live by fentry``."""
        return f"live by {self._way}" + (", not complete" if self._way == TRACEPOINT else "")

    def boot_s(self) -> float:
        """From the clocks of this host, less what a time namespace adds to one of them."""
        offset_s = self._procfs.boottime_offset_ns() / 1e9
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - offset_s)

    def number_of(self, pid: int) -> int:
        """As the /proc tells it that is read; raises HostError, ProcError."""
        return self._procfs.number_of(pid)

    def listed(self) -> Listed:
        """This host's /proc; raises HostError."""
        from pidscope.sources.listing import listed_host  # a watch of everything does without

        return listed_host(self._procfs)

    def when_there(self, look: Callable[[], T]) -> T:
        """It is there or it is not."""
        return look()

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """As /proc tells; read now and then only."""
        if self._counts is None:
            from pidscope.limits.task_counts import TaskCounts  # hardly any fork fails

            self._counts = TaskCounts(self._procfs)
        return self._counts.limits(by)

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """As the cgroup file systems tell; read now and then only."""
        if self._cgroups is None:
            from pidscope.limits.pids_files import CgroupFiles  # hardly any fork fails

            self._cgroups = CgroupFiles(self._procfs.root)
        return self._cgroups.limits(cgroup_id, by)

    def chain(self, tid: int, ticks: int) -> Chain:
        """As its cgroup tells, by ids: nobody is asked for names. ``ticks`` is field 22 of stat."""
        from pidscope.containers.rules import parse_cgroup  # hardly any watch does

        data = self._procfs.read_cgroup(tid)
        # If the start is still the same behind it, the cgroup was of the same task.
        mine = data is not None and self._procfs.start_ticks(tid) == ticks
        return parse_cgroup(data) if data is not None and mine else ()

    def goes_on(self) -> bool:
        """A host does."""
        return True

    def wait(self) -> None:
        """Wait a moment; raises BrokenPipeError."""
        self._reader.wait()

    def rest(self) -> None:
        """A host does not."""


class SimulatedHost:
    """A model kernel, and the scenario that is played in it."""

    duration_s = math.inf

    def __init__(self, scenario: str) -> None:
        self._stage = stage_of(scenario)
        self._world = self._stage.world

    @contextlib.contextmanager
    def open(self, listener: Listener, judged: bool, steps: bool) -> Iterator[Session]:
        """Start: before the first step; if ``judged``, in the middle of them.

        Raises ScenarioError.
        """
        self._world.steps = steps
        session = Session(self._world, listener)
        if judged:
            for _ in range(self._stage.steps // 3):
                self._world.step()
            self._world.busy = True
        session.begin()
        yield session

    def title(self) -> str:
        """``simulated (NAME)``."""
        return f"simulated ({self._stage.name})"

    def boot_s(self) -> float:
        """Always the same."""
        return self._world.procfs.boot_time()

    def number_of(self, pid: int) -> int:
        """Nothing to translate: it runs no CMD."""
        return pid

    def listed(self) -> Listed:
        """What its /proc shows after the steps that were made."""
        from pidscope.sources.listing import listed_stage

        return listed_stage(self._stage)

    def when_there(self, look: Callable[[], T]) -> T:
        """Make steps until it is there, which nobody watches; raises NotFound, ScenarioError."""
        while True:
            try:
                return look()
            except NotFound:
                if not self._world.step():
                    raise
            ring = self._world.ring
            for _ in ring.drain(ring.position):
                pass

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """The model has no users, and room for any number of tasks."""
        return ()

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """As the model has them."""
        from pidscope.simulated.cgroups import pids_limits

        return pids_limits(self._world.kernel, cgroup_id)

    def chain(self, tid: int, ticks: int) -> Chain:
        """Nobody is in a container."""
        return ()

    def goes_on(self) -> bool:
        """Until the scenario ends."""
        return not self._world.ended

    def wait(self) -> None:
        """Make the next step; raises ScenarioError."""
        self._world.step()

    def rest(self) -> None:
        """Make no steps any more while /proc is read."""
        self._world.busy = False


def watched_world(args: argparse.Namespace) -> WatchedWorld:
    """The world that ``--source`` names; raises UsageError, ScenarioError, HostError."""
    scenario = scenario_of(args, "live")
    if scenario is None:
        if args.command is not None:
            expect_command(args.command)
        return LiveHost(procfs_of(args), args.probes)
    expect_no_proc(args)
    if args.probes != AUTO:
        raise UsageError("--probes is this host's: it does not go with --source simulated")
    return SimulatedHost(scenario)
