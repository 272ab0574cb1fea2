"""How a watch is printed: a line an event, an object an event, or counts at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable

from pidscope.events import Event, ForkFailed, Lost, Repaired, TaskExited
from pidscope.limits.failure import Reason, reason_json
from pidscope.query.endings import Endings
from pidscope.query.fork_counts import ByComm, ByNamespace
from pidscope.render import tables
from pidscope.render.events import (
    HEADING,
    TaskLabel,
    event_line,
    gap_line,
    numbers_text,
    reason_lines,
)
from pidscope.render.fork_counts import counts_json, counts_table
from pidscope.render.json import event_json
from pidscope.session.session import Session
from pidscope.terminal import table_width, warn
from pidscope.wire.hooks import FAILURES_TOLD_BY

if TYPE_CHECKING:
    from pidscope.commands.watch_owners import NamespaceOwners

_REASONS_MAX = 64
_FACTS = ("COMM", "CONTAINER")

Clock = Callable[[int], datetime]


class Output:
    """Where the chosen events go; prints nothing."""

    def head(self, watching: Mapping[str, Any]) -> None:
        """Begin; ``watching`` is the first object of a JSON stream."""

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Take one chosen event; ``why`` is the reason of a failed fork."""

    def observe(self, event: Event, session: Session) -> None:
        """Take note of an event, shown or not."""

    def end(self, session: Session) -> None:
        """End; ``session`` knows what it could not observe."""


class Text(Output):
    """A line an event, and the reason of a failed fork: once, until another reason follows."""

    def __init__(self, clock: Clock, headings: bool) -> None:
        self._clock = clock
        self._headings = headings
        self._exits = _Exits()
        self._printed: set[tuple[Any, ...]] = set()

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print the headings."""
        if self._headings:
            print(HEADING, flush=True)

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Print one line; below that of a failed fork, the reason."""
        is_last = self._exits.is_last(event, session)
        print(event_line(event, self._clock, lambda tid: _label(session, tid), why, is_last))
        if why is not None and isinstance(event, ForkFailed) and self._is_news(event, why):
            print(*reason_lines(why), sep="\n")

    def observe(self, event: Event, session: Session) -> None:
        """Follow the exits."""
        self._exits.observe(event, session)

    def _is_news(self, event: ForkFailed, why: Reason) -> bool:
        key = event.errno, event.children_ns, event.cgroup_id, why.known, why.causes, why.limit
        if key in self._printed:
            return False
        if len(self._printed) >= _REASONS_MAX:
            self._printed.clear()
        self._printed.add(key)
        return True


class _Exits:
    """Which exits end a process; nothing is followed until the session has a table."""

    def __init__(self) -> None:
        self._endings: Endings | None = None

    def is_last(self, event: Event, session: Session) -> bool | None:
        """Return whether a process ends with an event that is an exit; None: not known."""
        endings, table = self._endings, session.table
        if not isinstance(event, TaskExited) or endings is None or table is None:
            return None
        return endings.is_last(event, table)

    def observe(self, event: Event, session: Session) -> None:
        """Follow an event, shown or not."""
        if session.table is not None:
            if self._endings is None:
                self._endings = Endings(session.table.generation)
            self._endings.add(event, session.table)


class Objects(Output):
    """An object a line."""

    def __init__(self) -> None:
        self._exits = _Exits()

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print what is watched."""
        print(json.dumps(watching), flush=True)

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Print one object."""
        document = event_json(event)
        if isinstance(event, ForkFailed) and why is not None:
            document["reason"] = reason_json(why)
        elif isinstance(event, TaskExited):
            document["process_ended"] = self._exits.is_last(event, session)
        print(json.dumps(document))

    def observe(self, event: Event, session: Session) -> None:
        """Follow the exits."""
        self._exits.observe(event, session)


class Counted(Output):
    """Counts at the end; until then only losses and repairs are printed, on standard error.

    ``owners`` knows which container owns each namespace; None: the counts are not by namespace.
    """

    def __init__(
        self, counts: ByComm | ByNamespace, owners: NamespaceOwners | None, headings: bool
    ) -> None:
        self._counts = counts
        self._owners = owners
        self._headings = headings

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print nothing, but look up which container owns each namespace."""
        if self._owners is not None:
            self._owners.begin()

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Count one event."""
        if isinstance(event, (Lost, Repaired)):
            self._print_gap(event)
        elif session.table is not None:
            self._counts.add(event, session.table)

    def observe(self, event: Event, session: Session) -> None:
        """Keep the comms of number 1, and the owners of the namespaces, up to date."""
        self._counts.observe(event)
        if self._owners is not None:
            self._owners.observe(event, session)

    def _print_gap(self, event: Lost | Repaired) -> None:
        warn(gap_line(event))

    def _document(self, session: Session) -> dict[str, Any]:
        if self._owners is not None:
            self._owners.end()
        owner_of = None if self._owners is None else self._owners.of
        return counts_json(self._counts, owner_of, session.world.sees(FAILURES_TOLD_BY))

    def end(self, session: Session) -> None:
        """Print the table."""
        print_counts(self._document(session), self._counts, self._headings)


def print_counts(
    document: Mapping[str, Any], counts: ByComm | ByNamespace, headings: bool, facts: str = ""
) -> None:
    """Print the rows of a `counts_json`, and on standard error how many are in none.

    ``facts`` stands before the columns of what can change.
    """
    cells, columns = counts_table(document["rows"], counts.by)
    columns = [f"{facts if it in _FACTS else ''}{it}" for it in columns]
    cells = tables.fitted(cells, columns, headings, table_width())
    if cells:
        print(tables.aligned(cells, columns))
    if counts.others.sum:
        warn(f"{counts.others.sum} more, of too many to be told apart")


class CountedObject(Counted):
    """The same as one object, behind the first one."""

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print what is watched."""
        super().head(watching)
        print(json.dumps(watching), flush=True)

    def _print_gap(self, event: Lost | Repaired) -> None:
        print(json.dumps(event_json(event)))

    def end(self, session: Session) -> None:
        """Print the object."""
        print(json.dumps(self._document(session)))


def _label(session: Session, tid: int) -> TaskLabel:
    task = session.table.task(tid) if session.table is not None else None
    if task is None or task.pid is None:
        return TaskLabel(str(tid), b"")
    return TaskLabel(numbers_text(task.pid.numbers), task.comm)
