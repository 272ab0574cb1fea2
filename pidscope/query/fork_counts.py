"""Who forks, or where: births and failed forks, counted by comm or by PID namespace.

Pure. A birth counts for the namespace of the new task, a failed fork for the one in which its
child would have been; by comm, both count for whoever forked. An inum is given out again at once,
so a namespace has a row of its own for each time that it got a number 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Union

from pidscope.containers.container import Container, call
from pidscope.escape import escape
from pidscope.events import Event, ForkFailed, PidAttached
from pidscope.query.process import container_json
from pidscope.table.table import Table

MAX_ROWS = 10_000  # whoever changes its comm before each fork fills no memory


class First(NamedTuple):
    """A number 1 whose birth was seen: tells a namespace from the next one with its inum."""

    number: int  # in the initial namespace
    start_ns: int


# The container of a namespace, given its inum, its number 1, and whether it has the inum still.
Whose = Callable[[int, "First | None", bool], "Container | None"]


class Counts:
    """How many, of one row."""

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

    def document(self) -> dict[str, int]:
        """What JSON has of it."""
        return {
            "births": self.processes + self.threads,
            "processes": self.processes,
            "threads": self.threads,
            "failed_forks": self.failed_forks,
        }


class _Row(Counts):
    """One comm, or one namespace."""

    __slots__ = ("comm", "first", "init", "level", "ns")

    def __init__(self, ns: int = 0, comm: bytes | None = None) -> None:
        super().__init__()
        self.ns = ns
        self.level: int | None = None
        self.init: int | None = None  # its number 1, in the initial namespace
        self.first: First | None = None  # None: it was there before
        self.comm = comm  # by namespace: of its number 1, as last seen; None: not known


class ByComm:
    """Counts by the comm of whoever forked, which a child begins with."""

    by = "comm"
    columns = ("BIRTHS", "PROCS", "THREADS", "FAILED", "COMM")

    def __init__(self) -> None:
        self._rows: dict[bytes | None, _Row] = {}
        self.others = Counts()  # beyond `MAX_ROWS`

    def add(self, event: Event, table: Table) -> None:
        """Count a birth or a failed fork; pass over the rest, and a fork that is made again."""
        if isinstance(event, ForkFailed) and not event.is_made_again:
            task = table.task(event.by)
            comm = None if task is None else task.comm
        elif isinstance(event, PidAttached) and event.birth is not None:
            comm = event.birth.comm
        else:
            return
        row: Counts | None = self._rows.get(comm)
        if row is None:
            row = self.others
            if len(self._rows) < MAX_ROWS:
                row = self._rows[comm] = _Row(comm=comm)
        row.add(event)

    def documents(self, whose: Whose | None = None) -> list[dict[str, Any]]:
        """The rows as JSON, who has most first."""
        rows = sorted(self._rows.values(), key=lambda row: (-row.sum, row.comm or b""))
        return [{"comm": _comm(row), **row.document()} for row in rows]


class ByNamespace:
    """Counts by PID namespace."""

    by = "where"
    columns = ("BIRTHS", "PROCS", "THREADS", "FAILED", "NS", "LEVEL", "INIT", "COMM")

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._current: dict[int, _Row] = {}  # by inum, who has it now
        self.others = Counts()

    def add(self, event: Event, table: Table) -> None:
        """Count a birth or a failed fork; pass over the rest, and a fork that is made again."""
        if isinstance(event, ForkFailed) and not event.is_made_again:
            row = self._row(event.children_ns, anew=False)
        elif isinstance(event, PidAttached) and event.birth is not None:
            first = event.pid.numbers[-1] == 1 and event.pid.level > 0
            row = self._row(event.pid.ns, anew=first)
            if isinstance(row, _Row):
                _look_at(row, event, table)
        else:
            return
        row.add(event)

    def _row(self, ns: int, anew: bool) -> Counts:
        row = self._current.get(ns)
        if row is not None and not (anew and row.init is not None):
            return row
        if len(self._rows) == MAX_ROWS:
            self._current.pop(ns, None)
            return self.others
        row = self._current[ns] = _Row(ns)
        self._rows.append(row)
        return row

    def documents(self, whose: Whose | None = None) -> list[dict[str, Any]]:
        """The rows as JSON, who has most first; ``whose`` tells the container of each."""
        rows = sorted(self._rows, key=lambda row: (-row.sum, row.ns))
        return [self._document(row, whose) for row in rows]

    def _document(self, row: _Row, whose: Whose | None) -> dict[str, Any]:
        is_current = self._current.get(row.ns) is row  # else its inum is another's by now
        owner = None if whose is None else whose(row.ns, row.first, is_current)
        return {
            "ns": row.ns,
            "level": row.level,
            "init": row.init,
            "comm": _comm(row),
            "container": None if owner is None else container_json(owner),
            **row.document(),
        }


def _look_at(row: _Row, event: PidAttached, table: Table) -> None:
    """See who the number 1 is; the table does not have it yet while it is being born."""
    row.level = event.pid.level
    if event.pid.numbers[-1] == 1 and event.birth is not None:
        row.init, row.first = event.pid.nr, First(event.pid.nr, event.birth.start_ns)
    ns = table.namespaces.get(event.pid.ns)
    first = ns.pids.get(1) if ns is not None else None
    if first is not None and first.task is not None and event.pid.numbers[-1] != 1:
        row.init, row.comm = first.nr, first.task.comm
    elif row.comm is None and event.birth is not None and event.pid.numbers[-1] == 1:
        row.comm = event.birth.comm


def _comm(row: _Row) -> str | None:
    return None if row.comm is None else escape(row.comm)


Births = Union[ByComm, ByNamespace]


def counts_document(births: Births, whose: Whose | None, sees_failures: bool) -> dict[str, Any]:
    """Return the last line of a stream that is counted; failed forks are null if none is seen."""
    rows, others = births.documents(whose), births.others.document()
    unseen = {} if sees_failures else {"failed_forks": None}
    told = [{**row, **unseen} for row in rows]
    return {"type": "counts", "by": births.by, "rows": told, "others": {**others, **unseen}}


_CELLS = {
    "BIRTHS": "births",
    "PROCS": "processes",
    "THREADS": "threads",
    "FAILED": "failed_forks",
    "NS": "ns",
    "LEVEL": "level",
    "INIT": "init",
    "COMM": "comm",
}
_CONTAINER = "CONTAINER"


def counts_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> tuple[list[list[str]], list[str]]:
    """Return the cells of what ``documents`` gave, and the columns: CONTAINER if one is known."""
    more = [_CONTAINER] if any(row.get("container") for row in rows) else []
    shown_columns = [*columns, *more]
    return [[_cell(row, column) for column in shown_columns] for row in rows], shown_columns


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column == _CONTAINER:
        return "-" if row["container"] is None else call(Container(**row["container"]))
    value = row[_CELLS[column]]
    return "?" if value is None else str(value)
