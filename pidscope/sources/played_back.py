"""An events recording as a source: played back for a watch, or its tables for what lists."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pidscope.containers.container import Chain, Container
from pidscope.errors import NotKnown, RecordingError, UsageError
from pidscope.escape import printable
from pidscope.events import Event, ForkFailed
from pidscope.history.event_file import EventFile
from pidscope.history.listed_proc import ListedProc
from pidscope.history.listing_json import BEGIN, END, Listing, read_listing
from pidscope.history.replayed_session import replayed_session
from pidscope.history.replayed_world import Head, ReplayedWorld, parse_head
from pidscope.limits.tasks_limit import MAX, Amount, TasksLimit
from pidscope.session.session import Listener, Session
from pidscope.sources.listed import Around, Listed
from pidscope.sources.options import SIMULATED
from pidscope.terminal import warn
from pidscope.wire.hooks import AUTO, TRACEPOINT

if TYPE_CHECKING:
    from pidscope.limits.bounds import Everyone, Facts
    from pidscope.query.ended import History
    from pidscope.snapshot import ProcReading
    from pidscope.sources.command import Stop
    from pidscope.sources.watch import Before


def expect_alone(args: argparse.Namespace) -> None:
    """Raise UsageError for options that do not go with a recording."""
    given = [
        ("--probes", getattr(args, "probes", AUTO) != AUTO),
        ("--no-cache", getattr(args, "no_cache", False)),
        ("--proc", args.proc is not None),
    ]
    for option, it in given:
        if it:
            raise UsageError(f"{option} is this host's: it does not go with a recording")
    if args.command is not None:
        raise UsageError("a recording runs no CMD: nothing may stand behind --")


def open_events(path: str) -> EventFile:
    """Open an events recording; raises NotKnown: there is none; UsageError, RecordingError."""
    if os.path.isdir(path):  # noqa: PTH112
        raise UsageError(
            f"{path} is a directory: a ring holds lives, which cannot be played back",
            "ask it with lookup --at TIME or annotate",
        )
    try:
        return EventFile(path)
    except FileNotFoundError:
        raise NotKnown(
            f"nothing was recorded: there is no {path}",
            f"record it, as root: pidscope record --events {path}",
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


class EventsHost:
    """A recording for `watch` and `verify`, as `pidscope.sources.watch.LiveHost` is for a host.

    Raises NotKnown, UsageError, RecordingError.
    """

    duration_s = math.inf
    is_played_back: Literal[True] = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open_events(path)
        self._value = self._file.head
        self._head = _head(path, self._value)
        self._why: Mapping[str, Any] = {}  # what was read because of the last failed fork

    @property
    def is_simulated(self) -> bool:
        """Whether it is of a model kernel, in which no task is in a container."""
        return self._head.way == SIMULATED

    @contextlib.contextmanager
    def open(
        self, listener: Listener, judged: bool, steps: bool, before: Before = lambda _: None
    ) -> Iterator[Session]:
        """Begin where the recorder began; raises NotKnown, RecordingError.

        Args:
            judged: `verify` will go on to the comparison at the end.
            steps: intermediate events are reported.
            before: gets the session before it has a table.
        """
        if steps and not self._head.steps:
            raise NotKnown(f"{self._path}: intermediate events were not recorded")
        world = ReplayedWorld(self._path, self._head, self._file.pieces(), steps)

        def hear(event: Event, session: Session) -> None:
            self._why = world.note("fork", event) if isinstance(event, ForkFailed) else {}
            listener(event, session)

        session = replayed_session(world, hear)
        before(session)
        session.begin()
        world.look_for_end()
        yield session

    def wait(self, session: Session, stop: Stop | None = None, rest_s: float = math.inf) -> None:
        """Go on to the recorder's next step."""
        _world(session).step()

    def now_ns(self, session: Session) -> int:
        """CLOCK_BOOTTIME of the recorder's step."""
        return _world(session).present_ns

    def play(self, session: Session) -> None:
        """Play to the comparison with /proc at the end; raises NotKnown: there is none."""
        world = _world(session)
        while not world.ended:
            if session.suspect:
                session.repair()
            session.pump()
            world.step()
        session.pump()
        world.expect_judged()

    def missing(self, session: Session) -> list[str]:
        """Return what of its events is missing, in lines; empty: nothing is."""
        world = _world(session)
        lines = [f"{self._path}: {why}" for why in [*world.gaps, *filter(None, [world.cut])]]
        return [printable(line) for line in [*lines, *self._file.damaged]] if lines else []

    def title(self, way: str) -> str:
        """``live by fentry, played back``."""
        return f"{printable(self._head.title)}, played back"

    def listed(self) -> Listed:
        """What /proc showed at the recorder's begin; raises NotKnown."""
        return _listed(self._path, self._file, self._value, BEGIN)

    def skip(self) -> bool:
        """Nothing happens before its begin."""
        return False

    def counted(self, by: int) -> Sequence[TasksLimit]:
        """RLIMIT_NPROC of a task's user and threads-max, as the recorder read them."""
        return _limits(self._why.get("counted")) or ()

    def cgroups(self, cgroup_id: int, by: int) -> Sequence[TasksLimit] | None:
        """The limits of a cgroup and of those above it, as the recorder read them."""
        return _limits(self._why.get("cgroups"))

    def chain(self, tid: int, ticks: int) -> Chain:
        """Return what holds for a model kernel; else `expect_no_owners` has refused to ask."""
        return ()

    def names(self, chains: Mapping[int, Chain]) -> Mapping[int, Chain]:
        """The same."""
        return chains

    def expect_no_owners(self) -> None:
        """Raise UsageError: the containers of what was born meanwhile are not recorded."""
        if not self.is_simulated:
            raise UsageError(
                "--by where needs the container of each new namespace, which an events recording "
                "does not have",
                "--by comm, or --in WHERE for one that was there at its begin",
            )


class _PlayedListing(Listed):
    """What /proc showed when it was recorded."""

    @property
    def _listing(self) -> Listing:
        assert isinstance(self.proc, ListedProc)
        return self.proc.listing

    def containers(self, cgroups: Mapping[int, bytes] | None) -> Around:
        """Return the containers around each process, by the names that they had then."""
        it = self._listing
        if cgroups is None:
            return Around(None)
        for note in it.notes:
            warn(printable(note))
        return Around(it.chains, it.said, notes=it.notes)

    def unknown(self, reading: ProcReading, around: Around) -> Around:
        """Return the same: the recorder has done it."""
        return around

    def stopped(self) -> Sequence[Container]:
        """Return none: only what ran was recorded."""
        return ()


def played_listing(path: str, recorded: bool) -> Listed:
    """Return what /proc showed at the recorder's end; raises NotKnown, RecordingError.

    ``recorded``: with the tasks that had ended by then.
    """
    with open_events(path) as file:
        listed = _listed(path, file, file.head, END)
    return listed._replace(record=_History(path)) if recorded else listed


def _listed(path: str, file: EventFile, head: Mapping[str, Any], at: str) -> Listed:
    listing = _listing(path, file, at)
    boot_id, host = head.get("boot_id"), head.get("host")
    proc = ListedProc(listing, boot_id if isinstance(boot_id, str) else None)

    def facts(number: int, everyone: Everyone) -> Facts | None:
        raise NotKnown(f"{path}: the limits of forks were not recorded")

    name = printable(host) if isinstance(host, str) else "?"
    return _PlayedListing(proc, path, "recording", name, proc.read_all, facts)


def _listing(path: str, file: EventFile, at: str) -> Listing:
    listing = read_listing(file, at)
    if listing is None:
        when = "at its end: its recorder was killed, or goes on" if at == END else "at its begin"
        raise NotKnown(
            f"{path}: no reading of all tasks {when}",
            f"pidscope watch --source {path} shows what it has" if at == END else "",
        )
    return listing


class _History:
    """A `pidscope.query.ended.History` of what ended while it was recorded."""

    is_slow = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._played: History | None = None
        self._missing = ""

    @property
    def missing(self) -> str:
        """Why it may not know what had a number; empty: it knows all."""
        history = self._record()
        return self._missing or history.missing

    def lives(self, ns: int, number: int) -> Any:
        """The lives that had ``number`` in the namespace with this inum, the latest first."""
        return self._record().lives(ns, number)

    def _record(self) -> History:
        if self._played is None:
            self._played, self._missing = _play(self._path)
        return self._played


def _play(path: str) -> tuple[History, str]:
    """Play a recording to its end; return what ended, and why that may not be all."""
    from pidscope.query.ended import Ended, Record  # hardly any answer needs it

    ended, host = Ended(), EventsHost(path)

    def listener(event: Event, session: Session) -> None:
        if session.table is not None:
            ended.add(event, session.table)

    with host.open(listener, judged=False, steps=False) as session:
        world = _world(session)
        while not world.ended:
            session.pump()
            world.step()
        session.pump()
        assert session.table is not None
        missing = "" if host.is_simulated else "only what ended while it was recorded is known"
        if host.missing(session) or session.stream.lost:
            missing = "a part of what was recorded is missing"
        if world.way == TRACEPOINT:
            missing = "in tracepoint mode the recording does not show when a number was let go"
        return Record(session.table, ended), missing


def _world(session: Session) -> ReplayedWorld:
    assert isinstance(session.world, ReplayedWorld)
    return session.world


def _head(path: str, value: Mapping[str, Any]) -> Head:
    try:
        return parse_head({**value, "way": value.get("mode")})
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None


def limit_json(limit: TasksLimit) -> list[Any]:
    """Return a limit as the recorder keeps it."""
    return ["max" if it == MAX else it for it in limit]


def _limits(value: Any) -> list[TasksLimit] | None:
    if not isinstance(value, list):
        return None
    return [it for it in map(_limit, value) if it is not None]


def _limit(value: Any) -> TasksLimit | None:
    if not isinstance(value, list) or len(value) != len(TasksLimit._fields):
        return None
    of, most, current, name, *others = value
    numbers = (current, *others)
    if not (isinstance(of, str) and isinstance(name, str) and all(map(_may_be_count, numbers))):
        return None
    bound: Amount = MAX if most == "max" else most if _may_be_count(most) else None
    return TasksLimit(of, bound, current, name, *others)


def _may_be_count(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)
