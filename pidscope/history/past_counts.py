"""Births in a stretch of time, counted by comm or by PID namespace, from the lives of a recording.

A task that was born then has ended since, and then it is among the lives from the stretch's begin
on; or it lives at a snapshot behind it, and is in that. So both together are all, if the recording
has no gap up to that snapshot, and each is counted once.

A comm is that of the end, or of the snapshot: of the birth it is not known. A namespace has a row
of its own for each time that its inum got a number 1, by the argument of
`pidscope.history.past_namespaces`: so the number 1s are looked for before anything is counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional, Union

from pidscope.containers.container import Chain, Container, innermost
from pidscope.history import frames
from pidscope.history.answer import Gap
from pidscope.history.between import Asked, Piece
from pidscope.history.past_filter import Chains
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import damage_gap
from pidscope.query.fork_counts import MAX_ROWS, ByComm, ByNamespace, Counts, First, Row
from pidscope.wire.lives import Life, LifeKind

_TICK_NS = 10_000_000  # to which a start is known that was read from /proc
_TAKES_SNAPSHOT = "the record ends: what was born since the last snapshot may live on"
_Identity = tuple[tuple[Optional[int], ...], Optional[int]]


class Living(NamedTuple):
    """A task of a snapshot, and the file that has it."""

    file: SegmentFile
    life: Life


class Snapshot:
    """The tasks of the first snapshot behind the time of one boot that was asked for.

    Args:
        pieces: the files of the boot; the last two are looked at.

    Attributes:
        taken_ns: when it was taken; without such a snapshot, the last one before takes its place.
        gaps: why births may be missing: there is no such snapshot, or it is damaged.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.gaps: list[Gap] = []
        self._tasks: dict[_Identity, Living] = {}
        blocks = (it for piece in pieces for it in piece.file.blocks(frames.ALIVE))
        taken = {about.taken_ns for _, about in blocks}
        last = [it for it in pieces if it.is_asked][-1]
        end_ns = min(last.last_ns, last.clocks.through_ns)
        behind = [it for it in taken if it >= end_ns]
        chosen = min(behind) if behind else max(taken, default=None)
        if not behind:
            begun_ns = max(0, last.first_ns) if chosen is None else chosen
            self.gaps.append(Gap(last.boot_id, begun_ns, end_ns, _TAKES_SNAPSHOT))
        self.taken_ns = max(end_ns, chosen or 0)
        for piece in pieces:
            for it in _rows(piece.file, chosen):
                self._tasks[it.life.numbers, it.life.start_ns] = it
            for damage in piece.file.damaged:
                if damage.about is not None and damage.about.taken_ns == chosen:
                    self.gaps.append(Gap(last.boot_id, *damage_gap(damage, end_ns)))

    def leave_out(self, life: Life) -> None:
        """Take out a task that has a life, too: a leader's exit is not its process's."""
        start_ns = life.start_ns
        if start_ns is not None and life.kind is not LifeKind.LEADER:
            self._tasks.pop((life.numbers, start_ns), None)
            self._tasks.pop((life.numbers, start_ns - start_ns % _TICK_NS), None)

    def tasks(self) -> Iterator[Living]:
        """Yield what is left."""
        yield from self._tasks.values()


def _rows(file: SegmentFile, taken_ns: int | None) -> Iterator[Living]:
    for frame, about in file.blocks(frames.ALIVE):
        rows = file.rows(frame) if about.taken_ns == taken_ns else None
        for at in range(0 if rows is None else rows.count):
            if rows is not None:
                for life in file.life(frame, rows, at):
                    yield Living(file, life)


class BirthsByComm:
    """Counts by comm."""

    def __init__(self) -> None:
        self.counts = ByComm()

    def add(self, boot_id: str, life: Life) -> None:
        """Count a birth."""
        _count(self.counts.row(life.comm), life)

    def finish(self) -> ByComm:
        """Return the rows."""
        return self.counts

    def owner_of(self, ns: int, first: First | None, is_current: bool) -> Container | None:
        """Return None: a comm has no container."""
        return None


class Init(NamedTuple):
    """A number 1; the initial namespace is no container's."""

    number: int  # in the initial namespace
    start_ns: int
    comm: bytes
    container: Container | None


class Inits:
    """The number 1s that ended in a stretch of time or behind it, or lived on."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], dict[int, Init]] = {}  # by boot and inum, by start
        self._starts: dict[tuple[str, int], list[int]] = {}

    def add_lives(self, piece: Piece, first_ns: int, chains: Chains) -> None:
        """Take those of a file that ended from a time on."""
        for frame, about in piece.file.blocks(frames.LIVES):
            rows = piece.file.rows(frame) if about.last_end_ns >= first_ns else None
            for at in () if rows is None else rows.first_inside():
                for life in piece.file.life(frame, rows, at) if rows is not None else ():
                    if life.kind is LifeKind.PROCESS:
                        self.add(piece.boot_id, life, chains.of(piece.file, life))

    def add(self, boot_id: str, life: Life, chain: Chain | None) -> None:
        """Take a task, if it is one."""
        if life.numbers[-1] == 1 and _is_process(life):
            start_ns = life.start_ns or 0
            container = innermost(chain or ()) if len(life.inums) > 1 else None
            made = Init(life.numbers[0] or 0, start_ns, life.comm, container)
            key = boot_id, life.inums[-1]
            self._found.setdefault(key, {}).setdefault(start_ns, made)
            self._starts.pop(key, None)

    def of(self, boot_id: str, life: Life) -> Init | None:
        """Return that of the namespace that a task was in; None: it is not known."""
        key = boot_id, life.inums[-1]
        found = self._found.get(key)
        if found is None:
            return None
        if key not in self._starts:
            self._starts[key] = sorted(found)
        starts = self._starts[key]
        at = bisect_right(starts, life.start_ns or 0)
        return found[starts[at - 1]] if at else None


class BirthsByNamespace:
    """Counts by PID namespace; ``inits`` has the number 1s of each boot before its lives come."""

    def __init__(self, inits: Inits) -> None:
        self._inits = inits
        self._rows: dict[tuple[str, int, Init | None], Row] = {}
        self._owners: dict[First, Container] = {}
        self._others = Counts()

    def add(self, boot_id: str, life: Life) -> None:
        """Count a birth."""
        init = self._inits.of(boot_id, life)
        key = boot_id, life.inums[-1], init
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= MAX_ROWS:
                _count(self._others, life)
                return
            row = self._rows[key] = self._row(life, init)
        _count(row, life)

    def _row(self, life: Life, init: Init | None) -> Row:
        row = Row(life.inums[-1])
        row.level = len(life.inums) - 1
        if init is not None:
            row.init, row.comm = init.number, init.comm
            row.first = First(init.number, init.start_ns)
            if init.container is not None:
                self._owners[row.first] = init.container
        return row

    def finish(self) -> ByNamespace:
        """Return the rows."""
        made = ByNamespace()
        for row in self._rows.values():
            made.new_row(row)
        made.others = self._others
        return made

    def owner_of(self, ns: int, first: First | None, is_current: bool) -> Container | None:
        """Return the container that a namespace's number 1 was in."""
        return None if first is None else self._owners.get(first)


Births = Union[BirthsByComm, BirthsByNamespace]


def is_birth(life: Life, asked: Asked, lives_on: bool = False) -> bool | None:
    """Whether a life is of a task that was born in the time that was asked for; None: not known.

    A leader's exit is not counted: its process has another record, or is among those that live on.
    """
    if life.kind is LifeKind.LEADER and not lives_on:
        return False
    if life.start_ns is None:  # of a thread that called exec; it was born behind its leader
        return None if life.leader_start_ns <= asked.last_ns else False
    return asked.has(life.start_ns)


def _is_process(life: Life) -> bool:
    return life.kind in (LifeKind.PROCESS, LifeKind.LEADER)


def _count(counts: Counts, life: Life) -> None:
    if _is_process(life):
        counts.processes += 1
    else:
        counts.threads += 1
