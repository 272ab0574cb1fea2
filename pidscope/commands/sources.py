"""``--source``: which world a command looks at."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pidscope.commands.running import Reader
from pidscope.errors import UsageError
from pidscope.hooks import AUTO, TRACEPOINT, WAYS
from pidscope.procfs import ProcFs
from pidscope.session import Listener, Session

if TYPE_CHECKING:
    from pidscope.simulated.stage import Stage

SIMULATED = "simulated"
SCENARIOS = """\
scenarios, for --source simulated[:SCENARIO], which needs no privilege:
  containers     two containers, each with its own PID 17 (the default)
  nested         a container in a container in a container, and who joins one
  session        a number that outlives its process
  reuse          the same number again, for another process
  exec-thread    exec by a thread that is not the leader
  fork-bomb      a fork bomb, and the limit that stops it
  dying-init     the init of a namespace is killed
  random[:SEED]  2,000 steps of everything
  FILE           your own: with a / in its name, or .scenario at its end
"""
SEE_SCENARIOS = "pidscope --help lists the scenarios of --source simulated[:SCENARIO]."


def add_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--source``; ``default`` is ``proc`` or ``live``."""
    parser.add_argument(
        "--source",
        default=default,
        metavar="SOURCE",
        help=f"{default} (default) or simulated[:SCENARIO]",
    )


def add_probes(parser: argparse.ArgumentParser) -> None:
    """Add ``--probes``, for what watches a kernel."""
    parser.add_argument(
        "--probes",
        default=AUTO,
        choices=(AUTO, *WAYS),
        help="where the programs sit: the best that works here (default), or one",
    )


def add_proc(parser: argparse.ArgumentParser) -> None:
    """Add ``--proc``."""
    parser.add_argument(
        "--proc", type=Path, metavar="PATH", help="another mount of /proc, such as the host's"
    )


def procfs_of(args: argparse.Namespace) -> ProcFs:
    """Return the /proc that ``--proc`` names."""
    return ProcFs(args.proc or Path("/proc"))


def expect_no_proc(args: argparse.Namespace) -> None:
    """Raise UsageError for ``--proc`` where the source has a /proc of its own."""
    if args.proc is not None:
        raise UsageError("--proc is this host's: it does not go with --source simulated")


def scenario_of(args: argparse.Namespace, default: str) -> str | None:
    """Return the SCENARIO of ``--source``, perhaps empty; None: the default source was chosen.

    Raises:
        UsageError: there is no such source, or it does not run a CMD.
    """
    source: str = args.source
    kind, colon, scenario = source.partition(":")
    if source == default:
        return None
    if kind != SIMULATED or (colon and not scenario):
        hint = "watch and verify have it" if source == "live" else ""
        raise UsageError(
            f"--source {source!r}: this command knows {default} and simulated[:SCENARIO]", hint
        )
    if args.command is not None:
        raise UsageError("a simulated kernel runs no CMD: nothing may stand behind --")
    return scenario


def stage_of(scenario: str) -> Stage:
    """Boot a simulated kernel; raises UsageError, ScenarioError."""
    from pidscope.simulated.stage import set_stage  # live paths must not pay for the model

    return set_stage(scenario)


class WatchedWorld(Protocol):
    """What watch and verify do differently from world to world."""

    duration_s: float
    """How long verify takes if nothing else is said."""

    def open(self, listener: Listener, judged: bool) -> contextlib.AbstractContextManager[Session]:
        """Start exactly. ``judged``: /proc will be read, and others are to go on meanwhile."""

    def title(self) -> str:
        """How it is watched, for the head of a stream."""

    def boot_s(self) -> float:
        """When it booted, in seconds since the epoch."""

    def number_of(self, pid: int) -> int:
        """The number in the initial namespace of our child that is ``pid`` to us."""

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

    @contextlib.contextmanager
    def open(self, listener: Listener, judged: bool) -> Iterator[Session]:
        """Load the programs and start; raises HostError."""
        from pidscope.live.session import live_session  # ctypes, mmap, the programs' loader

        with live_session(self._procfs, listener, self._probes) as session:
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
    def open(self, listener: Listener, judged: bool) -> Iterator[Session]:
        """Start: before the first step; if ``judged``, in the middle of them.

        Raises ScenarioError.
        """
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
        return LiveHost(procfs_of(args), args.probes)
    expect_no_proc(args)
    if args.probes != AUTO:
        raise UsageError("--probes is this host's: it does not go with --source simulated")
    return SimulatedHost(scenario)
