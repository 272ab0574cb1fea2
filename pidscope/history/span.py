"""The files of a recording between two snapshots: what all moments in between share.

Neighbours in a log are asked about the same files and snapshots. So what was read for one moment
is kept for the next, so far as there is room: what has a number in these files, and which gaps
they state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pidscope.history import frames
from pidscope.history.answer import NOT_RECORDING
from pidscope.history.blocks import Summary
from pidscope.history.frames import Frame
from pidscope.history.segment_file import Damage, SegmentFile
from pidscope.wire.lives import Life

_KEPT = 1_024  # numbers of which the lives are kept, a few hundred bytes each
_NEVER = 1 << 64


class Stretch(NamedTuple):
    """The time asked about, on one boot: CLOCK_BOOTTIME in ns, both ends included."""

    boot_id: str
    first_ns: int
    last_ns: int


class Taken(NamedTuple):
    """A block of a snapshot."""

    file: SegmentFile
    frame: Frame
    about: Summary


class Having(NamedTuple):
    """What had a number at any time in a span."""

    lives: tuple[Life, ...]  # that ended
    living: tuple[Life, ...]  # in the snapshot behind the span, or, without one, in that before it


class StatedGap(NamedTuple):
    """A gap that the files of a span state, or have by damage."""

    first_ns: int
    last_ns: int | None
    reason: str


class Span:
    """The snapshots around a stretch, and the files up to the one behind it.

    Args:
        files: of the boot, in their order, from the one that the stretch begins in.
        asked: the stretch.

    Attributes:
        files: those up to the snapshot behind the stretch.
        before: the last snapshot's blocks before the stretch.
        after: those of the first behind it.
        until_ns: when that was taken, or the record ends.
        begun_ns: since when it was recorded; None: it does not say.
        initial_ns: the inum of the initial PID namespace; None: the recording does not say.
        has_threads: whether threads are recorded.
    """

    def __init__(self, files: Iterable[SegmentFile], asked: Stretch) -> None:
        self.boot_id = asked.boot_id
        self.files: list[SegmentFile] = []
        self.before: list[Taken] = []
        self.after: list[Taken] = []
        # Another stretch has the same snapshots if it begins and ends within these bounds.
        self._least_first, self._first_below = -1, _NEVER
        self._last_above, self._greatest_last = -1, _NEVER
        self._having: dict[tuple[int, int], Having] = {}
        self._gaps: tuple[int, list[StatedGap]] = (-1, [])  # after so many damages
        for file in files:
            self.files.append(file)
            if self._has_snapshot_behind(file, asked):
                break
        self.until_ns = self._until_ns()
        head = self.files[0].head if self.files else {}
        initial_ns = head.get("initial_ns")
        self.begun_ns = begun_ns(head)
        self.initial_ns = initial_ns if isinstance(initial_ns, int) else None
        self.has_threads = all(it.head.get("threads") is not False for it in self.files)

    def covers(self, asked: Stretch) -> bool:
        """Tell whether a stretch that begins in the same file has the same snapshots."""
        return (
            self._least_first <= asked.first_ns < self._first_below
            and self._last_above < asked.last_ns <= self._greatest_last
            and asked.boot_id == self.boot_id
        )

    def _has_snapshot_behind(self, file: SegmentFile, asked: Stretch) -> bool:
        """Look for the blocks of the snapshots around the stretch: each has one for each class."""
        for frame, about in file.blocks(frames.ALIVE):
            self._narrow(about.taken_ns, asked)
            if about.taken_ns <= asked.first_ns:
                self.before = _with(self.before, Taken(file, frame, about))
            elif about.taken_ns >= asked.last_ns:
                if self.after and about.taken_ns != self.after[0].about.taken_ns:
                    break
                self.after.append(Taken(file, frame, about))
        return bool(self.after)

    def _narrow(self, taken_ns: int, asked: Stretch) -> None:
        """Keep to the stretches for which this snapshot is on the same side."""
        if taken_ns <= asked.first_ns:
            self._least_first = max(self._least_first, taken_ns)
            return
        self._first_below = min(self._first_below, taken_ns)
        if taken_ns >= asked.last_ns:
            self._greatest_last = min(self._greatest_last, taken_ns)
        else:
            self._last_above = max(self._last_above, taken_ns)

    def _until_ns(self) -> int:
        if self.after:
            return self.after[0].about.taken_ns
        return max((file.through.boottime_ns for file in self.files), default=0)

    def having(self, ns: int, number: int) -> Having:
        """Return what had a number in the namespace with this inum."""
        found = self._having.get((ns, number))
        if found is None:
            lives = [life for file in self.files for life in file.having(ns, number)]
            found = Having(tuple(lives), tuple(self._living(ns, number)))
            if len(self._having) >= _KEPT:
                self._having.clear()
            self._having[ns, number] = found
        return found

    def _living(self, ns: int, number: int) -> Iterator[Life]:
        for file, frame, _ in self.after or self.before:
            rows = file.rows(frame)
            if rows is not None:
                for at in rows.having(ns, number):
                    yield from file.life(frame, rows, at)

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield what the files have beside rows: heads, cgroups, containers, gaps."""
        for file in self.files:
            yield from file.json()

    def gaps(self) -> list[StatedGap]:
        """Return what is missing from the files by what they say, and by what is damaged."""
        damages = sum([len(file.damaged) for file in self.files])
        if self._gaps[0] != damages:
            self._gaps = damages, list(self._missing())
        return self._gaps[1]

    def _missing(self) -> Iterator[StatedGap]:
        for before, file in zip(self.files, self.files[1:]):
            begun, ended = file.head.get("from_ns"), before.through.boottime_ns
            if not isinstance(begun, int) or begun > ended:
                end = begun if isinstance(begun, int) else None
                yield StatedGap(ended, end, NOT_RECORDING)
        for file in self.files:
            for it in file.json():
                gap = stated_gap(it)
                if gap is not None:
                    yield gap
            for damage in file.damaged:
                yield damage_gap(damage, self.until_ns)


def _with(blocks: list[Taken], another: Taken) -> list[Taken]:
    """Return the blocks of the later snapshot."""
    same = blocks and blocks[0].about.taken_ns == another.about.taken_ns
    return [*blocks, another] if same else [another]


def begun_ns(head: dict[str, Any]) -> int | None:
    """Return from when on a file and those behind it have everything; None: it does not say.

    Files of the same recorder may have stood before it, and have been removed.
    """
    clock = head.get("clock")
    begins = clock.get("boottime_ns") if isinstance(clock, dict) else 0
    since = head.get("from_ns")
    return max(since, begins) if isinstance(since, int) and isinstance(begins, int) else None


def damage_gap(damage: Damage, until_ns: int) -> StatedGap:
    """Return between which times something is missing by a damage.

    The rows of a snapshot count from its time. Of what is not known, it may be any up to
    ``until_ns``.
    """
    about, first_ns, last_ns = damage.about, 0, until_ns
    if about is not None:
        first_ns, last_ns = min(about.first_end_ns, about.taken_ns), about.last_end_ns
    return StatedGap(first_ns, last_ns, f"{damage.path} is damaged at {damage.offset}")


def stated_gap(value: dict[str, object]) -> StatedGap | None:
    """Return the gap that a frame of JSON states; None: it is something else."""
    if value.get("type") != "gap":
        return None
    first, last, reason = value.get("first_ns"), value.get("last_ns"), value.get("reason")
    if not isinstance(first, int) or not isinstance(reason, str):
        return None
    return StatedGap(first, last if isinstance(last, int) else None, reason)
