"""What was found for the numbers of a line, as the JSON that schema.json describes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from pidscope.containers.container import innermost
from pidscope.escape import escape, printable
from pidscope.history.annotate import Found
from pidscope.history.answer import Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.local_times import rfc3339
from pidscope.history.logs.line import Parsed
from pidscope.history.moment import Moment
from pidscope.query.process import escaped

_MAX_SAFE = 2**53  # beyond it a JSON reader may round an integer


class Objects:
    """Makes an object of each line, with times in ``zone``."""

    def __init__(self, recorded: Recorded, zone: tzinfo) -> None:
        self._recorded = recorded
        self._zone = zone

    def of(self, line: bytes, parsed: Parsed, found: Sequence[Found]) -> dict[str, Any]:
        """Return a line and what was found."""
        moment = parsed.moment
        return {
            "type": "line",
            "line": escape(line),
            "moment": None if moment is None else _moment(moment),
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
            "gap": None if gap is None else self._gap(gap),
            "holders": [self._holder(holder) for holder in found.holders],
        }

    def _gap(self, gap: Gap) -> dict[str, Any]:
        return {
            "boot_id": gap.boot_id,
            **self._time("first", gap.boot_id, gap.first_ns),
            **self._time("last", gap.boot_id, gap.last_ns),
            "reason": printable(gap.reason),
        }

    def _holder(self, it: Holder) -> dict[str, Any]:
        return {
            "boot_id": it.boot_id,
            "pid": it.tgid,
            "tid": it.numbers[0],
            "levels": [{"ns": ns, "tid": number} for ns, number in zip(it.inums, it.numbers)],
            **self._time("start", it.boot_id, it.start_ns),
            **self._time("exited", it.boot_id, it.end_ns),
            "exit_status": it.exit_status,
            "signal": it.signal or None,
            "facts": self._facts(it),
        }

    def _facts(self, it: Holder) -> dict[str, Any]:
        chain = self._recorded.container(it)
        container = innermost(chain or ())
        return {
            **self._time("at", it.boot_id, it.facts_ns),
            "comm": escape(it.comm),
            "ppid": it.ppid,
            "pgid": it.pgid,
            "sid": it.sid,
            "uid": it.uid,
            "cgroup_id": it.cgroup_id if it.cgroup_id <= _MAX_SAFE else str(it.cgroup_id),
            "container": None if container is None else escaped(container)._asdict(),
            "container_known": chain is not None,
        }

    def _time(self, name: str, boot_id: str, boottime_ns: int | None) -> dict[str, str | None]:
        if boottime_ns is None:
            return {f"{name}_ns": None, f"{name}_time": None}
        instant = self._recorded.realtime_ns(boot_id, boottime_ns)
        shown = None if instant is None else rfc3339(instant, self._zone, 9)
        return {f"{name}_ns": str(boottime_ns), f"{name}_time": shown}


def _moment(moment: Moment) -> dict[str, Any]:
    bounds = {"first_ns": str(moment.first_ns), "last_ns": str(moment.last_ns)}
    return {"clock": moment.clock.value, **bounds, "boot_id": moment.boot_id}
