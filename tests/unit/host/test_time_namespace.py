from __future__ import annotations

import time
from typing import Any

import pytest

from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.host.ticks import shown_ticks
from pidscope.host.time_namespace import Offsets, offsets_of_reader

TICK = 10_000_000


class Reader:
    """A /proc as read from a time namespace whose clock is the one that is here."""

    def __init__(self, offset_ns: int, added_ns: int) -> None:
        self._offset_ns = offset_ns
        self._added_ns = added_ns

    def boottime_offset_ns(self) -> int:
        return self._offset_ns

    def own_start_ticks(self) -> int:
        real_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._offset_ns
        return shown_ticks(real_ns, TICK, self._added_ns)


def offsets(offset_ns: int, added_ns: int) -> Offsets:
    reader: Any = Reader(offset_ns, added_ns)
    return offsets_of_reader(reader)


def test_the_initial_time_namespace_has_none() -> None:
    if ProcFs().boottime_offset_ns() == 0:
        assert offsets_of_reader(ProcFs()) == (0, 0)


@pytest.mark.parametrize(
    "offset_ns", [time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 2, -5_000_000_000, 3 * TICK]
)
def test_a_kernel_that_adds_the_offset_is_told_from_one_that_does_not(offset_ns: int) -> None:
    assert offsets(offset_ns, offset_ns) == (offset_ns, offset_ns)
    assert offsets(offset_ns, 0) == (offset_ns, 0)


def test_what_cannot_be_told_is_not_guessed() -> None:
    with pytest.raises(HostError, match="cannot determine whether this kernel adds 1 ns"):
        offsets(1, 1)


def test_a_start_at_no_possible_time_is_not_believed() -> None:
    with pytest.raises(HostError, match="cannot determine"):
        offsets(10**15, 10**14)
