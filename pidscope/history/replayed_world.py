"""A recording as a world: what a session learned is learned once more.

The session asks the same questions in the same order, so each answer is the next one that was kept.
Where a newer session asks in another order, or once more, it gets the next answer to that question,
or the last value: a question goes forward as far as the begin of the next step of the watch, and no
further. What was not kept raises NotKnown.

Where a part is missing, so many records are lost, as on a full ring: from there on the table is
suspect, until the recorder read all tasks again, or kept its own table, as it does each minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pidscope.errors import NotKnown, ProcError, RecordingError
from pidscope.events import ForkFailed, TaskSeen
from pidscope.history import proc_json, timeline
from pidscope.history.event_file import Gap
from pidscope.history.replayed_ring import ReplayedRing, expect_whole
from pidscope.history.table_rows import TableRows, parse_table
from pidscope.history.tasks_delta import apply_changes
from pidscope.history.timeline import Entry, parse_entries, unpack_json, unpack_word
from pidscope.snapshot import Status, TaskReading
from pidscope.wire.batch import decode_batch
from pidscope.wire.hooks import WAYS, hooks_of

_MAX_RECORDS = 64 << 20  # bytes between two marks: a ring's are 8 MiB
_MAX_VALUES = 1 << 20
_MAX_NOTES = 1 << 16
_SIMULATED = "simulated"
_LATEST_S = 1 << 33  # since the epoch, of a boot: the year 2242
_NOTHING = memoryview(b"")
_WHOLE_READINGS = (timeline.TASKS, timeline.REFUSED)
_Values = dict[int, deque[int]]


class _Mark(NamedTuple):
    """What was asked, or a fence, or a step; and the values from there to the next mark."""

    kind: int  # 0: the begin, or a gap
    payload: memoryview
    values: _Values
    gap: Gap | None
    tables: list[memoryview]  # that of this step, if it was kept

    @property
    def is_barrier(self) -> bool:
        return self.gap is not None or self.kind in timeline.BARRIERS


class Head(NamedTuple):
    """What an events recording says of its world."""

    way: str
    title: str
    position: int
    root_ns: int
    ns_per_tick: int
    start_offset_ns: int
    steps: bool
    missing: Sequence[str]
    hooks: Sequence[str]
    boot_s: float
    now_ns: int
    lost: int
    own: Sequence[int]
    accounted: Mapping[str, int]


_TYPES = {"way": str, "title": str, "steps": bool, "boot_s": float, "start_offset_ns": int}


def parse_head(value: Mapping[str, Any]) -> Head:
    """Return a head; raises RecordingError: it has not the form that a recorder gives it."""
    found: dict[str, Any] = {name: value.get(name) for name in Head._fields}
    lists: dict[str, Any] = {name: found.pop(name) for name in ("missing", "hooks", "own")}
    accounted = proc_json.counts_of(found.pop("accounted"))
    for name, it in found.items():
        if type(it) is not _TYPES.get(name, int):
            raise RecordingError(f"its head has no {name}")
    if found["way"] not in (*WAYS, _SIMULATED) or found["ns_per_tick"] <= 0:
        raise RecordingError("its head names no probe mode")
    if not 0 <= found["boot_s"] < _LATEST_S:
        raise RecordingError("its head is of no year that there is")
    for name in ("missing", "hooks"):
        if not isinstance(lists[name], list) or not all(isinstance(it, str) for it in lists[name]):
            raise RecordingError(f"its head has no {name}")
    lists["own"] = proc_json.numbers_of(lists["own"])
    return Head(**found, **lists, accounted=accounted)


class ReplayedWorld:
    """A `pidscope.session.world.World`.

    Args:
        path: what messages call the recording.
        head: what does not change.
        pieces: its entries, and where some are missing.
        steps: intermediate events are reported, if they were recorded.

    Attributes:
        ended: its last step is reached.
        cut: why it has no end; empty: it has, or is not read so far.
        gaps: why parts before are missing.
    """

    ready_fd = None

    def __init__(
        self, path: str, head: Head, pieces: Iterator[bytes | Gap], steps: bool = True
    ) -> None:
        self.path, self.head, self._pieces = path, head, pieces
        self.steps = steps and head.steps
        self.ring = ReplayedRing(head.position, self._position, head.steps and not steps)
        self.procfs: Any = _ReplayedProc(self._answer)
        self.root_ns, self.ns_per_tick = head.root_ns, head.ns_per_tick
        self.start_offset_ns = head.start_offset_ns
        self.way, self.missing = head.way, head.missing
        self.ended = False
        self.cut = ""
        self.gaps: list[str] = []
        self._hooks = {it.name for it in hooks_of(self.way, self.steps)} & {*head.hooks}
        self._open: _Mark | None = _new_mark(0)  # the last one read, whose values are coming
        self._entries: Iterator[Entry] = iter(())
        self._ahead: deque[_Mark] = deque()
        self._last = {timeline.NOW: head.now_ns, timeline.LOST: head.lost}
        self._lost_here = 0  # records that are missing from the recording
        self._tasks: bytes | None = None  # the last reading; None: a part is missing since
        self._notes: deque[tuple[str, dict[str, Any]]] = deque()
        self._values: _Values = {}
        self._hits: dict[str, int] = {}
        self._at = self._next()
        self._enter(self._at)

    # Where the watch is

    def step(self) -> None:
        """Go to the begin of the next step, or where a part is missing."""
        self.look_for_end()
        while not self.ended:
            self._forward()
            if self._at.kind == timeline.STEP or self._at.gap is not None:
                self.look_for_end()
                return

    def look_for_end(self) -> None:
        """Find out whether no step follows."""
        ahead = 0
        mark = self._peek(ahead)
        while mark is not None and not mark.is_barrier:
            ahead += 1
            mark = self._peek(ahead)
        goes_on = mark is not None and (mark.kind == timeline.STEP or mark.gap is not None)
        self.ended = not goes_on

    def expect_judged(self) -> None:
        """Go to the comparison with /proc; raise NotKnown: there is none."""
        found = self._peek(0)
        while found is not None and found.kind != timeline.JUDGE and not found.is_barrier:
            self._forward()
            found = self._peek(0)
        if found is None or found.kind != timeline.JUDGE:
            why = self.cut or "its recorder did not compare with /proc at its end"
            raise NotKnown(f"{self.path}: nothing was judged: {why}")
        self._forward()

    @property
    def present_ns(self) -> int:
        """The time, as far as it was asked for."""
        return self._last[timeline.NOW]

    @property
    def begun_ns(self) -> int | None:
        """When all tasks had been read, by CLOCK_BOOTTIME; None: that is missing."""
        found = (value.get("at_ns") for of, value in self._notes if of == "begun")
        return next((it for it in found if isinstance(it, int)), None)

    @property
    def can_repair(self) -> bool:
        """Whether the recorder has read all tasks anew in this step."""
        return self.has_tasks and self._find(timeline.ANSWER, "numbers") is not None

    @property
    def has_tasks(self) -> bool:
        """Whether the recorder has read all tasks once more in this step, as far as is known."""
        kinds = timeline.READINGS if self._tasks is not None else _WHOLE_READINGS
        return any(self._find(kind) is not None for kind in kinds)

    def take_table(self) -> TableRows | None:
        """Return the table that the recorder had at the begin of this step, and go there, once.

        None: it was not kept. Raises RecordingError, WireError.
        """
        if not self._at.tables:
            return None
        rows = parse_table(self._at.tables.pop())
        self.ring.go_to(rows.position)
        return rows

    def note(self, of: str, event: ForkFailed) -> Mapping[str, Any]:
        """Return what the recorder read because of an event; empty: nothing."""
        for at, (kind, value) in enumerate(self._notes):
            if kind == of and (value.get("ts_ns"), value.get("by")) == (event.ts_ns, event.by):
                del self._notes[at]
                return value
        return {}

    # The world

    @property
    def lost(self) -> int:
        """Records that could not be written, or are missing from the recording."""
        return self._value(timeline.LOST) + self._lost_here

    @property
    def skipped(self) -> Mapping[str, int]:
        """Runs of each hook that the kernel skipped; none, if it was not asked at this place."""
        if self._find(timeline.ANSWER, "skipped") is None:
            return {}
        return proc_json.counts_of(self._answer("skipped", None))

    def tasks(self) -> Sequence[TaskSeen] | None:
        """Every task."""
        written = self.task_records()
        return None if written is None else decode_batch(written)

    def task_records(self) -> bytes | None:
        """The same, not decoded; raises OSError as the recorder did; NotKnown."""
        found = [self._find(kind) for kind in timeline.READINGS]
        ahead = min((it for it in found if it is not None), default=None)
        if ahead is None:
            raise NotKnown(f"{self.path}: no reading of all tasks was recorded here")
        self._go(ahead)
        if self._at.kind == timeline.REFUSED:
            _, number, why = [*unpack_json(self._at.payload), None, None][:3]
            if number is None:
                return None
            raise OSError(number, str(why))
        if self._tasks is None:
            raise NotKnown(f"{self.path}: a reading of all tasks is missing")
        return self._tasks

    def sees(self, name: str) -> bool:
        """Whether the hook of this name was attached."""
        return name in self._hooks

    def hits(self) -> Mapping[str, int]:
        """How many records each hook had to write; asked more often, the last; raises NotKnown."""
        if not self._hits or self._find(timeline.ANSWER, "hits") is not None:
            self._hits = proc_json.counts_of(self._answer("hits", None))
        return self._hits

    def fence(self) -> None:
        """Go on to the fence, if that is next."""
        found = self._peek(0)
        if found is not None and found.kind == timeline.FENCE:
            self._forward()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self._value(timeline.NOW)

    def boot_s(self) -> float:
        """When the world booted."""
        return self.head.boot_s

    def rest(self) -> None:
        """Nothing happens by itself."""

    # Forwards

    def _position(self) -> int:
        return self._value(timeline.POSITION)

    def _value(self, kind: int) -> int:
        """Return what was learned when this was asked so often since the last mark."""
        values = self._values.get(kind)
        if values:
            self._last[kind] = values.popleft() if len(values) > 1 else values[0]
        return self._last.get(kind, 0)

    def _answer(self, what: str, of: int | None) -> Any:
        ahead = self._find(timeline.ANSWER, what, of)
        if ahead is None:
            number = "" if of is None else f" of {of}"
            raise NotKnown(f"{self.path}: {what}{number} was not recorded here")
        self._go(ahead)
        return _parsed(self._at)[2]

    def _find(self, kind: int, what: str = "", of: int | None = None) -> int | None:
        """Return how many marks ahead something is, before the next barrier; None: it is not."""
        ahead = 0
        while True:
            mark = self._peek(ahead)
            if mark is None or mark.is_barrier:
                return None
            if mark.kind == kind and (not what or _parsed(mark)[:2] == [what, of]):
                return ahead
            ahead += 1

    def _peek(self, ahead: int) -> _Mark | None:
        """Return a mark that is to come; None: there is no more."""
        while len(self._ahead) <= ahead:
            if self._open is None:
                return None
            self._ahead.append(self._next())
        return self._ahead[ahead]

    def _go(self, ahead: int) -> None:
        for _ in range(ahead + 1):
            self._forward()

    def _forward(self) -> None:
        """Go to the next mark; at the end, to a gap that stays."""
        mark = self._peek(0)
        if mark is None:
            self.ended = True
            return
        self._at = self._ahead.popleft()
        self._enter(self._at)

    def _enter(self, mark: _Mark) -> None:
        self._values = mark.values
        if mark.kind == timeline.TASKS:
            self._tasks = bytes(mark.payload)
        elif mark.kind == timeline.CHANGED_TASKS and self._tasks is not None:
            self._tasks = apply_changes(self._tasks, bytes(mark.payload))
        elif mark.kind in timeline.BARRIERS:
            self._last[timeline.NOW] = unpack_word(mark.payload)
        if mark.gap is not None:
            self._lost_here += mark.gap.records
            self._tasks = None
            if self._open is None and not self._ahead:
                self.cut = mark.gap.why
            else:
                self.gaps.append(mark.gap.why)

    def _next(self) -> _Mark:
        """Read on to the next mark, and return the last one with its values; raises RecordingError.

        Its records are in the ring then.
        """
        mark = self._open
        assert mark is not None
        records = values = 0
        while True:
            entry = next(self._entries, None)
            if entry is None:
                piece = next(self._pieces, None)
                if isinstance(piece, Gap):
                    self._open = _new_mark(0, gap=piece)
                    return mark
                if piece is None:
                    self._open = None
                    return mark
                self._entries = parse_entries(piece)
            elif entry.kind == timeline.RECORDS:
                memory = entry.payload[8:]
                expect_whole(memory)
                self.ring.add(entry.word, memory)
                records += len(memory)
            elif entry.kind in timeline.VALUES:
                mark.values.setdefault(entry.kind, deque()).append(entry.word)
                values += 1
            elif entry.kind == timeline.NOTE:
                self._keep_note(entry)
            elif entry.kind == timeline.TABLE:
                mark.tables[:] = [entry.payload]
            else:
                self._open = None if entry.kind == timeline.END else _new_mark(*entry)
                if entry.kind == timeline.END:
                    self._pieces = iter(())
                return mark
            if records > _MAX_RECORDS or values > _MAX_VALUES:
                raise RecordingError(f"{self.path}: more at one moment than a ring has")

    def _keep_note(self, entry: Entry) -> None:
        of, value = [*unpack_json(entry.payload), None][:2]
        if isinstance(value, dict):
            self._notes.append((of, value))
            if len(self._notes) > _MAX_NOTES:
                self._notes.popleft()


class _ReplayedProc:
    """What a session asks of a `pidscope.snapshot.ProcFiles`, as it was answered."""

    def __init__(self, answer: Callable[[str, int | None], Any]) -> None:
        self._answer = answer

    def numbers(self) -> list[int]:
        return proc_json.numbers_of(self._answer("numbers", None))

    def threads(self, number: int) -> list[int]:
        return proc_json.numbers_of(self._answer("threads", number))

    def read(self, number: int) -> TaskReading | None:
        return proc_json.reading_of(self._answer("read", number))

    def judged_status(self, number: int) -> Status | None:
        answer = self._answer("judged_status", number)
        if isinstance(answer, dict):
            line, it = answer.get("line_number"), answer.get
            at = line if isinstance(line, int) else 0
            raise ProcError(str(it("path")), at, str(it("line")), str(it("reason")))
        return proc_json.status_of(answer)

    def start_ticks(self, number: int) -> int | None:
        return proc_json.number_of(self._answer("start_ticks", number))

    def pid_ns(self, number: int) -> int | None:
        return proc_json.number_of(self._answer("pid_ns", number))

    def forks(self) -> int | None:
        return proc_json.number_of(self._answer("forks", None))

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        return proc_json.pairs_of(self._answer("ns_chain", number))

    def own_number(self) -> int | None:
        return None


def _new_mark(kind: int, payload: memoryview = _NOTHING, gap: Gap | None = None) -> _Mark:
    return _Mark(kind, payload, {}, gap, [])


def _parsed(mark: _Mark) -> list[Any]:
    """Return what was asked, of which task, and the answer."""
    return [*unpack_json(mark.payload), None, None][:3]
