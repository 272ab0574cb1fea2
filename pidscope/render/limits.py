"""What bounds forking, as JSON has it and as cells of a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pidscope.containers.container import shorten_ids
from pidscope.limits.bounds import (
    CHILDREN,
    INIT,
    Bound,
    is_certain,
    sentence,
    shown,
    tight,
)
from pidscope.limits.tasks_limit import MAX, Amount, TasksLimit
from pidscope.render.text import known


def bound_documents(found: Iterable[Bound]) -> list[dict[str, Any]]:
    """Return the bounds as JSON has them; ``max``: no limit, null: not known."""
    return [_document(bound) for bound in found]


def _document(bound: Bound) -> dict[str, Any]:
    cgroup = bound.cgroup or TasksLimit("", None, None)
    return {
        "name": bound.name,
        "of": bound.of,
        "stops": bound.stops,
        "limit": shown(bound.limit),
        "used": bound.used,
        "used_at_least": bound.used_at_least,
        "room": shown(bound.room),
        "room_least": shown(bound.least),
        "exempt": bound.exempt,
        "errno": bound.errno,
        "peak": cgroup.peak,
        "events": cgroup.events,
        "events_local": cgroup.events_local,
    }


def next_fork(found: Sequence[Bound]) -> dict[str, Any]:
    """Return the tight bound as JSON has it, with the errno once its room is used up.

    null: none is known.
    """
    first = tight(found)
    return {
        "room": None if first is None else shown(first.room),
        "certain": is_certain(found),
        "errno": None if first is None else first.errno,
        "name": None if first is None else first.name,
        "of": None if first is None else first.of,
        "sentence": sentence(found),
    }


BOUND_COLUMNS = ("LIMIT", "OF", "MAX", "USED", "ROOM", "ERRNO")
COUNTER_COLUMNS = ("PIDS.EVENTS", "MAX", "LOCAL", "PEAK")


def bound_rows(found: Iterable[Bound]) -> list[list[str]]:
    """Return the cells of `BOUND_COLUMNS`: ``?`` is not known, ``-`` there is none."""
    return [
        [bound.name, shorten_ids(bound.of), *_counts(bound), _room_cell(bound), _errno(bound)]
        for bound in found
    ]


def counter_rows(found: Iterable[Bound]) -> list[list[str]]:
    """Return the cells of `COUNTER_COLUMNS`, of each cgroup upwards that counts."""
    cgroups = [bound.cgroup for bound in found if bound.cgroup is not None]
    return [
        [
            shorten_ids(it.of),
            *("-" if n is None else str(n) for n in (it.events, it.events_local, it.peak)),
        ]
        for it in cgroups
    ]


def _counts(bound: Bound) -> tuple[str, str]:
    if bound.name in (INIT, CHILDREN):
        return "-", "-"
    return _cell(bound.limit), (">=" if bound.used_at_least else "") + _cell(bound.used)


def _cell(amount: Amount) -> str:
    return known(shown(amount))


def _room_cell(bound: Bound) -> str:
    if bound.exempt:
        return "exempt"
    most = "<=" if bound.room is not None and bound.least < bound.room else ""
    return most + _cell(bound.room)


def _errno(bound: Bound) -> str:
    return "-" if bound.exempt or bound.room == MAX else bound.errno
