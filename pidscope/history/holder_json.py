"""A task that a recording has, and a gap of it, as the JSON that schema.json describes. Pure.

Each document that is made of a recording has them in this one form.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Callable

from pidscope.containers.container import Chain, innermost
from pidscope.escape import escape, printable
from pidscope.history.answer import NO_CGROUP_IDS, Gap, Holder
from pidscope.history.cpid import cpid_of
from pidscope.history.local_times import Offsets
from pidscope.history.moment import Moment
from pidscope.history.u64_json import u64
from pidscope.query.process import escaped


class HolderObjects:
    """Makes the objects.

    Args:
        realtime_ns: turns a boot's id and CLOCK_BOOTTIME in ns into the wall clock's ns; None: not
            known.
        container: returns in which containers and services a task was, outermost first; (): in
            none, None: not known.
        zone: of the times.
    """

    def __init__(
        self,
        realtime_ns: Callable[[str, int], int | None],
        container: Callable[[Holder], Chain | None],
        zone: tzinfo,
    ) -> None:
        self._realtime_ns = realtime_ns
        self._container = container
        self._offsets = Offsets(zone)

    def holder(self, it: Holder) -> dict[str, Any]:
        """Return a task; what can change while it lives is in ``facts``, with their time."""
        return {
            "boot_id": it.boot_id,
            "pid": it.tgid,
            "tid": it.numbers[0],
            "cpid": _cpid(it),
            "levels": [{"ns": ns, "tid": number} for ns, number in zip(it.inums, it.numbers)],
            **self._time("start", it.boot_id, it.start_ns),
            **self._time("exited", it.boot_id, it.end_ns),
            "exit_status": it.exit_status,
            "signal": it.signal or None,
            "facts": self._facts(it),
        }

    def gap(self, gap: Gap) -> dict[str, Any]:
        """Return a gap."""
        return {
            "boot_id": gap.boot_id,
            **self._time("first", gap.boot_id, gap.first_ns),
            **self._time("last", gap.boot_id, gap.last_ns),
            "reason": printable(gap.reason),
        }

    def _facts(self, it: Holder) -> dict[str, Any]:
        chain = self._container(it)
        container = innermost(chain or ())
        return {
            **self._time("at", it.boot_id, it.facts_ns),
            "comm": escape(it.comm),
            "ppid": it.ppid,
            "pgid": it.pgid,
            "sid": it.sid,
            "uid": it.uid,
            "cgroup_id": 0 if it.cgroup_id >= NO_CGROUP_IDS else u64(it.cgroup_id),
            "container": None if container is None else escaped(container)._asdict(),
            "container_known": chain is not None,
        }

    def _time(self, name: str, boot_id: str, boottime_ns: int | None) -> dict[str, str | None]:
        if boottime_ns is None:
            return {f"{name}_ns": None, f"{name}_time": None}
        return {f"{name}_ns": str(boottime_ns), f"{name}_time": self._shown(boot_id, boottime_ns)}

    def _shown(self, boot_id: str, boottime_ns: int) -> str | None:
        instant = self._realtime_ns(boot_id, boottime_ns)
        try:
            return None if instant is None else self._offsets.rfc3339(instant, 9)
        except (OverflowError, ValueError, OSError):  # no year that there is
            return None


def _cpid(it: Holder) -> str | None:
    """Return OCSF's common id of a process; None: it is a thread, or that is not known."""
    if it.is_thread:
        return None
    return cpid_of(it.boot_id, it.numbers, it.inums, it.tgid, it.start_ns)


def moment_json(moment: Moment) -> dict[str, Any]:
    """Return a time, as wide as its last digit."""
    bounds = {"first_ns": str(moment.first_ns), "last_ns": str(moment.last_ns)}
    return {"clock": moment.clock.value, **bounds, "boot_id": moment.boot_id}
