"""An events recording as questions about a time are put to it, as to `Recording`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pidscope.errors import NotKnown, UsageError
from pidscope.history.answer import ENDS, Answer, Gap
from pidscope.history.event_file import EventFile
from pidscope.history.events_past import EventsTracker
from pidscope.history.listing_json import BEGIN, END, read_listing
from pidscope.history.moment import Clock, Moment
from pidscope.history.replayed_session import replayed_session
from pidscope.history.replayed_world import ReplayedWorld, parse_head
from pidscope.history.span import Stretch


class EventsRecording:
    """One file; closing it closes it.

    Raises OSError, RecordingError.

    Attributes:
        refused: nothing: one file is read, or refused.
    """

    is_ring = False

    def __init__(self, path: str) -> None:
        self.path = path
        self.refused: list[str] = []
        self._file = EventFile(path)
        self.boot_id = str(self._file.head.get("boot_id") or "")

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def __enter__(self) -> EventsRecording:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def windows(self, moment: Moment) -> list[EventsWindow]:
        """Return what it has of a time; raises NotKnown: it was not recording then."""
        boot_id = self.boot_id.replace("-", "")
        first_ns, last_ns = self._bounds(moment)
        asked = Stretch(self.boot_id, first_ns, last_ns)
        window = EventsWindow(self._file, asked)
        begun_ns, until_ns = window.reach
        is_other = moment.boot_id is not None and moment.boot_id != boot_id
        if is_other or last_ns < begun_ns or first_ns > until_ns:
            reach = f"{self.path} reaches from {begun_ns / 1e9:.3f} to {until_ns / 1e9:.3f} s"
            raise NotKnown("it was not recording then", f"{reach} after the boot")
        return [window]

    @property
    def segments(self) -> Sequence[Any]:
        """Raise UsageError: `watch` reads a stretch of events."""
        raise UsageError(
            f"{self.path} holds events, not lives", f"pidscope watch --source {self.path}"
        )

    def wall_ns(self, boot_id: str, boottime_ns: int) -> int | None:
        """Return a time of the boot by the wall clock; None: it is of another one, or not known."""
        offsets = self._offsets
        return boottime_ns + offsets[0] if offsets and boot_id == self.boot_id else None

    @cached_property
    def _offsets(self) -> Sequence[int]:
        """How far the wall clock was ahead of the boot's, at the begin and at the end."""
        clock, through = self._file.head.get("clock"), self._file.through
        found = []
        if isinstance(clock, dict):
            wall, boot = clock.get("realtime_ns"), clock.get("boottime_ns")
            if isinstance(wall, int) and isinstance(boot, int):
                found.append(wall - boot)
        if through is not None:
            found.append(through.realtime_ns - through.boottime_ns)
        return found

    def _bounds(self, moment: Moment) -> tuple[int, int]:
        """Return a time by CLOCK_BOOTTIME; offsets that differ widen it. Raises NotKnown."""
        offsets: Sequence[int] = [0]
        if moment.clock is Clock.REALTIME:
            offsets = self._offsets
        elif moment.clock is Clock.MONOTONIC:
            clock = self._file.head.get("clock")
            clock = clock if isinstance(clock, dict) else {}
            mono, boot = clock.get("monotonic_ns"), clock.get("boottime_ns")
            both = isinstance(mono, int) and isinstance(boot, int)
            offsets = [mono - boot] if both else []  # type: ignore[operator]
        if not offsets:
            raise NotKnown(f"{self.path} does not say when it was recorded")
        return moment.first_ns - max(offsets), moment.last_ns - min(offsets)


class EventsWindow:
    """What it has of one stretch of time; it is played back once.

    Raises NotKnown, RecordingError.
    """

    def __init__(self, file: EventFile, asked: Stretch) -> None:
        self._file, self._asked = file, asked
        self._path = file.path

    @property
    def span(self) -> EventsWindow:
        """What `Past` takes for the files around a time: all that there is."""
        return self

    @property
    def boot_id(self) -> str:
        """The boot that it is of."""
        return self._asked.boot_id

    @property
    def initial_ns(self) -> int | None:
        """The inum of the initial PID namespace."""
        value = self._file.head.get("root_ns")
        return value if isinstance(value, int) else None

    def objects(self) -> list[dict[str, Any]]:
        """Return the containers around the tasks."""
        return list(self._tracker.containers())

    @cached_property
    def reach(self) -> tuple[int, int]:
        """From when to when it knows all tasks, by CLOCK_BOOTTIME in ns."""
        return self._played[1:]

    @property
    def _tracker(self) -> EventsTracker:
        return self._played[0]

    @cached_property
    def _played(self) -> tuple[EventsTracker, int, int]:
        head = parse_head({**self._file.head, "way": self._file.head.get("mode")})
        begin = read_listing(self._file, BEGIN)
        tracker = EventsTracker(self._asked, begin, head.way)
        world = ReplayedWorld(self._path, head, self._file.pieces())
        session = replayed_session(world, tracker.listen)
        session.begin()
        tracker.begin(session)
        world.look_for_end()
        begun_ns, whole_ns = None, 0  # a piece that is missing begins anywhere in a step
        while not world.ended:
            whole_ns = world.present_ns
            if session.suspect:
                session.repair()
            session.pump()
            begun_ns = world.begun_ns if begun_ns is None else begun_ns
            world.step()
        session.pump()
        tracker.finish(read_listing(self._file, END))
        until_ns = whole_ns if world.cut else world.present_ns
        return tracker, until_ns if begun_ns is None else begun_ns, until_ns

    def holders(self, ns: int, number: int) -> Answer:
        """Return which tasks had a number in the namespace with this inum."""
        return self._with_ends(self._tracker.answer(ns, number))

    def alive(self, threads: bool = True) -> Answer:
        """Return every task that lived; without ``threads`` every process."""
        answer = self._with_ends(self._tracker.answer(None, None))
        if threads:
            return answer
        return answer._replace(holders=tuple(it for it in answer.holders if not it.is_thread))

    def _with_ends(self, answer: Answer) -> Answer:
        """Add the gap before its begin, or behind its end, if the time reaches into that."""
        begun_ns, until_ns = self.reach
        asked, gap = self._asked, answer.gap
        if gap is None and asked.first_ns < begun_ns:
            gap = Gap(asked.boot_id, 0, begun_ns, "it was not recording yet")
        elif gap is None and asked.last_ns > until_ns:
            gap = Gap(asked.boot_id, until_ns, None, ENDS)
        return answer._replace(gap=gap)
