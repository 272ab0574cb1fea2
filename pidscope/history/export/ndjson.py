"""pidscope's own lines of JSON: a task, a gap, the end. schema.json has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pidscope.escape import printable
from pidscope.history.export import forms
from pidscope.history.export.task import Missing, Task
from pidscope.history.export.task import Moment as OfBoot
from pidscope.history.moment import Moment


def life_line(task: Task) -> dict[str, Any]:
    """Return the line of a task."""
    return {
        "type": "life",
        "boot_id": task.boot_id,
        "host": task.host,
        "kind": task.kind,
        "pid": task.pid,
        "tid": task.tid,
        "id": task.id,
        "cpid": task.cpid,
        "levels": forms.levels(task),
        "start_ns": forms.ns_text(task.start),
        "start_time": forms.timestamp(task.start),
        "end_ns": forms.ns_text(task.end),
        "end_time": forms.timestamp(task.end),
        "exit_status": task.exit_status,
        "signal": task.signal,
        "joined": task.joined,
        "facts": forms.facts(task),
    }


def gap_line(gap: Missing) -> dict[str, Any]:
    """Return the line of a stretch of time of which something is missing."""
    return {
        "type": "gap",
        "boot_id": gap.boot_id,
        "first_ns": forms.ns_text(gap.first),
        "first_time": forms.timestamp(gap.first),
        "last_ns": forms.ns_text(gap.last),
        "last_time": forms.timestamp(gap.last),
        "reason": printable(gap.reason),
    }


def first_line(source: str, version: str, asked: Moment, ends: bool) -> dict[str, Any]:
    """Return the first line: what was asked for; ``ends``: an end was."""
    first_ns = str(asked.first_ns) if asked.first_ns else None
    times = {"first_ns": first_ns, "last_ns": str(asked.last_ns) if ends else None}
    return {
        "type": "export",
        "schema": 1,
        "pidscope": version,
        "source": printable(source),
        "asked": {"clock": asked.clock.value, **times},
    }


class Known(NamedTuple):
    """What an export has, and from when to when it has everything but what is a gap."""

    ended: int  # lives
    alive: int  # tasks that lived on
    gaps: int
    first: OfBoot | None  # since when
    last: OfBoot | None  # up to when
    cannot: Sequence[str]  # what the recording cannot tell at all


def last_line(known: Known) -> dict[str, Any]:
    """Return the last line; an export without it was cut."""
    return {
        "type": "exported",
        "ended": known.ended,
        "alive": known.alive,
        "complete": not known.gaps,
        "gaps": known.gaps,
        "first": _moment(known.first),
        "last": _moment(known.last),
        "cannot": [printable(it) for it in known.cannot],
    }


def _moment(of: OfBoot | None) -> dict[str, Any] | None:
    if of is None:
        return None
    times = {"ns": forms.ns_text(of.at), "time": forms.timestamp(of.at)}
    return {"boot_id": of.boot_id, **times}
