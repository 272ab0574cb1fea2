"""All that a command needs of this host's /proc, read at once."""

from __future__ import annotations

import os
import time
from typing import Callable

from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import Offsets, offsets_of_reader
from pidscope.snapshot import ProcReading, Snapshot


def read_host(
    procfs: ProcFs,
    threads: bool = True,
    starts: bool = True,
    cgroups: bool = False,
    *,
    snapshot: Callable[[bool, bool, bool], Snapshot] | None = None,
) -> ProcReading:
    """Read a mount and every task in it, as `ProcFs.snapshot` does, or ``snapshot`` in its place.

    What START needs is read only for starts, and its absence costs them alone.

    Raises:
        HostError: that is no /proc, or not one in which this process has a number. ProcError.
    """
    mount, mounted = procfs.mount(), procfs.proc_mount()
    offsets = _offsets(procfs) if starts else None
    return ProcReading(
        mount,
        procfs.snapshot(threads, starts, cgroups, mounted)
        if snapshot is None
        else snapshot(threads, starts, cgroups),
        procfs.sees_all(mounted),
        None if offsets is None else _boot_time(procfs, offsets),
        os.sysconf("SC_CLK_TCK"),
        None if offsets is None else offsets.start_ns,
    )


def _offsets(procfs: ProcFs) -> Offsets | None:
    """Return the offsets of this process's time namespace; None: they cannot be known."""
    try:
        return offsets_of_reader(procfs)
    except HostError:
        return None


def _boot_time(procfs: ProcFs, offsets: Offsets) -> int | None:
    """Return the boot in seconds since the epoch: btime or, in a time namespace, by the clocks.

    None: there is no btime.

    btime is shifted there by some kernels and not by others: observed on 6.1 and 5.10.
    """
    if not offsets.clock_ns:
        return procfs.boot_time()
    while True:
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        earliest, latest = (
            (now - boottime + offsets.clock_ns) // 1_000_000_000 for boottime in (after, before)
        )
        if earliest == latest:  # or a second ended between the readings
            return earliest
