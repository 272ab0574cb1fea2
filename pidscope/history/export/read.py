"""All tasks of a recording that lived in a stretch of time, block by block, each of them once.

The argument is that of `pidscope.history.questions`: who lived from T to U has ended by the first
snapshot at or after U, and then its life is in the record between T and that; or it is in that
snapshot. So the lives are read as they stand, and of the snapshots only the last one before a gap
or the end: what is in it, and ends in no later life of the boot, lived on for all that is known. In
memory are a block, and the tasks of such a snapshot.

Where no end is asked for, the last snapshot is the end up to which all is known; the lives that
ended since are true, and given, too. Where one is, what lies behind the last snapshot is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pidscope.errors import NotKnown
from pidscope.history import frames
from pidscope.history.answer import ENDS, NO_THREADS, NOT_RECORDING
from pidscope.history.export.living import Living
from pidscope.history.export.place import place_of
from pidscope.history.export.task import Missing, Place, Task, instant_of, task_of
from pidscope.history.export.task import Moment as OfBoot
from pidscope.history.moment import Clock, Moment
from pidscope.history.recording import Recording
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import damage_gap, stated_gap
from pidscope.wire.lives import Life, LifeKind

FOREVER = 1 << 62  # ns: later than any recording
ALL = Moment(Clock.REALTIME, 0, FOREVER)
_GAPS = 1_000  # that are kept; a recording may have as many as it has frames
_GONE = "a file is gone, or cannot be read"
_REASON = 200  # characters of a reason, or of what is said to be unknown, that are kept
_DAMAGED = "None"  # instead of a boot id: the file's head


class _Piece(NamedTuple):
    """A file that is read."""

    at: int  # its place
    boot_id: str
    begun_ns: int  # since when it has everything, CLOCK_BOOTTIME, as the others
    from_ns: int  # since when its recorder runs
    through_ns: int
    sequence: int

    def follows(self, before: _Piece) -> bool:
        """Tell whether there is no gap between a file and this one."""
        return self.sequence == before.sequence + 1 and self.from_ns <= before.through_ns


class _Asked(NamedTuple):
    """The time asked for, on one boot."""

    at: int  # the place of the first file that has any of it
    boot_id: str
    first_ns: int
    last_ns: int


class Exported:
    """The tasks of a recording in a stretch of time.

    Args:
        recording: stays open.
        asked: the time.
        threads: whether they are wanted, too.

    Raises NotKnown: nothing was recording then.

    Attributes:
        gaps: what is missing, once all tasks were read; the first thousand.
        more_gaps: how many there are beyond these.
        ended: how many lives were given.
        alive: how many tasks that lived on.
        threads: how many tasks were left out because they are no processes.
        first: since when all is known but what is a gap; None before anything was read.
        last: up to when.
        cannot: what the recording cannot tell at all, in words.
    """

    def __init__(self, recording: Recording, asked: Moment = ALL, threads: bool = True) -> None:
        self._recording, self._wants_threads = recording, threads
        self._is_bounded, self._begins = asked.last_ns < FOREVER, asked.first_ns > 0
        self._boots = _boots(recording, asked)
        self._known_ns = 0
        self.gaps: list[Missing] = []
        self.more_gaps = self.ended = self.alive = self.threads = 0
        self.first: OfBoot | None = None
        self.last: OfBoot | None = None
        self.cannot: dict[str, None] = {}

    def tasks(self) -> Iterator[Task]:
        """Yield each task. To be called once."""
        for asked in self._boots:
            yield from self._of_boot(self._pieces(asked), asked)
        if self.first is None:
            raise NotKnown("no file of that time can be read", "\n".join(self._recording.refused))

    def _of_boot(self, pieces: list[_Piece], asked: _Asked) -> Iterator[Task]:
        living, place = Living(), self._unplaced(asked.boot_id)
        for before, piece, behind in zip([None, *pieces], pieces, [*pieces[1:], None]):
            file = self._recording.file(piece.at)
            place = place if file is None else self._place(file, piece)
            if before is None:
                self._check_begin(piece, place, asked)
            elif not piece.follows(before):
                if self._known_ns >= asked.last_ns:
                    break
                is_next = piece.sequence == before.sequence + 1
                why = NOT_RECORDING if is_next else _GONE
                self._gap(asked, place, self._known_ns, piece.begun_ns, why)
            if file is None:
                self._gap(asked, place, piece.begun_ns, piece.through_ns, _GONE)
                continue
            if behind is None or not behind.follows(piece):
                self._add(living, file, place, piece, asked)
            yield from self._lives(file, place, asked, living)
            self._check_file(file, place, piece, asked)
        for life, of in living.left():
            if (life.start_ns or 0) <= asked.last_ns and self._is_wanted(life, alive=True):
                self.alive += 1
                yield task_of(life, of, alive=True)
        if pieces:
            self._check_end(pieces[-1], place, asked)

    def _add(
        self, living: Living, file: SegmentFile, place: Place, piece: _Piece, asked: _Asked
    ) -> None:
        """Take who lived where the record ends, or a gap begins.

        If that was before the time asked for, they may not have lived in it.
        """
        taken_ns = None
        if piece.through_ns >= asked.first_ns:
            taken_ns = living.add(file, place, asked.last_ns)
        self._known_ns = piece.begun_ns if taken_ns is None else taken_ns

    def _pieces(self, asked: _Asked) -> list[_Piece]:
        """Return the files of a boot that are read.

        The one before the first may have rows of what ended after the time that it claims. The one
        behind the last begins with the snapshot that is needed.
        """
        found: list[_Piece] = []
        for at in range(max(0, asked.at - 1), len(self._recording.segments)):
            file = self._recording.file(at)
            if file is None:
                continue
            boot_id = str(file.head.get("boot_id"))
            if boot_id != asked.boot_id:
                if at < asked.at or _DAMAGED in (boot_id, asked.boot_id):
                    continue
                break
            found.append(_piece(at, self._recording.segments[at].sequence, file))
            if found[-1].begun_ns > asked.last_ns:
                break
        return found

    def _unplaced(self, boot_id: str) -> Place:
        """Return what holds where no file says anything."""
        wall_ns = self._recording.wall_ns
        return place_of({}, (), lambda ns: wall_ns(boot_id, ns))

    def _place(self, file: SegmentFile, piece: _Piece) -> Place:
        said = file.head.get("cannot")
        for it in said if isinstance(said, list) else ():
            if isinstance(it, str) and len(self.cannot) < _GAPS:
                self.cannot[it[:_REASON]] = None
        wall_ns = self._recording.wall_ns
        return place_of(file.head, file.json(), lambda ns: wall_ns(piece.boot_id, ns))

    def _lives(
        self, file: SegmentFile, place: Place, asked: _Asked, living: Living
    ) -> Iterator[Task]:
        # What ended between the last snapshot and the time asked for is no more in it.
        first_ns = min(asked.first_ns, self._known_ns)
        for frame, about in file.blocks(frames.LIVES):
            if about.last_end_ns < first_ns or about.first_start_ns > asked.last_ns:
                continue
            rows = file.rows(frame)
            if rows is None:
                continue
            for at in range(rows.count):
                for life in file.life(frame, rows, at):
                    living.ended(life)
                    has = life.end_ns >= asked.first_ns and (life.start_ns or 0) <= asked.last_ns
                    if has and self._is_wanted(life, alive=False):
                        self.ended += 1
                        yield task_of(life, place, alive=False)

    def _is_wanted(self, life: Life, alive: bool) -> bool:
        is_process = life.kind is LifeKind.PROCESS or (alive and life.kind is LifeKind.LEADER)
        self.threads += not is_process and not self._wants_threads
        return is_process or self._wants_threads

    def _check_begin(self, piece: _Piece, place: Place, asked: _Asked) -> None:
        is_first = self.first is None
        if self.first is None:
            begun = instant_of(place, max(piece.begun_ns, asked.first_ns))
            self.first = OfBoot(place.boot_id, begun)
        places = range(asked.at if is_first and not self._begins else 0)
        is_hidden = any(map(self._is_hidden, places))
        if not is_first or self._begins or is_hidden:
            self._gap(asked, place, 0, piece.begun_ns - 1, _GONE if is_hidden else NOT_RECORDING)

    def _check_end(self, piece: _Piece, place: Place, asked: _Asked) -> None:
        known = instant_of(place, min(self._known_ns, asked.last_ns))
        self.last = OfBoot(place.boot_id, known)
        behind = range(piece.at + 1, len(self._recording.segments))
        is_hidden = any(map(self._is_hidden, behind[:1]))
        goes_on = self._is_bounded or asked is not self._boots[-1]
        if self._known_ns < asked.last_ns and (is_hidden or goes_on):
            self._gap(asked, place, self._known_ns, None, _GONE if is_hidden else ENDS)

    def _is_hidden(self, at: int) -> bool:
        """Tell whether a file is gone, or refused, or does not say of what it is."""
        file = self._recording.file(at)
        return file is None or not file.head

    def _check_file(self, file: SegmentFile, place: Place, piece: _Piece, asked: _Asked) -> None:
        """Note what the file itself says is missing, or what of it is damaged."""
        if self._wants_threads and file.head.get("threads") is False:
            self._gap(asked, place, piece.begun_ns, piece.through_ns, NO_THREADS)
        for it in file.json():
            stated = stated_gap(it)
            if stated is not None:
                first_ns, last_ns, reason = stated
                has_end = last_ns is not None and last_ns >= first_ns
                self._gap(asked, place, first_ns, last_ns if has_end else None, reason)
        for damage in file.damaged:
            first_ns, last_ns, where = damage_gap(damage, piece.through_ns)
            first_ns = piece.begun_ns if damage.about is None else first_ns
            self._gap(asked, place, first_ns, last_ns, where)

    def _gap(
        self, asked: _Asked, place: Place, first_ns: int, last_ns: int | None, reason: str
    ) -> None:
        """Note a gap if it has any of the time that the argument rests on."""
        until_ns = max(asked.last_ns, self._known_ns)
        if first_ns > until_ns or (last_ns is not None and last_ns < asked.first_ns):
            return
        boot_id = None if asked.boot_id == _DAMAGED else asked.boot_id
        last = None if last_ns is None else instant_of(place, last_ns)
        gap = Missing(boot_id, instant_of(place, max(0, first_ns)), last, reason[:_REASON])
        if self.gaps and _goes_on(self.gaps[-1], gap):
            self.gaps[-1] = gap._replace(first=self.gaps[-1].first)
        elif len(self.gaps) < _GAPS:
            self.gaps.append(gap)
        else:
            self.more_gaps += 1


def _boots(recording: Recording, moment: Moment) -> list[_Asked]:
    """Return the time on each boot, from its first moment to its last, in the recording's order."""
    found: dict[str, _Asked] = {}
    for at, it in recording.stretches(moment):
        had = found.get(it.boot_id)
        if had is None:
            found[it.boot_id] = _Asked(at, *it)
        else:
            first_ns, last_ns = min(had.first_ns, it.first_ns), max(had.last_ns, it.last_ns)
            found[it.boot_id] = had._replace(first_ns=first_ns, last_ns=last_ns)
    return list(found.values())


def _piece(at: int, sequence: int, file: SegmentFile) -> _Piece:
    head = file.head
    clock = head.get("clock")
    begins = _number(clock.get("boottime_ns")) if isinstance(clock, dict) else 0
    said = head.get("from_ns")
    from_ns = said if isinstance(said, int) else FOREVER  # it does not say: it follows on none
    begun_ns = max(begins, _number(said))
    boot_id, through_ns = str(head.get("boot_id")), file.through.boottime_ns
    return _Piece(at, boot_id, begun_ns, from_ns, through_ns, sequence)


def _goes_on(before: Missing, gap: Missing) -> bool:
    """Tell whether a gap is the rest of one before it."""
    if before.last is None or before.boot_id != gap.boot_id or before.reason != gap.reason:
        return False
    first_ns, last_ns = before.first.boottime_ns, before.last.boottime_ns
    is_longer = gap.last is None or gap.last.boottime_ns >= last_ns
    return is_longer and first_ns <= gap.first.boottime_ns <= last_ns + 1


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
