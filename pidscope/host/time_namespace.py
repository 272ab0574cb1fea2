"""What the time namespace of this process adds to CLOCK_BOOTTIME, and to start times in /proc.

Its offset is exact, but not every kernel adds it to field 22 of stat: 6.1 does, 5.10 does not. So
a thread is started between two readings of the clock, and /proc is asked when that was.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from pidscope.errors import HostError
from pidscope.host.proc import ProcFs

_TRIES = 100
_ROUNDING_NS = 1000  # the kernel and the vDSO do not read the clock in the same way


class Offsets(NamedTuple):
    """Both are 0 in the initial time namespace."""

    clock_ns: int  # this process reads CLOCK_BOOTTIME so much later than eBPF programs do
    start_ns: int  # what is added to each start that it reads in /proc (`pidscope.host.ticks`)


def offsets_of_reader(procfs: ProcFs) -> Offsets:
    """Return what is added for this process; raise HostError if it cannot be known, ProcError."""
    offset_ns = procfs.boottime_offset_ns()
    return Offsets(offset_ns, offset_ns if offset_ns and _is_added(procfs, offset_ns) else 0)


def _is_added(procfs: ProcFs, offset_ns: int) -> bool:
    for _ in range(_TRIES):
        earliest_ns, shown, latest_ns = _start_thread(procfs)
        added = _is_between(shown, earliest_ns, latest_ns)
        if added != _is_between(shown, earliest_ns - offset_ns, latest_ns - offset_ns):
            return added
    raise HostError(
        f"cannot tell whether this kernel adds {offset_ns} ns to the start times in /proc",
        "run pidscope in the initial time namespace (nsenter -T -t 1 pidscope …)",
    )


def _start_thread(procfs: ProcFs) -> tuple[int, int, int]:
    """Return the start that /proc shows of a thread, and the time just before and after."""
    import threading  # hardly ever needed

    told: list[tuple[int, int]] = []

    def tell() -> None:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        told.append((procfs.own_start_ticks(), now_ns))

    thread = threading.Thread(target=tell)
    earliest_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    thread.start()
    thread.join()
    if not told:
        raise HostError("cannot read the start of this process's own thread in /proc")
    [(shown, latest_ns)] = told
    return earliest_ns, shown, latest_ns


def _is_between(ticks: int, earliest_ns: int, latest_ns: int) -> bool:
    ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    first, last = earliest_ns - _ROUNDING_NS, latest_ns + _ROUNDING_NS
    return first // ns_per_tick <= ticks <= last // ns_per_tick
