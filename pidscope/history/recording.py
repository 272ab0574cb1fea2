"""A recording as questions are put to it: a ring's directory, or one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from pidscope.errors import NotKnown, RecordingError
from pidscope.history.moment import Clock, Moment
from pidscope.history.questions import Stretch, Window
from pidscope.history.ring import Segment, list_segments
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import Life


class Reach(NamedTuple):
    """From when to when a recording reaches, by the wall clock in ns."""

    first_ns: int
    last_ns: int


class Recording:
    """A ring's directory, or one file; closing it closes what it has opened.

    Raises NotKnown: there is none; HostError: it may not be read; RecordingError: it is none.

    Attributes:
        refused: a line for each file of a ring that is no recording, or a newer pidscope's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.refused: list[str] = []
        self._files: dict[str, SegmentFile] = {}
        self.is_ring = os.path.isdir(path)  # noqa: PTH112 (pathlib takes a while to import)
        if self.is_ring:
            self.segments = list_segments(path)
            if not self.segments:
                raise NotKnown(f"nothing was recorded yet: {path} is empty")
        else:
            self.segments = [_alone(path)]
            try:
                self._opened(self.segments[0], alone=True)
            except FileNotFoundError:
                raise NotKnown(
                    f"nothing was recording: there is no {path}",
                    "record from now on, as root: pidscope record",
                ) from None

    def close(self) -> None:
        """Close every file."""
        while self._files:
            self._files.popitem()[1].close()

    def __enter__(self) -> Recording:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def reach(self) -> Reach:
        """Return from when to when it reaches; raises NotKnown: no file of it can be read."""
        files = [file for it in self.segments if (file := self._opened(it)) is not None]
        if not files:
            raise NotKnown(f"no file of {self.path} can be read", "\n".join(self.refused))
        return Reach(_first(files[0])[1], files[-1].through.realtime_ns)

    def windows(self, moment: Moment) -> list[Window]:
        """Return what it has of a time: one window for each boot in which it may have been.

        Raises NotKnown: nothing was recording then.
        """
        found: list[tuple[int, Stretch]] = []
        for at, stretch in self._stretches(moment):
            if found and _meet(found[-1][1], stretch):
                begun, before = found[-1]
                found[-1] = begun, before._replace(last_ns=max(before.last_ns, stretch.last_ns))
            else:
                found.append((at, stretch))
        if not found:
            raise NotKnown("nothing was recording then", self._reach_text())
        return [Window(self._same_boot(at, it), it) for at, it in found]

    def having(self, ns: int, number: int) -> Iterator[tuple[str, Life]]:
        """Yield what ended and had a number, by boot id, the latest first."""
        for segment in reversed(self.segments):
            file = self._opened(segment)
            if file is not None:
                for life in sorted(file.having(ns, number), key=_end, reverse=True):
                    yield str(file.head.get("boot_id")), life

    def wall_ns(self, boot_id: str, boottime_ns: int) -> int | None:
        """Return a time of a boot by the wall clock; None: nothing near it was recorded."""
        for segment in reversed(self.segments):
            file = self._opened(segment)
            if file is None or file.head.get("boot_id") != boot_id:
                continue
            first = _first(file)
            if first[0] <= boottime_ns or segment is self.segments[0]:
                return boottime_ns + first[1] - first[0]
        return None

    def _stretches(self, moment: Moment) -> Iterator[tuple[int, Stretch]]:
        for at, segment in enumerate(self.segments):
            if moment.clock is Clock.REALTIME and not _overlaps(segment, moment):
                continue
            file = self._opened(segment)
            if file is None or not _is_of(file, moment):
                continue
            stretch = _on_boot(file, moment, segment is self.segments[-1])
            if stretch is not None:
                yield at, stretch

    def _same_boot(self, at: int, asked: Stretch) -> Iterator[SegmentFile]:
        """Yield the files from the one that a stretch begins in, up to the first that is missing.

        Where it begins before the file does, that of its recorder which was written before comes
        first: it says up to when it was complete.
        """
        file = self._opened(self.segments[at])
        if at and file is not None and _first(file)[0] > asked.first_ns:
            before = self._opened(self.segments[at - 1])
            is_next = self.segments[at - 1].sequence + 1 == self.segments[at].sequence
            at -= is_next and before is not None and before.head.get("boot_id") == asked.boot_id
        for place, segment in enumerate(self.segments[at:]):
            file = self._opened(segment)
            if file is None or file.head.get("boot_id") != asked.boot_id:
                return
            if segment.sequence != self.segments[at].sequence + place:
                return
            yield file

    def _opened(self, segment: Segment, alone: bool = False) -> SegmentFile | None:
        """Return a file; None: it is gone, or refused. Raises RecordingError if it is alone."""
        if segment.path not in self._files:
            try:
                self._files[segment.path] = SegmentFile(segment.path)
            except FileNotFoundError:
                if alone:
                    raise
                sealed = self._sealed(segment)
                return None if sealed is None else self._opened(sealed)
            except RecordingError as error:
                if alone:
                    raise
                if str(error) not in self.refused:
                    self.refused.append(str(error))
                return None
        return self._files[segment.path]

    def _sealed(self, segment: Segment) -> Segment | None:
        """Return what has taken the place of a file since it was listed; None: it was removed."""
        there = (it for it in list_segments(self.path) if it.sequence == segment.sequence)
        found = next(there, None)
        return None if found is None or found.path == segment.path else found

    def _reach_text(self) -> str:
        from datetime import datetime, timezone

        reach = self.reach()
        try:
            times = [
                datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc).isoformat()
                for ns in (reach.first_ns, reach.last_ns)
            ]
        except (OverflowError, ValueError, OSError):  # no year that there is
            return f"{self.path} does not say when it was recorded"
        return f"{self.path} reaches from {times[0]} to {times[1]}"


def _alone(path: str) -> Segment:
    return Segment(0, 0, None, path)


def _overlaps(segment: Segment, moment: Moment) -> bool:
    ends = segment.last_ns is None or segment.last_ns >= moment.first_ns
    return ends and segment.first_ns <= moment.last_ns


def _meet(before: Stretch, stretch: Stretch) -> bool:
    """Whether two are one: a step of the wall clock back makes two of a time."""
    return (
        before.boot_id == stretch.boot_id and before.first_ns <= stretch.first_ns <= before.last_ns
    )


def _is_of(file: SegmentFile, moment: Moment) -> bool:
    """Whether a file is of the boot that a time is of, if that is known."""
    boot_id = str(file.head.get("boot_id")).replace("-", "")
    return moment.boot_id is None or moment.boot_id == boot_id


def _first(file: SegmentFile) -> tuple[int, int, int]:
    """Return boottime, realtime and monotonic time at a file's beginning, in ns; 0: damaged."""
    clock = file.head.get("clock")
    clock = clock if isinstance(clock, dict) else {}
    names = ("boottime_ns", "realtime_ns", "monotonic_ns")
    values = [clock.get(name) for name in names]
    first, second, third = (it if isinstance(it, int) else 0 for it in values)
    return first, second, third


def _on_boot(file: SegmentFile, moment: Moment, is_last: bool) -> Stretch | None:
    """Return a time by CLOCK_BOOTTIME of a file's boot; None: it is outside the file.

    Within a ring's file the wall clock makes no step; by how much it was slewed, or stepped in a
    file that is alone, widens the stretch.
    """
    boottime, realtime, monotonic = _first(file)
    through = file.through
    offsets = [0]
    if moment.clock is Clock.REALTIME:
        offsets = [realtime - boottime, (through.realtime_ns or realtime) - through.boottime_ns]
        if not through.realtime_ns:
            offsets = offsets[:1]
        offsets += _stepped(file)
    elif moment.clock is Clock.MONOTONIC:
        offsets = [monotonic - boottime]
    first, last = moment.first_ns - max(offsets), moment.last_ns - min(offsets)
    goes_on = is_last and file.contents is None
    if last < boottime or (first > through.boottime_ns and not goes_on):
        return None
    return Stretch(str(file.head.get("boot_id")), first, last)


def _stepped(file: SegmentFile) -> list[int]:
    """Return the offsets of the wall clock after its steps."""
    found = []
    for it in file.json():
        clock = it.get("clock") if it.get("type") == "clock" else None
        if isinstance(clock, dict):
            wall, boot = clock.get("realtime_ns"), clock.get("boottime_ns")
            if isinstance(wall, int) and isinstance(boot, int):
                found.append(wall - boot)
    return found


def _end(life: Life) -> int:
    return life.end_ns
