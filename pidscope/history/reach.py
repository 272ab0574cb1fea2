"""Up to when a recording is asked if no time is given, and what all its files say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pidscope.errors import NotKnown
from pidscope.history import frames
from pidscope.history.between import Asked, Piece
from pidscope.history.moment import Clock, Moment, Now
from pidscope.history.recording import Recording
from pidscope.history.ring import is_written


def begins(recording: Recording) -> Moment:
    """Return when it begins; raises NotKnown: no file of it can be read."""
    for at in range(len(recording.segments)):
        clocks = recording.clocks(at)
        if clocks is not None and clocks.boottime_ns:
            boot_id = clocks.boot_id.replace("-", "")
            return Moment(Clock.BOOTTIME, clocks.boottime_ns, clocks.boottime_ns, boot_id)
    raise NotKnown(f"no file of {recording.path} can be read", "\n".join(recording.refused))


def reached(recording: Recording, now: Now, by_snapshot: bool) -> Moment:
    """Return up to when a recording has everything, or only its last snapshot; else now.

    It is that of a file, and of a ring that is still written. A ring that no process writes into
    has a gap from there on.
    """
    end = None
    if not recording.is_ring or is_written(recording.path):
        end = _end_ns(recording, by_snapshot)
    if end is None:
        return Moment(Clock.REALTIME, now.realtime_ns, now.realtime_ns)
    boot_id, end_ns = end
    return Moment(Clock.BOOTTIME, end_ns, end_ns, boot_id.replace("-", ""))


def _end_ns(recording: Recording, by_snapshot: bool) -> tuple[str, int] | None:
    for at in reversed(range(len(recording.segments))):
        clocks, file = recording.clocks(at), recording.file(at)
        if clocks is None or file is None or not clocks.boottime_ns:
            continue
        taken = (about.taken_ns for _, about in file.blocks(frames.ALIVE))
        through_ns = clocks.through_ns
        return clocks.boot_id, max(taken, default=through_ns) if by_snapshot else through_ns
    return None


class Overview:
    """What the files of a stretch of time say of themselves, before their lives are read.

    Attributes:
        asked: the time that is asked for, by boot.
        tails: the last two files of each boot.
        threads: whether all of them have lives of threads.
        cannot: what their modes cannot tell.
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.asked: dict[str, Asked] = {}
        self.tails: dict[str, list[Piece]] = {}
        self.threads = True
        self.cannot: list[str] = []
        for piece in pieces:
            self.asked.setdefault(piece.boot_id, Asked()).add(piece)
            self.tails[piece.boot_id] = [*self.tails.get(piece.boot_id, ())[-1:], piece]
            self._add_head(piece.file.head)

    @property
    def is_empty(self) -> bool:
        """Whether none of the time is in any file, or it ends before it begins."""
        return not any(it.first_ns <= it.last_ns for it in self.asked.values())

    def _add_head(self, head: dict[str, Any]) -> None:
        self.threads = self.threads and head.get("threads") is not False
        cannot = head.get("cannot")
        for it in cannot if isinstance(cannot, list) else ():
            if isinstance(it, str) and it not in self.cannot:
                self.cannot.append(it)
