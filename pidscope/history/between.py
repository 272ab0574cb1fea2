"""The files that have the time between two moments, and what is missing before and between them.

The two may be by different clocks, and on different boots. A file of a ring knows how its boot's
clock was to the wall clock while it was written, so each has its own bounds: an instant was asked
for if it is within those of the file that it falls into.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.history.answer import ENDS, GONE, NOT_RECORDING, Gap
from pidscope.history.moment import Clock, Moment
from pidscope.history.recording import FileClocks, Recording, bounds_on, is_of
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import begun_ns, damage_gap, stated_gap

_NEVER = 1 << 64
_MISSING = "a file is missing"


class Piece(NamedTuple):
    """A file, and which time is asked for of those that it has: CLOCK_BOOTTIME in ns."""

    at: int  # its place in `Recording.segments`
    file: SegmentFile
    clocks: FileClocks
    first_ns: int
    last_ns: int
    is_asked: bool = True  # it has any of that; else it follows one that has
    before: tuple[Gap, ...] = ()  # what is missing between the file before it and it
    behind: tuple[Gap, ...] = ()

    @property
    def boot_id(self) -> str:
        """The boot's id."""
        return self.clocks.boot_id


class Asked:
    """Which time of one boot is asked for; grows with each piece."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._bounds: list[tuple[int, int]] = []
        self.first_ns, self.last_ns = _NEVER, -1  # the least and the greatest

    def add(self, piece: Piece) -> None:
        """Take the bounds that hold from the beginning of a file on."""
        self._begins.append(piece.clocks.boottime_ns)
        self._bounds.append((piece.first_ns, piece.last_ns))
        if piece.is_asked:
            self.first_ns = min(self.first_ns, piece.first_ns)
            self.last_ns = max(self.last_ns, piece.last_ns)

    def has(self, boottime_ns: int) -> bool:
        """Whether an instant is asked for."""
        first_ns, last_ns = self._bounds[max(0, bisect_right(self._begins, boottime_ns) - 1)]
        return first_ns <= boottime_ns <= last_ns

    def touches(self, gap: Gap, known_ns: int | None = None) -> bool:
        """Whether a gap may have any of it, or of what is behind it up to ``known_ns``."""
        last_ns = _NEVER if gap.last_ns is None else gap.last_ns
        return last_ns >= self.first_ns and gap.first_ns <= max(self.last_ns, known_ns or 0)


def pieces(recording: Recording, since: Moment, until: Moment) -> Iterator[Piece]:
    """Yield the files from ``since``'s beginning to ``until``'s end, in order.

    Behind the last one comes the one that follows it, if there is one: what ended last may have
    been written there. None: nothing was recording then.
    """
    held: Piece | None = None
    for piece in _asked(recording, since, until):
        if held is None:
            held = piece._replace(before=_before(piece))
            continue
        behind, before = _between(recording, held, piece)
        yield held._replace(behind=behind)
        held = piece._replace(before=before)
    if held is None:
        return
    following = _following(recording, held, since, until)
    if following is not None:
        yield held
        yield following
        return
    is_last = held.at + 1 == len(recording.segments)
    yield held._replace(behind=_behind(held, ENDS if is_last else NOT_RECORDING))


def _asked(recording: Recording, since: Moment, until: Moment) -> Iterator[Piece]:
    """Yield the files that have any of the time; those that cannot be read are left out."""
    has_begun = since.clock is Clock.REALTIME
    has_met = False  # the boot of ``until``
    for at in recording.places(since, until):
        made = _piece(recording, at)
        if made is None:
            continue
        is_of_since, is_of_until = _is_on(made.clocks, since), _is_on(made.clocks, until)
        has_begun, has_met = has_begun or is_of_since, has_met or is_of_until
        if has_met and not is_of_until:
            return
        made = _bounded(made, since, until)
        goes_on = at == len(recording.segments) - 1 and not made.clocks.sealed
        is_behind = made.last_ns < made.clocks.boottime_ns
        if is_behind and until.clock is not Clock.REALTIME:
            return
        if has_begun and not is_behind and (goes_on or made.first_ns <= made.clocks.through_ns):
            yield made


def _piece(recording: Recording, at: int) -> Piece | None:
    """Return a file, of which nothing is asked; None: it is gone, refused, or its head damaged."""
    clocks, file = recording.clocks(at), recording.file(at)
    if clocks is None or file is None or not clocks.boottime_ns:
        return None
    return Piece(at, file, clocks, 0, -1)


def _bounded(piece: Piece, since: Moment, until: Moment) -> Piece:
    """Return a file with the bounds of the time that is asked for, on its boot."""
    clocks = piece.clocks
    return piece._replace(
        first_ns=bounds_on(clocks, since)[0] if _is_on(clocks, since) else 0,
        last_ns=bounds_on(clocks, until)[1] if _is_on(clocks, until) else _NEVER,
    )


def _is_on(clocks: FileClocks, moment: Moment) -> bool:
    """Whether a time can be told by a file's clocks."""
    return moment.clock is Clock.REALTIME or is_of(clocks, moment)


def _before(piece: Piece) -> tuple[Gap, ...]:
    """Return what is missing before the first file of a boot."""
    begun = begun_ns(piece.file.head)
    if begun is not None and begun <= piece.first_ns:
        return ()
    return (Gap(piece.boot_id, max(0, piece.first_ns), begun, GONE),)


def _behind(piece: Piece, reason: str) -> tuple[Gap, ...]:
    """Return what is missing behind the last file of a boot."""
    through_ns = piece.clocks.through_ns
    if piece.last_ns <= through_ns:
        return ()
    last_ns = None if piece.last_ns >= _NEVER else piece.last_ns
    return (Gap(piece.boot_id, through_ns, last_ns, reason),)


def _between(
    recording: Recording, one: Piece, next_: Piece
) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """Return what is missing behind one file, and before the next that is asked."""
    if one.boot_id != next_.boot_id:
        return _behind(one._replace(last_ns=_NEVER), NOT_RECORDING), _before(next_)
    through_ns = one.clocks.through_ns
    if not _follow(recording, one.at, next_.at):
        return (), (Gap(one.boot_id, through_ns, next_.clocks.boottime_ns, _MISSING),)
    begun = next_.file.head.get("from_ns")
    begun = begun if isinstance(begun, int) else None
    if next_.at == one.at + 1 and (begun is None or begun > through_ns):
        return (), (Gap(one.boot_id, through_ns, begun, NOT_RECORDING),)
    return (), ()


def _follow(recording: Recording, one: int, other: int) -> bool:
    """Whether all files are there from one place to another."""
    segments = recording.segments
    is_whole = segments[other].sequence - segments[one].sequence == other - one
    return is_whole and all(_piece(recording, at) is not None for at in range(one + 1, other))


def _following(recording: Recording, last: Piece, since: Moment, until: Moment) -> Piece | None:
    """Return the file behind the last that is asked, if nothing is missing in between."""
    if last.at + 1 == len(recording.segments) or not _follow(recording, last.at, last.at + 1):
        return None
    made = _piece(recording, last.at + 1)
    if made is None or made.boot_id != last.boot_id or any(_between(recording, last, made)):
        return None
    return _bounded(made, since, until)._replace(is_asked=False)


def stated_gaps(found: Iterable[Piece]) -> Iterator[Gap]:
    """Yield what is missing between files, and in them as far as they say so; no row is read."""
    for piece in found:
        yield from piece.before
        for value in piece.file.json():
            stated = stated_gap(value)
            if stated is not None:
                yield Gap(piece.boot_id, *stated)
        for damage in piece.file.damaged:
            yield Gap(piece.boot_id, *damage_gap(damage, piece.file.through.boottime_ns))
        yield from piece.behind
