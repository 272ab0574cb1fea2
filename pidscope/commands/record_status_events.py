"""``pidscope record --status`` and ``--check`` of an events recording."""

from __future__ import annotations

from typing import Any

from pidscope.errors import RecordingError
from pidscope.escape import printable
from pidscope.history.event_file import EventFile


def look(path: str) -> dict[str, Any]:
    """Return what an events recording has; raises OSError, RecordingError: it is none."""
    with EventFile(path) as file:
        head, damaged = _read(file)
        clock = head.get("clock")
        first_ns = clock.get("realtime_ns") if isinstance(clock, dict) else None
        return {
            "path": path,
            "bytes": file.size,
            "records": file.records,
            "first_ns": first_ns if isinstance(first_ns, int) else 0,
            "last_ns": 0 if file.through is None else file.through.realtime_ns,
            "host": _text(head, "host"),
            "mode": _text(head, "mode"),
            "title": _text(head, "title"),
            "damaged": damaged,
        }


def _read(file: EventFile) -> tuple[dict[str, Any], list[str]]:
    """Read all of it; return its head, and what is damaged or missing."""
    head: dict[str, Any] = {}
    damaged = []
    try:
        head = file.head
        damaged = [f"{file.path}: {why}" for why in file.gaps()]
    except RecordingError as error:
        damaged.append(str(error))
    return head, [*damaged, *file.damaged]


def _text(head: dict[str, Any], name: str) -> str | None:
    value = head.get(name)
    return value if isinstance(value, str) else None


def lines(document: dict[str, Any]) -> list[str]:
    """Return a document in lines."""
    found = [
        f"{document['path']}: {document['bytes']:,} bytes of events",
        f"records:    {document['records']:,}",
        f"reaches:    from {document['from']} to {document['to']}",
        f"host:       {document['host']}, {document['title']}",
        *(f"damaged: {it}" for it in document["damaged"]),
    ]
    return [printable(line) for line in found]
