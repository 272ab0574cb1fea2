"""All that a command needs of this host's /proc, read at once."""

from __future__ import annotations

import os
import time

from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import Offsets, offsets_of_reader
from pidscope.snapshot import ProcReading


def read_host(
    procfs: ProcFs, threads: bool = True, starts: bool = True, cgroups: bool = False
) -> ProcReading:
    """Read a mount and every task in it, as `ProcFs.snapshot` does.

    Raises:
        HostError: that is no /proc, or not one in which this process has a number. ProcError.
    """
    mount, offsets = procfs.mount(), offsets_of_reader(procfs)
    return ProcReading(
        mount,
        procfs.snapshot(threads, starts, cgroups),
        procfs.sees_all(),
        _boot_time(procfs, offsets),
        os.sysconf("SC_CLK_TCK"),
        offsets.start_ns,
    )


def _boot_time(procfs: ProcFs, offsets: Offsets) -> int:
    """Return the boot in seconds since the epoch: btime or, in a time namespace, by the clocks.

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
