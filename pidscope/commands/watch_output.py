"""How a watch is printed: a line an event, an object an event, or counts at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, Protocol

from pidscope.events import Event, ForkFailed, Lost, Repaired
from pidscope.limits.failure import Reason, reason_json
from pidscope.query.fork_counts import Births, counts_document, counts_table
from pidscope.render import events as lines
from pidscope.render import tables as views
from pidscope.render.json import event_json
from pidscope.session.session import Session
from pidscope.terminal import say
from pidscope.wire.hooks import FAILURES_TOLD_BY

if TYPE_CHECKING:
    from pidscope.commands.watch_owners import Owners

_TOLD_MAX = 64

Clock = Callable[[int], datetime]


class Output(Protocol):
    """Where the chosen events go."""

    def head(self, watching: Mapping[str, Any]) -> None:
        """Begin."""

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Show one event; ``why`` is a failed fork's."""

    def see(self, event: Event, session: Session) -> None:
        """Know of one event, shown or not."""

    def end(self, session: Session) -> None:
        """End; ``session`` tells what could not be seen."""


class Text:
    """A line an event, and why a fork failed: once, until another failed for another reason."""

    def __init__(self, clock: Clock, headings: bool) -> None:
        self._clock = clock
        self._headings = headings
        self._told: dict[tuple[Any, ...], None] = {}

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print the headings."""
        if self._headings:
            print(lines.HEADING, flush=True)

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Print one line; below a failed fork's, why."""
        print(lines.event_line(event, self._clock, lambda tid: _who(session, tid), why))
        if why is not None and isinstance(event, ForkFailed) and self._is_news(event, why):
            print(*lines.reason_lines(why), sep="\n")

    def _is_news(self, event: ForkFailed, why: Reason) -> bool:
        key = event.errno, event.children_ns, event.cgroup_id, why.known, why.causes, why.limit
        news = key not in self._told
        if news and len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told[key] = None
        return news

    def see(self, event: Event, session: Session) -> None:
        """Nothing."""

    def end(self, session: Session) -> None:
        """Nothing."""


class Objects:
    """An object a line."""

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print what is watched."""
        print(json.dumps(watching), flush=True)

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Print one object."""
        document = event_json(event)
        if isinstance(event, ForkFailed) and why is not None:
            document["reason"] = reason_json(why)
        print(json.dumps(document))

    def see(self, event: Event, session: Session) -> None:
        """Nothing."""

    def end(self, session: Session) -> None:
        """Nothing."""


class Counted:
    """Counts at the end; until then only losses and repairs are told, as ``stream`` does.

    ``owners`` knows whose the namespaces are; None: it is not by namespace.
    """

    def __init__(self, births: Births, owners: Owners | None, headings: bool) -> None:
        self._births = births
        self._owners = owners
        self._headings = headings

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print nothing, but see whose the namespaces are."""
        if self._owners is not None:
            self._owners.begin()

    def event(self, event: Event, session: Session, why: Reason | None) -> None:
        """Count one event."""
        if isinstance(event, (Lost, Repaired)):
            self._tell(event)
        elif session.table is not None:
            self._births.add(event, session.table)

    def see(self, event: Event, session: Session) -> None:
        """Follow whose the namespaces are."""
        if self._owners is not None:
            self._owners.see(event, session)

    def _tell(self, event: Lost | Repaired) -> None:
        if isinstance(event, Lost):
            say(f"LOST {event.total} records could not be written so far")
        else:
            say(lines.repair(event))

    def _document(self, session: Session) -> dict[str, Any]:
        if self._owners is not None:
            self._owners.end()
        whose = None if self._owners is None else self._owners.of
        return counts_document(self._births, whose, session.world.sees(FAILURES_TOLD_BY))

    def end(self, session: Session) -> None:
        """Print the table."""
        rows = self._document(session)["rows"]
        cells, columns = counts_table(rows, self._births.columns)
        cells = views.fitted(cells, columns, self._headings, views.WIDTH)
        if cells:
            print(views.aligned(cells, columns))
        if self._births.others.sum:
            say(f"{self._births.others.sum} more, of too many to be told apart")


class CountedObject(Counted):
    """The same as one object, behind the first one."""

    def head(self, watching: Mapping[str, Any]) -> None:
        """Print what is watched."""
        super().head(watching)
        print(json.dumps(watching), flush=True)

    def _tell(self, event: Lost | Repaired) -> None:
        print(json.dumps(event_json(event)))

    def end(self, session: Session) -> None:
        """Print the object."""
        print(json.dumps(self._document(session)))


def _who(session: Session, tid: int) -> lines.Who:
    task = session.table.task(tid) if session.table is not None else None
    if task is None or task.pid is None:
        return lines.Who(str(tid), b"")
    return lines.Who(lines.of(task.pid.numbers), task.comm)
