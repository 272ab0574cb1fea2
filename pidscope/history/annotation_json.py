"""What was found for the numbers of a line, as the JSON that schema.json describes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from pidscope.escape import escape
from pidscope.history.annotate import Found
from pidscope.history.ask import Recorded
from pidscope.history.holder_json import HolderObjects, moment_json
from pidscope.history.logs.line import Parsed


class Objects:
    """Makes an object of each line, with times in ``zone``."""

    def __init__(self, recorded: Recorded, zone: tzinfo) -> None:
        self._made = HolderObjects(recorded.realtime_ns, recorded.container, zone)

    def of(self, line: bytes, parsed: Parsed, found: Sequence[Found]) -> dict[str, Any]:
        """Return a line and what was found."""
        moment = parsed.moment
        return {
            "type": "line",
            "line": escape(line),
            "moment": None if moment is None else moment_json(moment),
            "reason": parsed.reason or None,
            "pids": [self._found(it) for it in found],
        }

    def _found(self, found: Found) -> dict[str, Any]:
        it, gap = found.mention, found.gap
        return {
            "number": it.number,
            "thread": it.is_thread,
            "bytes": None if it.first < 0 else [it.first, it.end],
            "known": found.known.value,
            "reason": found.reason or None,
            "gap": None if gap is None else self._made.gap(gap),
            "holders": [self._made.holder(holder) for holder in found.holders],
        }
