from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pidscope.host.ticks import shown_ticks, ticks_since_boot
from pidscope.table.table import Table

TICK = 10_000_000
starts = st.integers(0, 2**62)
offsets = st.integers(-(2**62), 2**62)


@given(starts, offsets)
def test_a_start_is_among_the_ticks_that_it_may_be(start_ns: int, offset_ns: int) -> None:
    first, last = ticks_since_boot(shown_ticks(start_ns, TICK, offset_ns), TICK, offset_ns)
    assert first <= start_ns // TICK <= last <= first + 1


@given(starts, offsets)
def test_each_of_the_ticks_is_shown_so(start_ns: int, offset_ns: int) -> None:
    shown = shown_ticks(start_ns, TICK, offset_ns)
    for tick in set(ticks_since_boot(shown, TICK, offset_ns)):
        seen = {shown_ticks(tick * TICK, TICK, offset_ns)}
        seen.add(shown_ticks((tick + 1) * TICK - 1, TICK, offset_ns))
        boundary = -offset_ns % TICK  # where what is shown changes, inside a tick
        seen.add(shown_ticks(tick * TICK + boundary, TICK, offset_ns))
        assert shown in seen


@given(starts, st.integers(-(2**38), 2**38))
def test_whole_ticks_leave_no_doubt(start_ns: int, offset_ticks: int) -> None:
    offset_ns = offset_ticks * TICK
    assume(start_ns + offset_ns >= 0)  # 2^64 is no whole number of ticks
    shown = shown_ticks(start_ns, TICK, offset_ns)
    assert ticks_since_boot(shown, TICK, offset_ns) == (start_ns // TICK,) * 2


@pytest.mark.parametrize(
    ("start_ns", "offset_ns", "shown"),
    [
        (240_000_000, 0, 24),
        (249_999_999, 1_000_000_000_000, 100024),
        (249_000_000, -3600_000_000_000, 1844674047395),  # as Linux 6.18 printed it
        (5, -10, (2**64 - 5) // TICK),
    ],
)
def test_what_the_kernel_prints(start_ns: int, offset_ns: int, shown: int) -> None:
    assert shown_ticks(start_ns, TICK, offset_ns) == shown
    first, last = ticks_since_boot(shown, TICK, offset_ns)
    assert first <= start_ns // TICK <= last


def test_nothing_starts_before_boot() -> None:
    assert ticks_since_boot(0, TICK, 5_000_000) == (0, 0)


def test_nothing_is_shown_beyond_64_bits() -> None:
    assert ticks_since_boot(2**64 // TICK, TICK, -TICK) == (0, 0)


def test_the_table_tells_starts_as_its_reader_is_shown_them() -> None:
    born: Any = SimpleNamespace(start_ns=19_999_999)
    assert Table(1, TICK).start_ticks(born) == 1
    assert Table(1, TICK, None, 1).start_ticks(born) == 2
