"""Field 22 of stat: a start in USER_HZ ticks, shifted by the time namespace of its reader.

``do_task_stat()`` (fs/proc/array.c; not yet in 5.10) prints
``nsec_to_clock_t(timens_add_boottime_ns(start_boottime))``: the reader's offset is added in
nanoseconds, modulo 2^64, and only then is the sum rounded down to ticks. So one start has one shown
value, but a shown value may stand for two ticks where the offset is not a whole number of ticks.
"""

from __future__ import annotations

_U64 = 1 << 64


def shown_ticks(start_ns: int, ns_per_tick: int, offset_ns: int) -> int:
    """Return the value shown to a reader for a task that started ``start_ns`` after boot.

    ``offset_ns`` is what is added for this reader (`pidscope.host.time_namespace`).
    """
    return (start_ns + offset_ns) % _U64 // ns_per_tick


def ticks_since_boot(shown: int, ns_per_tick: int, offset_ns: int) -> tuple[int, int]:
    """Return the first and the last tick since boot that this reader is shown as ``shown``."""
    earliest_ns = (shown * ns_per_tick - offset_ns) % _U64
    if earliest_ns >= _U64 // 2:  # before boot: of this tick only what came later is possible
        earliest_ns -= _U64
    width_ns = min(ns_per_tick, _U64 - shown * ns_per_tick)  # the last tick below 2^64 is cut
    return max(earliest_ns, 0) // ns_per_tick, (earliest_ns + width_ns - 1) // ns_per_tick
