"""``pidscope record --status`` and ``--check``: what a recording has, and whether it is whole."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from datetime import datetime, timezone
from typing import Any, NamedTuple

from pidscope.errors import NotKnown, RecordingError
from pidscope.escape import printable
from pidscope.history import frames
from pidscope.history.ring import is_written, list_segments
from pidscope.history.segment_file import SegmentFile


class _Found(NamedTuple):
    """What one file has."""

    path: str
    size: int
    lives: int
    snapshots: int
    first_ns: int  # wall clock
    last_ns: int
    head: dict[str, Any]
    gaps: list[dict[str, Any]]
    damaged: list[str]


def show(args: argparse.Namespace) -> int:
    """Print what a ring or a file has; return 1 if it was checked and is damaged."""
    path = args.status or args.check
    checked = args.check is not None
    events = _events(path)
    if events is not None:
        return _show_events(events, args.json, checked)
    found = [_look(it, checked) for it in _paths(path)]
    if not found:
        raise NotKnown(f"nothing was recorded: {path} has no file of a recording")
    document = _document(path, found, is_written(path))
    if args.json:
        print(json.dumps(document))
    else:
        print("\n".join(_lines(document)))
    return 1 if checked and document["damaged"] else 0


def _events(path: str) -> dict[str, Any] | None:
    """Return what an events recording has; None: it is none."""
    from pidscope.commands.record_status_events import look  # rings do without

    if os.path.isdir(path) or not os.path.lexists(path):  # noqa: PTH112
        return None
    try:
        return look(path)
    except RecordingError:  # of lives, or none at all
        return None


def _show_events(found: dict[str, Any], as_json: bool, checked: bool) -> int:
    from pidscope.commands.record_status_events import lines

    found["from"], found["to"] = _time(found.pop("first_ns")), _time(found.pop("last_ns"))
    print(json.dumps(found) if as_json else "\n".join(lines(found)))
    return 1 if checked and found["damaged"] else 0


def _paths(path: str) -> list[str]:
    is_ring = os.path.isdir(path)  # noqa: PTH112 (pathlib takes a while to import)
    if not is_ring and not os.path.lexists(path):
        raise NotKnown(f"nothing was recording: there is no {path}")
    return [it.path for it in list_segments(path)] if is_ring else [path]


def _look(path: str, checked: bool) -> _Found:
    size = os.stat(path).st_size  # noqa: PTH116
    try:
        with SegmentFile(path) as file:
            blocks = [about for _, about in file.blocks(frames.LIVES)]
            taken = {about.taken_ns for _, about in file.blocks(frames.ALIVE)}
            if checked:
                for frame in file.frames:
                    file.content(frame)
            objects = list(file.json())
            clock = file.head.get("clock")
            first_ns = clock.get("realtime_ns") if isinstance(clock, dict) else 0
            return _Found(
                path,
                size,
                sum(it.rows for it in blocks),
                len(taken),
                first_ns if isinstance(first_ns, int) else 0,
                file.through.realtime_ns,
                file.head,
                [it for it in objects if it.get("type") == "gap"],
                [f"{it.path}:{it.offset}: {it.reason}" for it in file.damaged],
            )
    except RecordingError as error:
        return _Found(path, size, 0, 0, 0, 0, {}, [], [str(error)])


def _document(path: str, found: list[_Found], written: bool) -> dict[str, Any]:
    whole = [it for it in found if it.head]
    last = whole[-1] if whole else None
    return {
        "path": path,
        "files": len(found),
        "bytes": sum(it.size for it in found),
        "lives": sum(it.lives for it in found),
        "snapshots": sum(it.snapshots for it in found),
        "from": _time(whole[0].first_ns) if whole else None,
        "to": _time(last.last_ns) if last else None,
        "recording": written,
        "host": _said(last, "host", str),
        "mode": _said(last, "mode", str),
        "threads": _said(last, "threads", bool),
        "cannot": [it for it in _said(last, "cannot", list) or [] if isinstance(it, str)],
        "gaps": [gap for it in found for gap in it.gaps],
        "damaged": [line for it in found for line in it.damaged],
    }


def _said(found: _Found | None, name: str, kind: type) -> Any:
    """Return what a head says, if it has the type that a recorder gives it."""
    value = None if found is None else found.head.get(name)
    return value if isinstance(value, kind) else None


def _lines(document: dict[str, Any]) -> list[str]:
    per_life = document["bytes"] / document["lives"] if document["lives"] else 0
    lines = [
        f"{document['path']}: {document['files']} files, {document['bytes']:,} bytes",
        f"lives:      {document['lives']:,}, {per_life:.0f} bytes each",
        f"snapshots:  {document['snapshots']:,}",
        f"reaches:    from {document['from']} to {document['to']}"
        + (", and goes on" if document["recording"] else ""),
        f"host:       {document['host']}, by {document['mode']}"
        + ("" if document["threads"] else ", without threads"),
    ]
    lines += [f"cannot tell: {it}" for it in document["cannot"]]
    lines += [f"gap: {_gap(it)}" for it in document["gaps"]]
    lines += [f"damaged: {it}" for it in document["damaged"]]
    return [printable(line) for line in lines]


def _gap(gap: dict[str, Any]) -> str:
    count = f", {gap['count']} records" if "count" in gap else ""
    return (
        f"{gap.get('reason')}{count}, {gap.get('first_ns')} to {gap.get('last_ns')} ns of the boot"
    )


def _time(ns: int) -> str | None:
    if not ns:
        return None
    with contextlib.suppress(OverflowError, ValueError, OSError):  # no year that there is
        return datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc).astimezone().isoformat()
    return None
