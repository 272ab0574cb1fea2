"""Values as the JSON that schema.json describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from pidscope.escape import escape
from pidscope.query.process import Outermost

if TYPE_CHECKING:
    from pidscope.events import Event

SCHEMA = 1


_MAX_SAFE = 2**53  # beyond it a JSON reader may round an integer


# children_ns is an inum
_NANOSECONDS = frozenset({"ts_ns", "start_ns", "leader_start_ns", "suspect_ns"})


def event_json(event: Event) -> dict[str, Any]:
    """Return one line of the stream: the class as ``type``, then its fields as they are named."""
    return {"type": type(event).__name__, **_fields(event)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: _json(name, item) for name, item in value._asdict().items()}


def _json(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return escape(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return str(value) if name in _NANOSECONDS or abs(value) > _MAX_SAFE else value
    if hasattr(value, "_asdict"):
        return _fields(value)
    return list(value) if isinstance(value, tuple) else value


def envelope(
    name: str,
    items: Sequence[Mapping[str, Any]],
    *,
    source: str,
    mode: str | None,
    host: str,
    boot_id: str | None,
    complete: bool,
    outermost: Outermost,
) -> dict[str, Any]:
    """Return the document whose list ``name`` holds ``items``; ``mode`` None: no kernel asked."""
    return {
        "schema": SCHEMA,
        "source": source,
        "mode": mode,
        "host": host,
        "boot_id": boot_id,
        "complete": complete,
        "outermost": outermost,
        name: list(items),
    }
