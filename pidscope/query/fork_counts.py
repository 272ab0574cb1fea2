"""Births and failed forks, counted by the comm that forks or by PID namespace.

Pure. A birth counts for the namespace of the new task, a failed fork for the namespace that its
child would have joined. By comm, both count for the task that forked. The kernel gives an inum out
again at once, so a namespace has a row of its own for each time that it got a number 1.
"""

from __future__ import annotations

from typing import NamedTuple

from pidscope.events import Birth, Event, ForkFailed, PidAttached, TaskExecuted, TaskRenamed
from pidscope.table.table import Table

MAX_ROWS = 16_384  # a task that changes its comm before each fork fills no memory


class First(NamedTuple):
    """A number 1 whose birth was observed: tells a namespace from the next one with its inum."""

    number: int  # in the initial namespace
    start_ns: int


class Counts:
    """How many births of processes and of threads, and failed forks."""

    __slots__ = ("failed_forks", "processes", "threads")

    def __init__(self) -> None:
        self.processes = self.threads = self.failed_forks = 0

    @property
    def sum(self) -> int:
        """All of them."""
        return self.processes + self.threads + self.failed_forks

    def add(self, event: PidAttached | ForkFailed) -> None:
        """Count one."""
        if isinstance(event, ForkFailed):
            self.failed_forks += 1
        elif event.birth is not None and event.birth.tgid == event.tid:
            self.processes += 1
        else:
            self.threads += 1


class Row(Counts):
    """The counts of one comm, or of one namespace."""

    __slots__ = ("comm", "first", "init", "level", "ns")

    def __init__(self, ns: int = 0, comm: bytes | None = None) -> None:
        super().__init__()
        self.ns = ns
        self.level: int | None = None
        self.init: int | None = None  # its number 1, in the initial namespace
        self.first: First | None = None  # None: it was there before
        self.comm = comm  # by namespace: the last one of its number 1; None: not known


class ForkCounts:
    """Counts that have rows, at most `MAX_ROWS`."""

    def __init__(self) -> None:
        self.others = Counts()  # beyond `MAX_ROWS`

    def add(self, event: Event, table: Table) -> None:
        """Count a birth or a failed fork, but no fork that is restarted; ignore other events."""
        if isinstance(event, ForkFailed) and not event.is_restarted:
            self._row_of_failed(event, table).add(event)
        elif isinstance(event, PidAttached) and event.birth is not None:
            self._row_of_birth(event, event.birth, table).add(event)

    def observe(self, event: Event) -> None:
        """Take note of an event, counted or not."""

    def _row_of_failed(self, event: ForkFailed, table: Table) -> Counts:
        raise NotImplementedError

    def _row_of_birth(self, event: PidAttached, birth: Birth, table: Table) -> Counts:
        raise NotImplementedError


class ByComm(ForkCounts):
    """Counts by the comm of the task that forked, which a child begins with."""

    by = "comm"

    def __init__(self) -> None:
        super().__init__()
        self._by_comm: dict[bytes | None, Row] = {}

    def _row_of_failed(self, event: ForkFailed, table: Table) -> Counts:
        task = table.task(event.by)
        return self.row(None if task is None else task.comm)

    def _row_of_birth(self, event: PidAttached, birth: Birth, table: Table) -> Counts:
        return self.row(birth.comm)

    def row(self, comm: bytes | None) -> Counts:
        """Return the row of a comm, or those of others."""
        row = self._by_comm.get(comm)
        if row is None:
            if len(self._by_comm) == MAX_ROWS:
                return self.others
            row = self._by_comm[comm] = Row(comm=comm)
        return row

    def rows(self) -> list[Row]:
        """Return the rows, the one with the most births and failed forks first, then by comm."""
        return sorted(self._by_comm.values(), key=lambda row: (-row.sum, row.comm or b""))


class ByNamespace(ForkCounts):
    """Counts by PID namespace."""

    by = "where"

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._current: dict[int, Row] = {}  # by inum, of the namespace that has it now
        self._inits: dict[int, Row] = {}  # by the number of its number 1

    def observe(self, event: Event) -> None:
        """Follow the comm of each number 1: a runtime's own is replaced by an exec."""
        if isinstance(event, (TaskExecuted, TaskRenamed)):
            row = self._inits.get(event.tid)
            if row is not None:
                row.comm = event.comm
        elif isinstance(event, PidAttached) and event.birth is not None:
            row = self._inits.get(event.tid)
            if row is not None and row.first != First(event.tid, event.birth.start_ns):
                del self._inits[event.tid]  # another task has its number

    def _row_of_failed(self, event: ForkFailed, table: Table) -> Counts:
        return self._row(event.children_ns, anew=False)

    def _row_of_birth(self, event: PidAttached, birth: Birth, table: Table) -> Counts:
        first = event.pid.numbers[-1] == 1 and event.pid.level > 0
        row = self._row(event.pid.ns, anew=first)
        if isinstance(row, Row):
            _look_at(row, event, birth, table)
            if row.init is not None:
                self._inits[row.init] = row
        return row

    def _row(self, ns: int, anew: bool) -> Counts:
        row = self._current.get(ns)
        if row is not None and not (anew and row.init is not None):
            return row
        if len(self._rows) == MAX_ROWS:
            self._current.pop(ns, None)
            return self.others
        return self.new_row(Row(ns))

    def new_row(self, row: Row) -> Row:
        """Add a row, of the namespace that has its inum from now on."""
        self._current[row.ns] = row
        self._rows.append(row)
        return row

    def first_row(self, ns: int) -> Row | None:
        """Return the row that an inum had first; None: it has none."""
        return next((row for row in self._rows if row.ns == ns), None)

    def rows(self) -> list[Row]:
        """Return the rows, the one with the most births and failed forks first, then by inum."""
        return sorted(self._rows, key=lambda row: (-row.sum, row.ns))

    def is_current(self, row: Row) -> bool:
        """Return whether no other namespace has had the inum of this one since."""
        return self._current.get(row.ns) is row


def _look_at(row: Row, event: PidAttached, birth: Birth, table: Table) -> None:
    """Note which task is number 1; the table does not have it yet while it is being born."""
    row.level = event.pid.level
    if event.pid.numbers[-1] == 1:
        row.init, row.first = event.pid.nr, First(event.pid.nr, birth.start_ns)
        row.comm = birth.comm if row.comm is None else row.comm
        return
    ns = table.namespaces.get(event.pid.ns)
    first = ns.pids.get(1) if ns is not None else None
    if first is not None and first.task is not None:
        row.init, row.comm = first.nr, first.task.comm
