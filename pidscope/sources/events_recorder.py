"""Recording all events of a world: what a watch learns of it, and what /proc shows around that."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pidscope import __version__
from pidscope.errors import HostError, PidscopeError
from pidscope.events import Event, ForkFailed
from pidscope.history.event_writer import EventWriter
from pidscope.history.frames import Through
from pidscope.history.listing_json import BEGIN, END, Listing, listing_json
from pidscope.history.recorded_world import Log, RecordedWorld
from pidscope.host.proc_files import read_boot_id
from pidscope.query.view import View
from pidscope.session.session import Session
from pidscope.snapshot import ProcFiles
from pidscope.sources.command import Stop
from pidscope.sources.listed import Listed
from pidscope.sources.listing import read
from pidscope.sources.options import SIMULATED
from pidscope.sources.played_back import limit_json
from pidscope.sources.watch import Host
from pidscope.verify.verdicts import Tally

_EVERY_S = 1.0  # the most that a kill loses
_KEPT_S = 60.0
_EAGAIN = 11


class EventsRecorder:
    """One recording, from `open` on; it may be used once.

    Args:
        path: the new file.
        host: what is watched.
        clock: for the pieces, in seconds.

    Raises UsageError, HostError.
    """

    def __init__(self, path: str, host: Host, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._host, self._clock = path, host, clock
        self._log = Log(self._write)
        self._writer: EventWriter | None = None
        self._world: RecordedWorld
        self._written_s = self._kept_s = clock()

    @contextlib.contextmanager
    def open(self) -> Iterator[Session]:
        """Begin: the session is exact from there on; at the end, close the file."""
        try:
            opened = self._host.open(self._hear, judged=False, steps=True, before=self._begin)
            with opened as session:
                session.tells_all = False
                self._world.note("begun", {"at_ns": self._world.present_ns})
                yield session
        finally:
            if self._writer is not None:
                self._writer.close()

    def step(self, session: Session) -> None:
        """Begin the next step of the watch; what came before is written once a second.

        Once a minute the table is kept, from which a replay that lacks a part goes on.
        """
        if self._clock() - self._written_s >= _EVERY_S:
            self._write()
        self._world.step()
        due = self._clock() - self._kept_s >= _KEPT_S
        if due and session.table is not None and not session.suspect:
            self._world.keep_table(session.table)
            self._kept_s = self._clock()

    @property
    def rest_s(self) -> float:
        """The time to the next writing, in seconds."""
        return max(0.0, _EVERY_S - (self._clock() - self._written_s))

    @property
    def records(self) -> int:
        """How many records were written so far."""
        return 0 if self._writer is None else self._writer.records

    @property
    def present_ns(self) -> int:
        """CLOCK_BOOTTIME, asked for by the recorder itself."""
        return self._world.present_ns

    def list_end(self) -> None:
        """Keep what /proc shows at the end."""
        self._write()
        self._list(END)

    def judge(self, session: Session, finish: Callable[[Session, Tally], None]) -> Tally | None:
        """Compare with /proc as `verify` does at its end; None: this /proc hides something."""
        if self._hides():
            return None
        self._world.judge()
        tally = Tally()
        finish(session, tally)
        return tally

    def end(self) -> None:
        """Say that nothing is missing."""
        self._world.end()
        self._write()

    def _begin(self, session: Session) -> None:
        """Make the file, and let it keep what the session learns from here on."""
        session.watch(lambda world: RecordedWorld(world, self._log))
        assert isinstance(session.world, RecordedWorld)
        self._world = session.world
        through = self._through()
        head = {**self._head(through), **self._world.head(session.stream)}
        self._writer = EventWriter(self._path, head, through)
        self._list(BEGIN)

    def _head(self, through: Through) -> Mapping[str, Any]:
        system, simulated = os.uname(), self._world.way == SIMULATED
        monotonic_ns = through.boottime_ns if simulated else time.monotonic_ns()
        return {
            "host": SIMULATED if simulated else system.nodename,
            "boot_id": None if simulated else read_boot_id(),
            "kernel": None if simulated else f"{system.release} {system.machine}",
            "pidscope": __version__,
            "mode": self._world.way,
            "title": self._host.title(self._world.way),
            "clock": {**through._asdict(), "monotonic_ns": monotonic_ns},
        }

    def _through(self) -> Through:
        now_ns = self._world.present_ns
        return Through(now_ns, int(self._world.boot_s() * 1e9) + now_ns)

    def _write(self) -> None:
        self._written_s = self._clock()
        if self._writer is None or self._log.is_empty:
            return
        try:
            self._writer.add(self._log.take(), self._through())
        except OSError as error:
            raise HostError(
                f"{self._path}: {error.strerror}",
                "what was written before is kept, and can be played back",
            ) from error

    def _hear(self, event: Event, session: Session) -> None:
        """Read what explains a failed fork, as a watch does."""
        if isinstance(event, ForkFailed) and event.errno == _EAGAIN:
            cgroups = self._host.cgroups(event.cgroup_id, event.by)
            value = {
                "ts_ns": event.ts_ns,
                "by": event.by,
                "counted": [*map(limit_json, self._host.counted(event.by))],
                "cgroups": None if cgroups is None else [*map(limit_json, cgroups)],
            }
            self._world.note("fork", value)

    def _hides(self) -> bool:
        hides = getattr(self._host.listed().proc, "hides", None)
        return bool(hides is not None and hides())

    def _list(self, at: str) -> None:
        """Keep what /proc shows, and the names of containers; without, if it cannot be read."""
        assert self._writer is not None
        try:
            common, lists = listing_json(_listing(self._host.listed()))
        except (HostError, PidscopeError):
            return
        for part, items in lists.items():
            self._writer.add_list("listing", "items", items, at=at, part=part)
        self._writer.add_object({"type": "listing", "at": at, "part": "common", **common})


def _listing(listed: Listed) -> Listing:
    view = read(listed, threads=True, starts=True, containers=True)
    proc, reading = listed.proc, view.reading
    known = {it for it in (reading.mount.ns, *reading.snapshot.ns_parents) if it is not None}
    return Listing(
        reading,
        view.containers,
        view.said,
        view.printed,
        proc.kept(known, whole=False),
        {it.number: proc.children_ns(it.number) for it in reading.snapshot.tasks},
        _exiting(proc, view),
        proc.sees_cgroups_whole(),
        proc.last_pid(),
    )


def _exiting(proc: ProcFiles, view: View) -> dict[int, bool | None]:
    """Return whether the threads of each number 1 are exiting."""
    tasks = view.reading.snapshot.tasks
    inits = {it.status.ns_tgid[0] for it in tasks if it.status.ns_tgid[-1] == 1}
    return {it.number: proc.is_exiting(it.number) for it in tasks if it.status.ns_tgid[0] in inits}


def follow(
    recorder: EventsRecorder,
    session: Session,
    host: Host,
    stop: Stop,
    going_on: Callable[[], bool],
    duration_s: float,
) -> None:
    """Watch as `pidscope watch` does, step by step, until something ends it."""
    end_ns = recorder.present_ns + duration_s * 1e9
    while going_on() and not stop.asked and recorder.present_ns < end_ns:
        if session.suspect:
            session.repair()
        session.pump()
        rest_s = max(0.0, end_ns - recorder.present_ns) / 1e9
        host.wait(session, stop, min(rest_s, recorder.rest_s))
        recorder.step(session)
    session.pump()
    session.look_for_skipped()
