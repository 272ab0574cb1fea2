"""Which task had a number at a time, and which tasks lived then, from the files of a recording.

The argument. Let T be the time, and S the first snapshot at or after T. A task that lived at T has
ended by S, and then its life is in the record between T and S; or it lives at S, and is in S. So
both together are complete if the record has no gap from T to S, and what is in neither did not
live at T. Where the record ends before there is such a snapshot, at E, the last snapshot before T
takes its place: what is in that and has not ended by E lived at T. Then a task that was born since
that snapshot and lived on at E is in neither, so what is not found is not known.

Pure but for the files that are read, through `pidscope.history.segment_file`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from pidscope.errors import UsageError
from pidscope.history import frames
from pidscope.history.answer import (
    ENDS,
    GONE,
    NO_THREADS,
    NOT_RECORDING,
    Answer,
    Gap,
    Holder,
)
from pidscope.history.blocks import Summary
from pidscope.history.frames import Frame
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import Span, StatedGap, Stretch
from pidscope.wire.lives import UID_UNKNOWN, Life, LifeKind

_MOST = 1_000_000  # tasks of one answer
_Identity = tuple[tuple[Optional[int], ...], Optional[int]]  # all its numbers, and its start
_TICK_NS = (
    10_000_000  # in which /proc/N/stat has a start: USER_HZ is 100 (uapi/asm-generic/param.h)
)


class Window:
    """What a recording has of one stretch of time, and of what comes behind it up to a snapshot.

    Args:
        files: of the boot, in their order, from the one that the stretch begins in.
        asked: the stretch.
        span: what is known of these files already, of a stretch that it covers.
    """

    def __init__(
        self, files: Iterable[SegmentFile], asked: Stretch, span: Span | None = None
    ) -> None:
        self.asked = asked
        self.span = Span(files, asked) if span is None else span
        self._files = self.span.files

    @property
    def until_ns(self) -> int:
        """When the snapshot behind it was taken, or the record ends."""
        return self.span.until_ns

    @property
    def initial_ns(self) -> int | None:
        """The inum of the initial PID namespace; None: the recording does not say."""
        return self.span.initial_ns

    def holders(self, ns: int, number: int) -> Answer:
        """Return which tasks had a number in the namespace with this inum."""
        lives, living = self.span.having(ns, number)
        gap = self._gap()
        if living and self._by_snapshot_before(gap):
            # A task that has ended since had the number: its life is among these.
            ended = _identities(it for it in lives if self._ended_since(it.end_ns))
            living = tuple(it for it in living if _identity(it) not in ended)
        answer = self._answer(lives, living if self._has_snapshot(gap) else (), gap)
        if any(map(self._lasted, answer.holders)):
            return answer._replace(gap=None)
        if answer.gap is None and self._has_unknown_numbers(ns):
            gap = self._missing("a thread that called exec had a number there that is not known")
            return answer._replace(gap=gap)
        return answer

    def _has_unknown_numbers(self, ns: int) -> bool:
        """Whether a number in the namespace is not known of some task; its record has 0 there.

        Tracepoint mode alone has such records, of threads that called exec.
        """
        from pidscope.wire.hooks import TRACEPOINT  # all the hooks, which look-ups do without

        files = (it for it in self._files if it.head.get("mode") == TRACEPOINT)
        zeros = (life for file in files for life in file.having(ns, 0))
        return any(it.end_ns >= self.asked.first_ns for it in zeros)

    def alive(self, threads: bool = True) -> Answer:
        """Return every task that lived; without ``threads`` every process.

        Raises UsageError: they are too many.
        """
        self._expect_few()
        lives: Iterable[Life] = [life for file in self._files for life in self._lives(file)]
        gap = self._gap(threads)
        living: Iterable[Life] = ()
        ended: set[_Identity] = set()
        if self._by_snapshot_before(gap):
            ended = _identities(self._lives_between())
            gap = self._gap(threads)  # behind what has just been read, which may be damaged
        if self._has_snapshot(gap):
            living = (it for it in self._snapshot() if _identity(it) not in ended)
        if not threads:
            lives, living = filter(is_of_process, lives), filter(is_of_process, living)
        return self._answer(lives, living, gap, threads)

    def _expect_few(self) -> None:
        """Raise UsageError for a stretch with so many lives that they are no answer."""
        if sum(about.rows for file in self._files for _, about in self._blocks(file)) > _MOST:
            raise UsageError(f"more than {_MOST:,} tasks ended in that time", "give one more exact")

    def _blocks(self, file: SegmentFile) -> Iterator[tuple[Frame, Summary]]:
        """Yield the blocks of lives that may have lasted into the stretch."""
        asked = self.asked
        for frame, about in file.blocks(frames.LIVES):
            if about.last_end_ns >= asked.first_ns and about.first_start_ns <= asked.last_ns:
                yield frame, about

    def _lives(self, file: SegmentFile) -> Iterator[Life]:
        """Yield the lives that may have lasted into the stretch."""
        for frame, _ in self._blocks(file):
            rows = file.rows(frame)
            if rows is not None:
                both = zip(rows.starts(), rows.ends())
                for at, (start, end) in enumerate(both):
                    if start <= self.asked.last_ns and end >= self.asked.first_ns:
                        yield from file.life(frame, rows, at)

    def _answer(
        self,
        lives: Iterable[Life],
        living: Iterable[Life],
        gap: Gap | None,
        threads: bool = True,
    ) -> Answer:
        """Return what lasted into the stretch: of lives, and of a snapshot."""
        asked = self.asked
        lasting = [it for it in lives if it.end_ns >= asked.first_ns]
        exact = {_as_in_proc(it): _identity(it) for it in lasting}
        found: dict[_Identity, Holder] = {}
        # What is said last counts: a leader's exit is not its process's end.
        for life in lasting:
            if life.kind is LifeKind.LEADER:
                end_ns = life.end_ns if threads else None  # of the task, not of the process
                found[_identity(life)] = to_holder(asked.boot_id, life, end_ns)
        for life in living:
            known_as = _identity(life)
            found[exact.get(known_as, known_as)] = to_holder(asked.boot_id, life, None)
        for life in lasting:
            if life.kind is not LifeKind.LEADER:
                found[_identity(life)] = to_holder(asked.boot_id, life, life.end_ns)
        begun = [it for it in found.values() if (it.start_ns or 0) <= asked.last_ns]
        known = tuple([it for it in begun if it.start_ns is not None])
        gap = gap or self._gap(threads)  # what was read since may have been found damaged
        if len(known) < len(begun) and gap is None:
            gap = self._missing("a thread that called exec had it; since when is not known")
        return Answer(known, gap)

    def _lasted(self, it: Holder) -> bool:
        """Whether a task lived all the time asked about, so that no other had its numbers."""
        last = self.until_ns if it.end_ns is None else it.end_ns
        begun = it.start_ns is not None and it.start_ns <= self.asked.first_ns
        return begun and last >= self.asked.last_ns

    def _has_snapshot(self, gap: Gap | None) -> bool:
        """Whether a snapshot tells who lived: that behind it, or that before up to here."""
        if self.span.after:
            return True
        until = self.until_ns
        # Else what ended since may not be recorded.
        return until >= self.asked.first_ns and (gap is None or gap.first_ns >= until)

    def _by_snapshot_before(self, gap: Gap | None) -> bool:
        """Whether it is the one before, of which some tasks have ended since."""
        return not self.span.after and bool(self.span.before) and self._has_snapshot(gap)

    def _snapshot(self) -> Iterator[Life]:
        """Yield the tasks of the snapshot behind, or of that before."""
        for file, frame, _ in self.span.after or self.span.before:
            rows = file.rows(frame)
            if rows is not None:
                for at in range(rows.count):
                    yield from file.life(frame, rows, at)

    def _ended_since(self, end_ns: int) -> bool:
        """Whether a task ended from the snapshot before to the time asked for."""
        return self.span.before[0].about.taken_ns <= end_ns < self.asked.first_ns

    def _lives_between(self) -> Iterator[Life]:
        """Yield what ended from the snapshot before to the time asked for."""
        taken_ns = self.span.before[0].about.taken_ns
        for file in self._files:
            for frame, about in file.blocks(frames.LIVES):
                if about.last_end_ns < taken_ns or about.first_end_ns > self.asked.first_ns:
                    continue
                rows = file.rows(frame)
                for at, end in enumerate(() if rows is None else rows.ends()):
                    if self._ended_since(end) and rows is not None:
                        yield from file.life(frame, rows, at)

    def _gap(self, threads: bool = True) -> Gap | None:
        """Return why the window is not complete, without ``threads`` of processes; None: it is."""
        if not self._files:
            return self._missing(NOT_RECORDING)
        begun = self.span.begun_ns
        if begun is None or begun > self.asked.first_ns:
            return self._missing(GONE, last_ns=begun)
        for gap in self.span.gaps():
            if self._touches(gap):
                return Gap(self.asked.boot_id, *gap)
        if not self.span.after:
            return self._missing(ENDS, first_ns=self.until_ns)
        if threads and not self.span.has_threads:
            return self._missing(NO_THREADS)
        return None

    def _touches(self, gap: StatedGap) -> bool:
        """Whether it lies in what the argument rests on."""
        begin = self.asked.first_ns
        if self.span.before and not self.span.after:
            begin = self.span.before[0].about.taken_ns
        return (gap.last_ns is None or gap.last_ns >= begin) and gap.first_ns <= self.until_ns

    def _missing(self, reason: str, first_ns: int = 0, last_ns: int | None = None) -> Gap:
        return Gap(self.asked.boot_id, first_ns, last_ns, reason)


def to_holder(boot_id: str, life: Life, end_ns: int | None) -> Holder:
    """Return a life as the answer to a question; ``end_ns`` None: it has not ended."""
    ended = end_ns is not None
    return Holder(
        boot_id=boot_id,
        numbers=life.numbers,
        inums=life.inums,
        tgid=life.tgid,
        start_ns=life.start_ns,
        end_ns=end_ns,
        status=life.status if ended and life.kind is not LifeKind.LEADER else None,
        facts_ns=life.end_ns,
        comm=life.comm,
        ppid=life.ppid,
        pgid=life.pgid,
        sid=life.sid,
        uid=None if life.uid == UID_UNKNOWN else life.uid,
        cgroup_id=life.cgroup_id,
    )


def is_of_process(life: Life) -> bool:
    """Whether it is a process's, or its leader's, and not another thread's."""
    return life.kind in (LifeKind.PROCESS, LifeKind.LEADER)


def _identity(life: Life) -> _Identity:
    return life.numbers, life.start_ns


def _identities(lives: Iterable[Life]) -> set[_Identity]:
    return {each for it in lives for each in (_identity(it), _as_in_proc(it))}


def _as_in_proc(life: Life) -> _Identity:
    """Return the identity that it has in a snapshot for which it was read from /proc."""
    start = life.start_ns
    return life.numbers, None if start is None else start - start % _TICK_NS
