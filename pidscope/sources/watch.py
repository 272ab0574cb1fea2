"""What watch and verify can open: this host, or a model kernel with a scenario."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Callable, Literal, Union

from pidscope.containers.container import Chain
from pidscope.errors import HostError, UsageError
from pidscope.host.proc import ProcFs
from pidscope.limits.tasks_limit import TasksLimit
from pidscope.session.session import Listener, Session
from pidscope.sources.command import IDLE_MS, Reader, Stop, expect_command
from pidscope.sources.options import expect_no_proc, procfs_of, scenario_of, stage_of
from pidscope.sources.starting import Progress, add_no_cache, supply_of
from pidscope.terminal import warn
from pidscope.wire.hooks import AUTO, TRACEPOINT, WAYS

if TYPE_CHECKING:
    from pidscope.containers.rules import Rules
    from pidscope.limits.pids_files import CgroupFiles
    from pidscope.limits.task_counts import TaskCounts
    from pidscope.live.counting import Counting
    from pidscope.sources.listed import Listed
    from pidscope.sources.played_back import EventsHost


Before = Callable[[Session], None]
_HIDING = "mount one that does not (mount -t proc proc DIR), and name it with --proc DIR"


def add_probes(parser: argparse.ArgumentParser) -> None:
    """Add ``--probes`` and ``--no-cache``, for what watches a kernel."""
    parser.add_argument(
        "--probes",
        default=AUTO,
        choices=(AUTO, *WAYS),
        help="where the programs sit: the best that works here (default), or one",
    )
    add_no_cache(parser)


class LiveHost:
    """This host, not opened yet."""

    duration_s = 10.0
    """How long `pidscope verify` judges if the user names neither a duration nor a command."""
    is_played_back: Literal[False] = False

    def __init__(
        self, procfs: ProcFs, probes: str, no_cache: bool = False, quiet: bool = True
    ) -> None:
        self._procfs = procfs
        self._probes = probes
        self._no_cache = no_cache
        self._progress = Progress(quiet)
        self._reader = Reader()

    @contextlib.contextmanager
    def open(
        self, listener: Listener, judged: bool, steps: bool, before: Before = lambda _: None
    ) -> Iterator[Session]:
        """Load the programs and start exactly; raises HostError.

        Args:
            judged: the session will compare its table with /proc, which then may hide nothing.
            steps: the programs report the intermediate events.
            before: gets the session before it reads all tasks.
        """
        from pidscope.live.program import expect_root  # ctypes, mmap, the programs' loader
        from pidscope.live.session import live_session

        expect_root()
        self._procfs.mount()  # raises: it is of a namespace in which this process has no number
        hiding = self._procfs.hides() if judged else ""
        if hiding:
            raise HostError(f"{hiding}, so that nothing can be judged by it", _HIDING)
        opened = live_session(
            self._procfs,
            listener,
            self._probes,
            steps=steps,
            supply=supply_of(self._no_cache, self._progress),
            phase=self._progress.phase,
            before=before,
        )
        with contextlib.ExitStack() as stack:
            with self._progress.patient():
                session = stack.enter_context(opened)
            yield session

    @contextlib.contextmanager
    def count(self, by_namespace: bool) -> Iterator[Counting]:
        """Let the kernel count forks by PID namespace, or else by comm; raises HostError."""
        from pidscope.live.counting import live_counting  # as above
        from pidscope.live.program import expect_root

        expect_root()
        self._procfs.mount()  # as above
        counting = live_counting(
            self._procfs,
            by_namespace,
            self._probes,
            supply=supply_of(self._no_cache, self._progress),
            phase=self._progress.phase,
        )
        with contextlib.ExitStack() as stack:
            with self._progress.patient():
                counted = stack.enter_context(counting)
            yield counted

    def wait(self, session: Session, stop: Stop | None = None, rest_s: float = math.inf) -> None:
        """Let time pass until something may have happened; raises BrokenPipeError.

        That is `POLL_MS` after the next record, by when others have come, or when ``stop`` is asked
        or ``rest_s`` over; so a host at rest wakes this process once a second.
        """
        ready, stopped = session.world.ready_fd, stop.fd if stop is not None else None
        if ready is None or session.suspect:
            self._reader.wait()
            return
        fds = [ready] if stopped is None else [ready, stopped]
        if self._reader.wait_for(fds, max(0.0, min(IDLE_MS, rest_s * 1e3))) == [ready]:
            self._reader.wait()

    def now_ns(self, session: Session) -> int:
        """CLOCK_BOOTTIME."""
        return session.world.now_ns()

    def title(self, way: str) -> str:
        """``live by fentry``: how the host is watched, for the head of a stream."""
        return f"live by {way}" + (", not complete" if way == TRACEPOINT else "")

    def listed(self) -> Listed:
        """What /proc shows now; raises HostError."""
        from pidscope.sources.listed import listed_host  # a watch of everything does without

        return listed_host(self._procfs)

    def skip(self) -> bool:
        """Let something happen before the world is opened; False: that is not to be had."""
        return False

    @cached_property
    def _counts(self) -> TaskCounts:
        from pidscope.limits.task_counts import TaskCounts  # hardly any fork fails

        return TaskCounts(self._procfs)

    @cached_property
    def _cgroups(self) -> CgroupFiles:
        from pidscope.limits.pids_files import CgroupFiles  # hardly any fork fails

        return CgroupFiles(self._procfs)

    @cached_property
    def _rules(self) -> Rules | None:
        from pidscope.sources.own_rules import own_rules  # as above

        rules, faults = own_rules()
        for line in faults:
            warn(line)
        return rules

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """RLIMIT_NPROC of a task's user and threads-max, where they hold and can be read."""
        return self._counts.limits(by)

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """The limits of a cgroup and of those above it; None: they cannot be read."""
        return self._cgroups.limits(cgroup_id, by)

    def chain(self, tid: int, ticks: int) -> Chain:
        """The containers around the task that started at ``ticks`` (field 22 of stat), by ids.

        Empty: the task is in no container, or another task has its number.
        """
        from pidscope.containers.rules import parse_cgroup  # hardly any watch does

        data = self._procfs.cgroups_of([tid]).get(tid)
        # If the start is still the same behind it, the cgroup was of the same task.
        mine = data is not None and self._procfs.start_ticks(tid) == ticks
        return parse_cgroup(data, self._rules) if data is not None and mine else ()

    def names(self, chains: Mapping[int, Chain]) -> Mapping[int, Chain]:
        """The same with the names that the kubelet and the engines give now."""
        from pidscope.containers.names import name_containers  # hardly any watch does

        return name_containers(chains, self._procfs.host_root(), os.geteuid()).chains


class SimulatedHost:
    """A model kernel, and the scenario that is played in it; otherwise as `LiveHost`."""

    duration_s = math.inf
    is_played_back: Literal[False] = False

    def __init__(self, scenario: str) -> None:
        self._stage = stage_of(scenario)
        self._world = self._stage.world

    @contextlib.contextmanager
    def open(
        self, listener: Listener, judged: bool, steps: bool, before: Before = lambda _: None
    ) -> Iterator[Session]:
        """Start before the first step; if ``judged``, in the middle of them.

        Raises ScenarioError.
        """
        self._world.steps = steps
        session = Session(self._world, listener)
        if judged:
            for _ in range(self._stage.steps // 3):
                self._world.step()
            self._world.busy = True
        before(session)
        session.begin()
        yield session

    def wait(self, session: Session, stop: Stop | None = None, rest_s: float = math.inf) -> None:
        """Let the scenario make a step."""
        self._world.step()

    def now_ns(self, session: Session) -> int:
        """CLOCK_BOOTTIME of the model."""
        return session.world.now_ns()

    def title(self, way: str) -> str:
        """``simulated (NAME)``."""
        return f"{way} ({self._stage.name})"

    def listed(self) -> Listed:
        """What its /proc shows after the steps that were made."""
        from pidscope.sources.listed import listed_stage

        return listed_stage(self._stage)

    def skip(self) -> bool:
        """Make one step of which the session will learn nothing; raises ScenarioError."""
        went_on = self._world.step()
        self._world.ring.advance(self._world.ring.position - self._world.ring.consumed)
        return went_on

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """The model has no users, and room for any number of tasks."""
        return ()

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """As the model has them."""
        from pidscope.simulated.limits import pids_limits

        return pids_limits(self._world.kernel, cgroup_id)

    def chain(self, tid: int, ticks: int) -> Chain:
        """No task is in a container."""
        return ()

    def names(self, chains: Mapping[int, Chain]) -> Mapping[int, Chain]:
        """No container has one."""
        return chains


Host = Union[LiveHost, SimulatedHost, "EventsHost"]
"""What ``--source`` names; its `open` gives a session over a `pidscope.session.world.World`."""


def watched_host(args: argparse.Namespace) -> Host:
    """The host that ``--source`` names; raises UsageError, ScenarioError, HostError, NotKnown."""
    from pidscope.sources.options import is_recording

    if is_recording(args.source):
        from pidscope.sources.played_back import EventsHost, expect_alone  # most watches do without

        expect_alone(args)
        return EventsHost(args.source)
    scenario = scenario_of(args, "live")
    if scenario is None:
        if args.command is not None:
            expect_command(args.command)
        return LiveHost(procfs_of(args), args.probes, args.no_cache, quiet=False)
    expect_no_proc(args)
    for option, given in (("--probes", args.probes != AUTO), ("--no-cache", args.no_cache)):
        if given:
            raise UsageError(f"{option} is this host's: it does not go with --source simulated")
    return SimulatedHost(scenario)
