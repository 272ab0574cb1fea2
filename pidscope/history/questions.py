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
from typing import Any, Callable, NamedTuple, Optional

from pidscope.history import frames
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.blocks import Rows, Summary
from pidscope.history.frames import Frame
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import UID_UNKNOWN, Life, LifeKind

Choice = Callable[[Rows], Iterable[int]]  # of a block's rows, those that are meant
_Identity = tuple[tuple[Optional[int], ...], Optional[int]]  # all its numbers, and its start
_TICK_NS = (
    10_000_000  # in which /proc/N/stat has a start: USER_HZ is 100 (uapi/asm-generic/param.h)
)


class Stretch(NamedTuple):
    """The time asked about, on one boot: CLOCK_BOOTTIME in ns, both ends included."""

    boot_id: str
    first_ns: int
    last_ns: int


class _Taken(NamedTuple):
    """A block of a snapshot."""

    file: SegmentFile
    frame: Frame
    about: Summary


class Window:
    """What a recording has of one stretch of time, and of what comes behind it up to a snapshot.

    Args:
        files: of the boot, in their order, from the one that the stretch begins in.
        asked: the stretch.
    """

    def __init__(self, files: Iterable[SegmentFile], asked: Stretch) -> None:
        self.asked = asked
        self._files: list[SegmentFile] = []
        self._before: list[_Taken] = []  # the last snapshot's blocks before it
        self._after: list[_Taken] = []  # those of the first behind it
        for file in files:
            self._files.append(file)
            if self._has_snapshot_behind(file):
                break

    def _has_snapshot_behind(self, file: SegmentFile) -> bool:
        """Look for the blocks of the snapshots around the stretch: each has one for each class."""
        for frame, about in file.blocks(frames.ALIVE):
            if about.taken_ns <= self.asked.first_ns:
                self._before = _with(self._before, _Taken(file, frame, about))
            elif about.taken_ns >= self.asked.last_ns:
                if self._after and about.taken_ns != self._after[0].about.taken_ns:
                    break
                self._after.append(_Taken(file, frame, about))
        return bool(self._after)

    @property
    def until_ns(self) -> int:
        """When the snapshot behind it was taken, or the record ends."""
        if self._after:
            return self._after[0].about.taken_ns
        return max((file.through.boottime_ns for file in self._files), default=0)

    @property
    def initial_ns(self) -> int | None:
        """The inum of the initial PID namespace; None: the recording does not say."""
        found = self._files[0].head.get("initial_ns") if self._files else None
        return found if isinstance(found, int) else None

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield what the files have beside rows: heads, cgroups, containers, gaps."""
        for file in self._files:
            yield from file.json()

    def holders(self, ns: int, number: int) -> Answer:
        """Return which tasks had a number in the namespace with this inum."""
        lives = [life for file in self._files for life in file.having(ns, number)]
        answer = self._answer(lives, lambda rows: rows.having(ns, number))
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

    def alive(self) -> Answer:
        """Return every task that lived."""
        lives = [life for file in self._files for life in self._lives(file)]
        return self._answer(lives, lambda rows: range(rows.count))

    def _lives(self, file: SegmentFile) -> Iterator[Life]:
        """Yield the lives that may have lasted into the stretch."""
        for frame, about in file.blocks(frames.LIVES):
            if about.last_end_ns < self.asked.first_ns or about.first_start_ns > self.asked.last_ns:
                continue
            rows = file.rows(frame)
            if rows is not None:
                both = zip(rows.starts(), rows.ends())
                for at, (start, end) in enumerate(both):
                    if start <= self.asked.last_ns and end >= self.asked.first_ns:
                        yield rows.life(at)

    def _answer(self, lives: Iterable[Life], which: Choice) -> Answer:
        gap = self._gap()
        asked = self.asked
        lasting = [it for it in lives if it.end_ns >= asked.first_ns]
        exact = {_as_in_proc(it): _identity(it) for it in lasting}
        found: dict[_Identity, Holder] = {}
        # What is said last counts: a leader's exit is not its process's end.
        for life in (it for it in lasting if it.kind is LifeKind.LEADER):
            found[_identity(life)] = self._holder(life, life.end_ns)
        for life in self._snapshot(which):
            known_as = _identity(life)
            found[exact.get(known_as, known_as)] = self._holder(life, None)
        for life in (it for it in lasting if it.kind is not LifeKind.LEADER):
            found[_identity(life)] = self._holder(life, life.end_ns)
        begun = [it for it in found.values() if (it.start_ns or 0) <= asked.last_ns]
        known = tuple(it for it in begun if it.start_ns is not None)
        gap = gap or self._gap()  # what was read since may have been found damaged
        if len(known) < len(begun) and gap is None:
            gap = self._missing("a thread that called exec had it; since when is not known")
        return Answer(known, gap)

    def _lasted(self, it: Holder) -> bool:
        """Whether a task lived all the time asked about, so that no other had its numbers."""
        last = self.until_ns if it.end_ns is None else it.end_ns
        begun = it.start_ns is not None and it.start_ns <= self.asked.first_ns
        return begun and last >= self.asked.last_ns

    def _snapshot(self, which: Choice) -> Iterator[Life]:
        """Yield the tasks of the snapshot behind, or of that before that have not ended since."""
        ended: set[_Identity] = set()
        blocks = self._after
        if not blocks:
            until, blocks = self.until_ns, self._before
            ended = self._ended_since(blocks[0].about.taken_ns) if blocks else ended
            gap = self._gap()  # behind what has just been read, which may be damaged
            if until < self.asked.first_ns or (gap is not None and gap.first_ns < until):
                return  # what ended since may not be recorded
        for file, frame, _ in blocks:
            rows = file.rows(frame)
            for at in () if rows is None else which(rows):
                life = rows.life(at) if rows is not None else None
                if life is not None and _identity(life) not in ended:
                    yield life

    def _ended_since(self, taken_ns: int) -> set[_Identity]:
        """Return what has ended from a snapshot to the time asked for."""
        return {
            identity
            for file in self._files
            for life in self._lives_between(file, taken_ns, self.asked.first_ns)
            for identity in (_identity(life), _as_in_proc(life))
        }

    def _lives_between(self, file: SegmentFile, first_ns: int, last_ns: int) -> Iterator[Life]:
        for frame, about in file.blocks(frames.LIVES):
            if about.last_end_ns >= first_ns and about.first_end_ns <= last_ns:
                rows = file.rows(frame)
                if rows is not None:
                    for at, end in enumerate(rows.ends()):
                        if first_ns <= end < last_ns:
                            yield rows.life(at)

    def _gap(self) -> Gap | None:
        """Return why the window is not complete; None: it is."""
        if not self._files:
            return self._missing("nothing was recording")
        first = self._files[0]
        begun = _begun(first.head)
        if begun is None or begun > self.asked.first_ns:
            return self._missing("nothing was recording, or its file is gone", last_ns=begun)
        for before, file in zip(self._files, self._files[1:]):
            gap = self._between(before, file)
            if gap is not None and self._touches(gap):
                return gap
        for file in self._files:
            for it in file.json():
                gap = _stated(it, self.asked.boot_id)
                if gap is not None and self._touches(gap):
                    return gap
            for damage in file.damaged:
                about = damage.about
                ends = _damaged(about) if about else (0, self.until_ns)
                gap = Gap(self.asked.boot_id, *ends, f"{damage.path} is damaged at {damage.offset}")
                if self._touches(gap):
                    return gap
        if not self._after:
            return self._missing("the record ends", first_ns=self.until_ns)
        if any(file.head.get("threads") is False for file in self._files):
            return self._missing("threads are not recorded")
        return None

    def _between(self, before: SegmentFile, file: SegmentFile) -> Gap | None:
        """Return the time between two files in which nothing was recording."""
        begun, ended = file.head.get("from_ns"), before.through.boottime_ns
        if not isinstance(begun, int) or begun > ended:
            end = begun if isinstance(begun, int) else None
            return self._missing("nothing was recording", ended, end)
        return None

    def _touches(self, gap: Gap) -> bool:
        """Whether it lies in what the argument rests on."""
        begin = self._before[0].about.taken_ns if self._before and not self._after else None
        begin = self.asked.first_ns if begin is None else begin
        return (gap.last_ns is None or gap.last_ns >= begin) and gap.first_ns <= self.until_ns

    def _missing(self, reason: str, first_ns: int = 0, last_ns: int | None = None) -> Gap:
        return Gap(self.asked.boot_id, first_ns, last_ns, reason)

    def _holder(self, life: Life, end_ns: int | None) -> Holder:
        ended = end_ns is not None
        return Holder(
            boot_id=self.asked.boot_id,
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


def _with(blocks: list[_Taken], another: _Taken) -> list[_Taken]:
    """Return the blocks of the later snapshot."""
    same = blocks and blocks[0].about.taken_ns == another.about.taken_ns
    return [*blocks, another] if same else [another]


def _identity(life: Life) -> _Identity:
    return life.numbers, life.start_ns


def _as_in_proc(life: Life) -> _Identity:
    """Return the identity that it has in a snapshot for which it was read from /proc."""
    start = life.start_ns
    return life.numbers, None if start is None else start - start % _TICK_NS


def _begun(head: dict[str, Any]) -> int | None:
    """Return from when on a file and those behind it have everything; None: it does not say.

    Files of the same recorder may have stood before it, and have been removed.
    """
    clock = head.get("clock")
    begins = clock.get("boottime_ns") if isinstance(clock, dict) else 0
    since = head.get("from_ns")
    return max(since, begins) if isinstance(since, int) and isinstance(begins, int) else None


def _damaged(about: Summary) -> tuple[int, int]:
    """Return between which times a block's rows count: those of a snapshot are of its time."""
    return min(about.first_end_ns, about.taken_ns), about.last_end_ns


def _stated(value: dict[str, object], boot_id: str) -> Gap | None:
    """Return the gap that a frame of JSON states; None: it is something else."""
    if value.get("type") != "gap":
        return None
    first, last, reason = value.get("first_ns"), value.get("last_ns"), value.get("reason")
    if not isinstance(first, int) or not isinstance(reason, str):
        return None
    return Gap(boot_id, first, last if isinstance(last, int) else None, reason)
