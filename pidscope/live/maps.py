"""The maps of programs: made for one load, and read by this process."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pidscope.live import bpf_call
from pidscope.live.compiled import Map

_POSSIBLE = Path("/sys/devices/system/cpu/possible")
_BATCH = 1_024  # keys
_ENOTSUPP = 524  # include/linux/errno.h
_NO_BATCHES = (errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP)


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


class PerCpuHash:
    """A per-CPU hash, read whole, by batches where the kernel has them.

    Args:
        fd: the map's descriptor, which has to stay open.
        key, value: bytes of a key, and of a value on one CPU: a multiple of 8.
        batches: keys are asked for many at a time; None: if the kernel can.
    """

    def __init__(self, fd: int, key: int, value: int, batches: bool | None = None) -> None:
        self.cpus = possible_cpus(_POSSIBLE.read_text())
        self.batches = batches
        self._fd = fd
        self._key, self._value = key, value * self.cpus
        self._most = _BATCH

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each key and its values, on one CPU after the other; raises OSError.

        A key that comes meanwhile may be left out.
        """
        if self.batches is False:
            return self._one_by_one()
        try:
            items = self._by_batches()
        except OSError as error:
            if self.batches or error.errno not in _NO_BATCHES:
                raise
            self.batches = False
            return self._one_by_one()
        self.batches = True
        return iter(items)

    def _by_batches(self) -> list[tuple[bytes, bytes]]:
        items: list[tuple[bytes, bytes]] = []
        place, ended = None, False
        while not ended:
            keys = ctypes.create_string_buffer(self._key * self._most)
            values = ctypes.create_string_buffer(self._value * self._most)
            behind = ctypes.c_uint64()  # a hash takes 4 bytes
            try:
                count, ended = bpf_call.look_up_batch(
                    self._fd, place, behind, keys, values, self._most
                )
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self._most *= 2
                continue
            parts = zip(_parts(keys.raw, self._key, count), _parts(values.raw, self._value, count))
            items += parts
            place = behind
        return items

    def _one_by_one(self) -> Iterator[tuple[bytes, bytes]]:
        key, behind = None, ctypes.create_string_buffer(self._key)
        values = ctypes.create_string_buffer(self._value)
        while bpf_call.next_key(self._fd, key, behind):
            bpf_call.look_up_key(self._fd, behind, values)
            yield behind.raw, values.raw
            key, behind = behind, ctypes.create_string_buffer(self._key)


def _parts(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, size * count, size))


def possible_cpus(ranges: str) -> int:
    """Return how many values a per-CPU map has, from ``/sys/devices/system/cpu/possible``.

    Its CPUs are numbered from 0 without a gap, or the kernel would have as many values all the same
    (``num_possible_cpus()``): ``0-3`` is 4, ``0,2-3`` is 3.
    """
    ends = (part.partition("-") for part in ranges.strip().split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
