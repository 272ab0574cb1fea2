"""A world that keeps what a session learns of it, in order, as it passes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pidscope.errors import ProcError
from pidscope.events import TaskSeen
from pidscope.history import timeline
from pidscope.history.proc_json import reading_json, status_json
from pidscope.history.table_rows import pack_table
from pidscope.history.tasks_delta import pack_changes
from pidscope.history.timeline import count_records, pack_entry, pack_json, pack_record, pack_word
from pidscope.session.stream import Stream
from pidscope.session.world import RecordRing, World
from pidscope.snapshot import ProcFiles, Status, TaskReading
from pidscope.table.table import Table
from pidscope.wire.batch import decode_batch
from pidscope.wire.hooks import hooks_of

_T = TypeVar("_T")


class Piece(NamedTuple):
    """What was learned since the last piece."""

    content: bytes  # entries
    records: int  # among them


class Log:
    """What was learned and not taken yet; ``full`` is called when there is much of it."""

    def __init__(self, full: Callable[[], None] = lambda: None, much: int = 1 << 20) -> None:
        self._full, self._much = full, much
        self._entries: list[bytes] = []
        self._bytes = 0
        self._records = 0
        self._run = bytearray()  # records that follow one another, behind their position
        self._next = -1  # the position behind them

    def add(self, kind: int, payload: bytes = b"") -> None:
        """Append an entry."""
        self._close_run()
        self._append(pack_entry(kind, payload))

    def add_word(self, kind: int, value: int) -> int:
        """Append a value, and return it."""
        self.add(kind, pack_word(value))
        return value

    def add_records(self, position: int, memory: bytes | memoryview) -> None:
        """Append records that lie in a ring from ``position`` on."""
        if position != self._next or len(self._run) >= self._much:
            self._close_run()
            self._run += pack_word(position)
        self._run += memory
        self._next = position + len(memory)

    def take(self) -> Piece:
        """Return what was appended, and begin anew."""
        self._close_run()
        piece = Piece(b"".join(self._entries), self._records)
        self._entries.clear()
        self._bytes = self._records = 0
        return piece

    @property
    def is_empty(self) -> bool:
        """Whether nothing was appended since it was taken."""
        return not self._entries and not self._run

    def _close_run(self) -> None:
        if self._run:
            self._records += count_records(memoryview(self._run)[8:])
            run, self._run, self._next = bytes(self._run), bytearray(), -1
            self._append(pack_entry(timeline.RECORDS, run))

    def _append(self, entry: bytes) -> None:
        self._entries.append(entry)
        self._bytes += len(entry)
        if self._bytes >= self._much:
            self._full()


class RecordedRing:
    """A `pidscope.session.world.RecordRing`: what is taken from another one is kept."""

    def __init__(self, ring: RecordRing, log: Log) -> None:
        self._ring, self._log = ring, log

    @property
    def position(self) -> int:
        """The end of the stream."""
        return self._log.add_word(timeline.POSITION, self._ring.position)

    @property
    def consumed(self) -> int:
        """The position of the next record to be yielded."""
        return self._ring.consumed

    def drain(self, until: int) -> Iterator[bytes | memoryview]:
        """Yield each record that begins before ``until`` and was not yielded yet."""
        at = self._ring.consumed
        for record in self._ring.drain(until):
            packed = pack_record(record)
            self._log.add_records(at, packed)
            at += len(packed)
            yield record

    def stretch(self, until: int) -> memoryview:
        """The same as they lie in the ring."""
        return self._ring.stretch(until)

    def advance(self, size: int) -> None:
        """Give back so many bytes of what comes next."""
        begin = self._ring.consumed
        if size:
            with self._ring.stretch(begin + size) as memory:
                self._log.add_records(begin, bytes(memory[:size]))
        self._ring.advance(size)


class RecordedProc:
    """A `pidscope.snapshot.ProcFiles`: what a session reads of another one is kept."""

    def __init__(self, proc: ProcFiles, log: Log) -> None:
        self._proc, self._log = proc, log

    def __getattr__(self, name: str) -> Any:
        """What no session asks for is not kept."""
        return getattr(self._proc, name)

    def numbers(self) -> list[int]:
        """The process numbers listed, increasing."""
        return self._kept("numbers", None, self._proc.numbers(), list)

    def threads(self, number: int) -> list[int]:
        """The tids of process ``number``, increasing."""
        return self._kept("threads", number, self._proc.threads(number), list)

    def read(self, number: int) -> TaskReading | None:
        """Status, namespace and start of one task."""
        return self._kept("read", number, self._proc.read(number), reading_json)

    def judged_status(self, number: int) -> Status | None:
        """The PID lines of one status file; raises ProcError."""
        try:
            status = self._proc.judged_status(number)
        except ProcError as error:
            fault = {"path": error.path, "line_number": error.line_number}
            fault |= {"line": error.line, "reason": error.reason}
            self._kept("judged_status", number, None, lambda _: fault)
            raise
        return self._kept("judged_status", number, status, status_json)

    def start_ticks(self, number: int) -> int | None:
        """Field 22 of stat."""
        return self._kept("start_ticks", number, self._proc.start_ticks(number), _as_it_is)

    def pid_ns(self, number: int) -> int | None:
        """The inum of ``ns/pid``."""
        return self._kept("pid_ns", number, self._proc.pid_ns(number), _as_it_is)

    def forks(self) -> int | None:
        """``processes`` of /proc/stat."""
        return self._kept("forks", None, self._proc.forks(), _as_it_is)

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """(inum, inum of its parent) from the task's own PID namespace outwards."""
        return self._kept("ns_chain", number, self._proc.ns_chain(number), list)

    def _kept(self, what: str, of: int | None, answer: _T, made: Callable[[Any], Any]) -> _T:
        self._log.add(timeline.ANSWER, pack_json([what, of, made(answer)]))
        return answer


class RecordedWorld:
    """A `pidscope.session.world.World`: what a session learns of another one is kept."""

    def __init__(self, world: World, log: Log) -> None:
        self._world, self._log = world, log
        self.ring = RecordedRing(world.ring, log)
        self.procfs: Any = RecordedProc(world.procfs, log)
        self.root_ns = world.root_ns
        self.ns_per_tick = world.ns_per_tick
        self.start_offset_ns = world.start_offset_ns
        self.way, self.steps = world.way, world.steps
        self._tasks = b""  # what the task iterator wrote the last time

    def step(self) -> None:
        """Begin a step of the watch."""
        self._log.add_word(timeline.STEP, self._world.now_ns())

    def keep_table(self, table: Table) -> None:
        """Keep the table as it is at the begin of this step, from which a replay can go on."""
        packed = pack_table(table, self._world.ring.consumed)
        if packed is not None:
            self._log.add(timeline.TABLE, packed)
            self._tasks = b""  # the next reading of all tasks is kept whole

    def judge(self) -> None:
        """Begin the comparison with /proc."""
        self._log.add_word(timeline.JUDGE, self._world.now_ns())

    def end(self) -> None:
        """End: nothing is missing."""
        self._log.add_word(timeline.END, self._world.now_ns())

    def note(self, of: str, value: Mapping[str, Any]) -> None:
        """Keep what was read because of an event."""
        self._log.add(timeline.NOTE, pack_json([of, value]))

    def head(self, stream: Stream) -> dict[str, Any]:
        """Return what does not change, and what the session has counted already."""
        world = self._world
        return {
            "position": world.ring.consumed,
            "root_ns": self.root_ns,
            "ns_per_tick": self.ns_per_tick,
            "start_offset_ns": self.start_offset_ns,
            "steps": self.steps,
            "missing": list(world.missing),
            "hooks": [it.name for it in hooks_of(self.way, self.steps) if world.sees(it.name)],
            "boot_s": float(world.boot_s()),
            "now_ns": world.now_ns(),
            "lost": stream.lost,
            "own": sorted(stream.own),
            "accounted": dict(stream.accounted),
        }

    @property
    def present_ns(self) -> int:
        """The time, which is not kept: the recorder asks for itself."""
        return self._world.now_ns()

    @property
    def ready_fd(self) -> int | None:
        """A descriptor that is readable while the ring has a record."""
        return self._world.ready_fd

    @property
    def missing(self) -> Sequence[str]:
        """What the watch cannot report."""
        return self._world.missing

    @property
    def lost(self) -> int:
        """Records that could not be written so far."""
        return self._log.add_word(timeline.LOST, self._world.lost)

    @property
    def skipped(self) -> Mapping[str, int]:
        """Runs of each hook that the kernel skipped."""
        return self._answer("skipped", self._world.skipped)

    def tasks(self) -> Sequence[TaskSeen] | None:
        """Every task, which is kept whole: a table is made of it."""
        self._tasks = b""
        written = self.task_records()
        return None if written is None else decode_batch(written)

    def task_records(self) -> bytes | None:
        """The same, not decoded; kept is what has changed since the last time."""
        try:
            written = self._world.task_records()
        except OSError as error:
            why = error.errno, error.strerror or str(error)
            self._log.add(timeline.REFUSED, pack_json(["refused", *why]))
            raise
        if written is None:
            self._log.add(timeline.REFUSED, pack_json(["refused", None, ""]))
        else:
            self._keep_tasks(written)
        return written

    def _keep_tasks(self, written: bytes) -> None:
        changes = None if written == self._tasks else pack_changes(self._tasks, written)
        if written and written == self._tasks:
            self._log.add(timeline.SAME_TASKS)
        elif changes is not None:
            self._log.add(timeline.CHANGED_TASKS, changes)
        else:
            self._log.add(timeline.TASKS, written)
        self._tasks = written

    def sees(self, name: str) -> bool:
        """Whether the hook of this name is attached."""
        return self._world.sees(name)

    def hits(self) -> Mapping[str, int]:
        """How many records each hook had to write so far."""
        return self._answer("hits", self._world.hits())

    def fence(self) -> None:
        """Return once every change whose record was written before has become visible."""
        self._log.add(timeline.FENCE)
        self._world.fence()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME of the initial time namespace."""
        return self._log.add_word(timeline.NOW, self._world.now_ns())

    def boot_s(self) -> float:
        """When the world booted."""
        return self._world.boot_s()

    @property
    def ended(self) -> bool:
        """Whether nothing can happen any more."""
        return self._world.ended

    def rest(self) -> None:
        """Stop what happens while /proc is read."""
        self._world.rest()

    def _answer(self, what: str, answer: Mapping[str, int]) -> Mapping[str, int]:
        self._log.add(timeline.ANSWER, pack_json([what, None, dict(answer)]))
        return answer


def _as_it_is(value: Any) -> Any:
    return value
