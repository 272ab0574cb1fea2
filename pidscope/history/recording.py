"""A recording as questions are put to it: a ring's directory, or one file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.errors import NotKnown, RecordingError
from pidscope.history.moment import Clock, Moment
from pidscope.history.ordered import Overlaps, last_near, last_that
from pidscope.history.questions import Window
from pidscope.history.ring import Segment, list_segments
from pidscope.history.segment_file import BlockCache, SegmentFile
from pidscope.history.span import Span, Stretch
from pidscope.wire.lives import Life

_OPEN = 64  # files at the same time
_SPANS = 8  # the lines of a log come in their order
_NEVER = 1 << 64


class Reach(NamedTuple):
    """From when to when a recording reaches, by the wall clock in ns."""

    first_ns: int
    last_ns: int


class FileClocks(NamedTuple):
    """What a file says of its time; 0: its head is damaged."""

    boot_id: str  # "None": damaged
    boottime_ns: int  # of its beginning, as the next two
    realtime_ns: int
    monotonic_ns: int
    least_offset_ns: int  # of the wall clock against the boot's
    greatest_offset_ns: int
    through_ns: int  # CLOCK_BOOTTIME
    sealed: bool


class Recording:
    """A ring's directory, or one file; closing it closes what it has opened.

    Raises NotKnown: there is none; HostError: it may not be read; RecordingError: it is none.

    Attributes:
        refused: a line for each file of a ring that is no recording, or a newer pidscope's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.refused: list[str] = []
        self._files: dict[str, SegmentFile] = {}  # the latest that was opened is the last
        self._blocks = BlockCache()
        self._clocks: dict[int, FileClocks | None] = {}  # by a segment's place
        self._places: dict[str, int] = {}  # of some segment of a boot
        self._spans: list[tuple[int, Span]] = []  # by the first segment's place; the latest first
        self._offsets: list[tuple[str, int, int, int]] = []  # boot, from when, to when, ns
        self.is_ring = os.path.isdir(path)  # noqa: PTH112 (pathlib takes a while to import)
        if self.is_ring:
            self.segments = list_segments(path)
            if not self.segments:
                raise NotKnown(f"nothing was recorded: {path} has no file of a recording")
        else:
            self.segments = [_alone(path)]
            try:
                self._opened(self.segments[0], alone=True)
            except FileNotFoundError:
                raise NotKnown(
                    f"nothing was recording: there is no {path}",
                    "record from now on, as root: pidscope record --ring",
                ) from None
        self._overlaps = Overlaps(self.segments)

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
        first = next(filter(None, map(self._opened, self.segments)), None)
        last = next(filter(None, map(self._opened, reversed(self.segments))), None)
        if first is None or last is None:
            raise NotKnown(f"no file of {self.path} can be read", "\n".join(self.refused))
        return Reach(_first(first)[1], last.through.realtime_ns)

    def windows(self, moment: Moment) -> list[Window]:
        """Return what it has of a time: one window for each boot in which it may have been.

        Raises NotKnown: nothing was recording then.
        """
        return [Window((), it, self._span(at, it)) for at, it in self.stretches(moment)]

    def stretches(self, moment: Moment) -> list[tuple[int, Stretch]]:
        """Return when a time was, on each boot, and the place of the first file that has any of it.

        Raises NotKnown: nothing was recording then.
        """
        found: list[tuple[int, Stretch]] = []
        for at, stretch in self._stretches(moment):
            if found and _meet(found[-1][1], stretch):
                begun, before = found[-1]
                found[-1] = begun, before._replace(last_ns=max(before.last_ns, stretch.last_ns))
            else:
                found.append((at, stretch))
                self._places[stretch.boot_id] = at
        if not found:
            raise NotKnown("nothing was recording then", self.reach_text())
        return found

    def file(self, at: int) -> SegmentFile | None:
        """Return the file at a place; None: it is gone, or refused."""
        return self._opened(self.segments[at])

    def clocks(self, at: int) -> FileClocks | None:
        """Return what the file at a place says of its time; None: it is gone, or refused."""
        return self._seen(at)

    def having(self, ns: int, number: int) -> Iterator[tuple[str, Life]]:
        """Yield what ended and had a number, by boot id, the latest first."""
        for segment in reversed(self.segments):
            file = self._opened(segment)
            if file is not None:
                for life in sorted(file.having(ns, number), key=_end, reverse=True):
                    yield str(file.head.get("boot_id")), life

    def wall_ns(self, boot_id: str, boottime_ns: int) -> int | None:
        """Return a time of a boot by the wall clock; None: nothing near it was recorded."""
        for boot, first_ns, last_ns, offset_ns in self._offsets:
            if first_ns <= boottime_ns < last_ns and boot == boot_id:
                return boottime_ns + offset_ns
        at = self._place_of(boot_id, boottime_ns)
        clocks = None if at is None else self._seen(at)
        if at is None or clocks is None:
            return None
        offset_ns = clocks.realtime_ns - clocks.boottime_ns
        following = self._seen(at + 1) if at + 1 < len(self.segments) else None
        until_ns = _NEVER if at + 1 == len(self.segments) else 0  # of the last file
        if following is not None:
            until_ns = following.boottime_ns if following.boot_id == boot_id else _NEVER
        if until_ns and clocks.boottime_ns <= boottime_ns:
            known = (boot_id, clocks.boottime_ns, until_ns, offset_ns)
            self._offsets = [known, *self._offsets[: _SPANS - 1]]
        return boottime_ns + offset_ns

    def _place_of(self, boot_id: str, boottime_ns: int) -> int | None:
        """Return the place of the last file of a boot that began by then.

        Before the first file of the recording, that takes its place.
        """
        near = self._near(boot_id)
        if near is None:
            return None

        def has_begun(it: FileClocks) -> bool:
            return it.boot_id == boot_id and it.boottime_ns <= boottime_ns

        at, clocks = near
        if has_begun(clocks):
            return last_near(at, len(self.segments), self._whole, has_begun)
        # Backwards it is the first that is not still to begin.
        found = at - last_near(
            *(0, at + 1),
            lambda back: self._whole(at - back),
            lambda it: it.boot_id == boot_id and it.boottime_ns > boottime_ns,
        )
        before = next(filter(None, map(self._whole, range(found - 1, -1, -1))), None)
        if before is None:
            return 0 if found == 0 else None
        return found - 1 if self._whole(found - 1) is before and has_begun(before) else None

    def _near(self, boot_id: str) -> tuple[int, FileClocks] | None:
        """Return some file of a boot: that in which the last moment began, or the latest."""
        places = [self._places[boot_id]] if boot_id in self._places else []
        for at in (*places, *reversed(range(len(self.segments)))):
            clocks = self._seen(at)
            if clocks is not None and clocks.boot_id == boot_id:
                self._places[boot_id] = at
                return at, clocks
        return None

    def _stretches(self, moment: Moment) -> Iterator[tuple[int, Stretch]]:
        if moment.clock is Clock.REALTIME:
            places = iter(self._overlaps.of(moment.first_ns, moment.last_ns))
        else:
            places = iter(range(self._begin(moment), len(self.segments)))
        for at in places:
            clocks = self._seen(at)
            if clocks is None or not is_of(clocks, moment):
                continue
            stretch = _on_boot(clocks, moment, at == len(self.segments) - 1)
            if stretch is not None:
                yield at, stretch
            elif moment.boot_id is not None and _is_before(clocks, moment):
                return  # and so it is before what comes behind it

    def _begin(self, moment: Moment) -> int:
        """Return the place from which on a time that counts from a boot may be.

        Boots are in their order, but which order that is, their ids do not say: only if the time
        is of the last one, what is of another is before it.
        """
        last = next(filter(None, map(self._whole, reversed(range(len(self.segments))))), None)
        if last is None or moment.boot_id is None or not is_of(last, moment):
            return 0

        def has_begun(it: FileClocks) -> bool:
            begun = it.boottime_ns if moment.clock is Clock.BOOTTIME else it.monotonic_ns
            return not is_of(it, moment) or begun <= moment.first_ns

        return max(0, last_that(-1, len(self.segments), self._whole, has_begun))

    def _span(self, at: int, stretch: Stretch) -> Span:
        """Return what is known between the snapshots around a stretch, which may be known yet."""
        for place, span in self._spans:
            if place == at and span.covers(stretch):
                return span
        made = Span(self._same_boot(at, stretch), stretch)
        self._spans = [(at, made), *self._spans[: _SPANS - 1]]
        return made

    def places(self, since: Moment, until: Moment) -> Iterable[int]:
        """Return where files may be that have any of a time, in order; none else has.

        Its beginning and its end may be by different clocks.
        """
        last_ns = until.last_ns if until.clock is Clock.REALTIME else _NEVER
        if since.clock is Clock.REALTIME:
            return self._overlaps.of(since.first_ns, last_ns)
        places = range(self._begin(since), len(self.segments))
        return [at for at in places if self.segments[at].first_ns <= last_ns]

    def _seen(self, at: int) -> FileClocks | None:
        """Return what a file says of its time; None: it is gone, or refused."""
        if at not in self._clocks:
            file = self.file(at)
            self._clocks[at] = None if file is None else _clocks_of(file, self.is_ring)
        return self._clocks[at]

    def _whole(self, at: int) -> FileClocks | None:
        """Return the same; None: its head is damaged, too."""
        clocks = self._seen(at)
        return clocks if clocks is not None and clocks.boottime_ns else None

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
        file = self._files.pop(segment.path, None)
        if file is None:
            try:
                file = SegmentFile(segment.path, self._blocks)
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
        self._files[segment.path] = file
        if len(self._files) > _OPEN:  # it is closed once no window has it any more
            del self._files[next(iter(self._files))]
        return file

    def _sealed(self, segment: Segment) -> Segment | None:
        """Return what has taken the place of a file since it was listed; None: it was removed."""
        there = (it for it in list_segments(self.path) if it.sequence == segment.sequence)
        found = next(there, None)
        return None if found is None or found.path == segment.path else found

    def reach_text(self) -> str:
        """Return from when to when it reaches, as a sentence; raises NotKnown."""
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


def _meet(before: Stretch, stretch: Stretch) -> bool:
    """Whether two are one: a step of the wall clock back makes two of a time."""
    return (
        before.boot_id == stretch.boot_id and before.first_ns <= stretch.first_ns <= before.last_ns
    )


def is_of(clocks: FileClocks, moment: Moment) -> bool:
    """Whether a file is of the boot that a time is of, if that is known."""
    return moment.boot_id is None or moment.boot_id == clocks.boot_id.replace("-", "")


def _first(file: SegmentFile) -> tuple[int, int, int]:
    """Return boottime, realtime and monotonic time at a file's beginning, in ns; 0: damaged."""
    clock = file.head.get("clock")
    clock = clock if isinstance(clock, dict) else {}
    names = ("boottime_ns", "realtime_ns", "monotonic_ns")
    values = [clock.get(name) for name in names]
    first, second, third = (it if isinstance(it, int) else 0 for it in values)
    return first, second, third


def _clocks_of(file: SegmentFile, is_of_ring: bool) -> FileClocks:
    """Return what a file says of its time.

    Within a ring's file the wall clock makes no step; by how much it was slewed, or stepped in a
    file that is alone, makes two offsets.
    """
    boottime, realtime, monotonic = _first(file)
    through = file.through
    offsets = [realtime - boottime]
    if through.realtime_ns:
        offsets.append(through.realtime_ns - through.boottime_ns)
    offsets += [] if is_of_ring else _stepped(file)
    return FileClocks(
        str(file.head.get("boot_id")),
        *(boottime, realtime, monotonic),
        *(min(offsets), max(offsets)),
        through.boottime_ns,
        file.contents is not None,
    )


def bounds_on(clocks: FileClocks, moment: Moment) -> tuple[int, int]:
    """Return a time by CLOCK_BOOTTIME of a file's boot; offsets that differ widen it."""
    least, greatest = 0, 0
    if moment.clock is Clock.REALTIME:
        least, greatest = clocks.least_offset_ns, clocks.greatest_offset_ns
    elif moment.clock is Clock.MONOTONIC:
        least = greatest = clocks.monotonic_ns - clocks.boottime_ns
    return moment.first_ns - greatest, moment.last_ns - least


def _is_before(clocks: FileClocks, moment: Moment) -> bool:
    return bounds_on(clocks, moment)[1] < clocks.boottime_ns


def _on_boot(clocks: FileClocks, moment: Moment, is_last: bool) -> Stretch | None:
    """Return a time by CLOCK_BOOTTIME of a file's boot; None: it is outside the file."""
    first, last = bounds_on(clocks, moment)
    goes_on = is_last and not clocks.sealed
    if last < clocks.boottime_ns or (first > clocks.through_ns and not goes_on):
        return None
    return Stretch(clocks.boot_id, first, last)


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
