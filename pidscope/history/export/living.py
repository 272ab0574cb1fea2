"""Who lived when a recording ends, or a gap begins: tasks of a snapshot that end in no life."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.blocks import Rows
from pidscope.history.export.task import TICK_NS, Place
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import UID_UNKNOWN, Life, LifeKind

_MOST = 1 << 20  # tasks that are kept


class Alive(NamedTuple):
    """A task of a snapshot: a row of its block."""

    start_ns: int
    rows: Rows
    at: int
    place: Place


class Living:
    """The tasks of one boot that were alive in a snapshot, and of which no end was read yet."""

    def __init__(self) -> None:
        # By the number in the initial namespace, and the tick in which it started: a task that was
        # read from /proc has no more. No two had both and lived at the time of a snapshot.
        self._found: dict[int, dict[int, Alive]] = {}
        self._count = 0

    def add(self, file: SegmentFile, place: Place, last_ns: int) -> int | None:
        """Take the first snapshot at or after ``last_ns``, else the last one of a file.

        Return when it was taken; None: there is none. Raises RecordingError: it has too many tasks.
        """
        blocks = list(file.blocks(frames.ALIVE))
        times = sorted({about.taken_ns for _, about in blocks})
        if not times:
            return None
        taken_ns = next((it for it in times if it >= last_ns), times[-1])
        for frame, about in blocks:
            rows = file.rows(frame) if about.taken_ns == taken_ns else None
            if rows is None:
                continue
            self._count += rows.count
            if self._count > _MOST:
                raise RecordingError(f"{file.path}: more than {_MOST:,} tasks live in its snapshot")
            for at in range(rows.count):
                for life in file.life(frame, rows, at):
                    start_ns = life.start_ns or 0
                    started = self._found.setdefault(life.numbers[0] or 0, {})
                    started[start_ns // TICK_NS] = Alive(start_ns, rows, at, place)
        return taken_ns

    def ended(self, life: Life) -> None:
        """Strike out a task that has ended; a leader that exits leaves its process behind."""
        started = self._found.get(life.numbers[0] or 0)
        if started is None or life.kind is LifeKind.LEADER:
            return
        if life.start_ns is None:  # of a thread that called exec; it was before that
            for tick in [it for it in started if it * TICK_NS <= life.end_ns]:
                del started[tick]
            return
        found = started.get(life.start_ns // TICK_NS)
        if found is not None and (found.start_ns == life.start_ns or _is_from_proc(found)):
            del started[life.start_ns // TICK_NS]

    def left(self) -> Iterator[tuple[Life, Place]]:
        """Yield the others, as they were in their snapshot."""
        for started in self._found.values():
            for it in started.values():
                yield it.rows.life(it.at), it.place


def _is_from_proc(alive: Alive) -> bool:
    return alive.rows.life(alive.at).uid == UID_UNKNOWN
