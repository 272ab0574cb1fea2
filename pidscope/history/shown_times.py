"""Times of a recording as people read them: the wall clock, with a date where needed. Pure."""

from __future__ import annotations

from datetime import date, tzinfo
from typing import Callable

from pidscope.escape import printable
from pidscope.history.answer import Gap, Holder
from pidscope.history.local_times import Offsets


class ShownTimes:
    """Writes times.

    Args:
        realtime_ns: turns a boot's id and CLOCK_BOOTTIME in ns into the wall clock's ns; None: not
            known.
        zone: of the times.
        day: of which times have no date.
        digits: behind the second.
    """

    def __init__(
        self,
        realtime_ns: Callable[[str, int], int | None],
        zone: tzinfo,
        day: date,
        digits: int = 0,
    ) -> None:
        self._realtime_ns = realtime_ns
        self._offsets = Offsets(zone)
        self._day = day
        self._digits = digits

    def at(self, boot_id: str, boottime_ns: int) -> str:
        """Return a time of day, or since the boot where nothing says what the clock showed."""
        instant = self._realtime_ns(boot_id, boottime_ns)
        shown = None if instant is None else self.on_clock(instant)
        return f"{boottime_ns / 1e9:.3f} s after the boot" if shown is None else shown

    def on_clock(self, instant_ns: int) -> str | None:
        """Return an instant of the wall clock; None: it is of no year that there is."""
        try:
            day, time, _ = self._offsets.wall(instant_ns)
        except (OverflowError, ValueError, OSError):
            return None
        fraction = f".{instant_ns % 1_000_000_000:09}"[: self._digits + 1] if self._digits else ""
        return f"{time}{fraction}" if day == self._day else f"{day.isoformat()} {time}{fraction}"

    def start(self, it: Holder) -> str:
        """Return when a task was born."""
        return "?" if it.start_ns is None else self.at(it.boot_id, it.start_ns)

    def end(self, it: Holder) -> str:
        """Return when it ended; ``-``: it lived on."""
        return "-" if it.end_ns is None else self.at(it.boot_id, it.end_ns)

    def facts(self, it: Holder) -> str:
        """Return when what can change was read."""
        return "its end" if it.facts_ns == it.end_ns else self.at(it.boot_id, it.facts_ns)

    def gap(self, gap: Gap) -> str:
        """Return why something is not known, and between which times."""
        first = self.at(gap.boot_id, gap.first_ns) if gap.first_ns else "the boot"
        last = "the boot's end" if gap.last_ns is None else self.at(gap.boot_id, gap.last_ns)
        return f"{printable(gap.reason)}, from {first} to {last}"
