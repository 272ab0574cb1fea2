"""The offset that this process's time namespace adds to CLOCK_BOOTTIME and to starts in /proc.

The offset is exact, but not every kernel adds it to field 22 of stat: observed on 6.1, not on 5.10.
So a thread is started between two readings of the clock, and its start is read in /proc.
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

    clock_ns: int  # this process reads CLOCK_BOOTTIME later by this than eBPF programs do
    start_ns: int  # what is added to each start that it reads in /proc (`pidscope.host.ticks`)


def offsets_of_reader(procfs: ProcFs) -> Offsets:
    """Return the offsets of this process; raise HostError if they cannot be known, ProcError."""
    offset_ns = procfs.boottime_offset_ns()
    return Offsets(offset_ns, offset_ns if offset_ns and _is_added(procfs, offset_ns) else 0)


def _is_added(procfs: ProcFs, offset_ns: int) -> bool:
    for _ in range(_TRIES):
        earliest_ns, shown, latest_ns = _start_thread(procfs)
        added = _is_between(shown, earliest_ns, latest_ns)
        if added != _is_between(shown, earliest_ns - offset_ns, latest_ns - offset_ns):
            return added
    raise HostError(
        f"cannot determine whether this kernel adds {offset_ns} ns to the start times in /proc",
        "run pidscope in the initial time namespace (nsenter -T -t 1 pidscope …)",
    )


def _start_thread(procfs: ProcFs) -> tuple[int, int, int]:
    """Return the start that /proc shows of a thread, and the time just before and after."""
    import threading  # hardly ever needed

    read: list[tuple[int, int]] = []

    def read_start() -> None:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        read.append((procfs.own_start_ticks(), now_ns))

    thread = threading.Thread(target=read_start)
    earliest_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    thread.start()
    thread.join()
    if not read:
        raise HostError("cannot read the start of this process's own thread in /proc")
    [(shown, latest_ns)] = read
    return earliest_ns, shown, latest_ns


def _is_between(ticks: int, earliest_ns: int, latest_ns: int) -> bool:
    ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    first, last = earliest_ns - _ROUNDING_NS, latest_ns + _ROUNDING_NS
    return first // ns_per_tick <= ticks <= last // ns_per_tick
