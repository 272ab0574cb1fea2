"""What several forms of JSON have in common: times, u64, and what no foreign schema has. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from pidscope.history.export.task import Instant, Task
from pidscope.history.u64_json import u64

_SECOND_NS = 1_000_000_000


def timestamp(instant: Instant | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the nanosecond; None: not known."""
    if instant is None or instant.realtime_ns is None:
        return None
    seconds, ns = divmod(instant.realtime_ns, _SECOND_NS)
    return f"{_second(seconds)}.{ns:09}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}"


def milliseconds(instant: Instant | None) -> int | None:
    """Return a time in ms since the epoch; None: not known."""
    return (
        None
        if instant is None or instant.realtime_ns is None
        else instant.realtime_ns // (_SECOND_NS // 1000)
    )


def ns_text(instant: Instant | None) -> str | None:
    """Return CLOCK_BOOTTIME in ns, as a string."""
    return None if instant is None else str(instant.boottime_ns)


def levels(task: Task) -> list[dict[str, int | None]]:
    """Return the number at every level, from the initial PID namespace inwards."""
    return [{"ns": ns, "tid": number} for ns, number in task.levels]


def containers(task: Task) -> list[dict[str, Any]] | None:
    """Return the containers and services around a task, outermost first; None: not known."""
    return None if task.containers is None else [it._asdict() for it in task.containers]


def facts(task: Task) -> dict[str, Any]:
    """Return what can change while a task lives, as it was at ``at_ns``."""
    return {
        "at_ns": ns_text(task.facts),
        "at_time": timestamp(task.facts),
        "comm": task.comm,
        "ppid": task.ppid,
        "parent_start_ns": ns_text(task.parent_start),
        "pgid": task.pgid,
        "sid": task.sid,
        "uid": task.uid,
        "cgroup_id": None if task.cgroup_id is None else u64(task.cgroup_id),
        "cgroup": task.cgroup,
        "containers": containers(task),
    }


def own_fields(task: Task) -> dict[str, Any]:
    """Return what a foreign schema has no place for, as ``pidscope`` puts it there."""
    return {
        "kind": task.kind,
        "id": task.id,
        "levels": levels(task),
        "start_ns": ns_text(task.start),
        "end_ns": ns_text(task.end),
        "status": task.status,
        "signal": task.signal,
        "joined": task.joined,
        "facts": facts(task),
    }


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return what is known, of objects that mean that by leaving a field out."""
    return {name: it for name, it in values.items() if it is not None}
