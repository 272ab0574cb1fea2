"""The maps of programs: made for one load, and read by this process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pidscope.live import bpf_call
from pidscope.live.compiled import Map

_POSSIBLE = Path("/sys/devices/system/cpu/possible")


class Maps:
    """Maps that exist until it is closed, or as long as a loaded program uses them.

    Args:
        specs: of all maps.
        sizes: ``max_entries`` of those that get another size than their specification says.

    Raises:
        OSError: the kernel refuses one.
    """

    def __init__(self, specs: Sequence[Map], sizes: Mapping[str, int] | None = None) -> None:
        self.fds: dict[int, int] = {}  # by the place of the specification
        self._places = {spec.name: place for place, spec in enumerate(specs)}
        try:
            for place, spec in enumerate(specs):
                self.fds[place] = bpf_call.create_map(spec, (sizes or {}).get(spec.name))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Maps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fd(self, name: str) -> int:
        """Return a map's descriptor, by its name in C."""
        return self.fds[self._places[name]]

    def close(self) -> None:
        """Close all descriptors."""
        while self.fds:
            os.close(self.fds.popitem()[1])


class PerCpuCounters:
    """A per-CPU array of 64-bit counters; raises OSError.

    Args:
        fd: the map's descriptor, which has to stay open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._values = (ctypes.c_uint64 * possible_cpus(_POSSIBLE.read_text()))()

    def total(self, number: int) -> int:
        """Return the sum of one counter over all CPUs."""
        bpf_call.look_up(self._fd, number, self._values)
        return sum(self._values)


def possible_cpus(ranges: str) -> int:
    """Return how many values a per-CPU map has, from ``/sys/devices/system/cpu/possible``.

    Its CPUs are numbered from 0 without a gap, or the kernel would have as many values all the same
    (``num_possible_cpus()``): ``0-3`` is 4, ``0,2-3`` is 3.
    """
    ends = (part.partition("-") for part in ranges.strip().split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
