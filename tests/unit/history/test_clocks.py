"""The zone of this host is what zoneinfo has by the same name, also where a clock jumps."""

import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from pidscope.history.local_times import Offsets, instants, rfc3339, to_ns, wall_at
from pidscope.history.moment import SECOND_NS, Clock
from pidscope.sources.clocks import LocalZone, read_now


@pytest.fixture(params=["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield ZoneInfo(request.param)
    monkeypatch.undo()
    time.tzset()


def test_the_local_zone_is_the_c_library_s(zone: ZoneInfo) -> None:
    here = LocalZone()
    begin = 1_767_225_600 * SECOND_NS + 1_234_567_000  # 2026
    days = [begin + day * 24 * 3_600 * SECOND_NS for day in range(365)]
    jumps = [
        day + minutes * 60 * SECOND_NS
        for day in days
        for minutes in range(0, 24 * 60, 15)
        if wall_at(day, zone).utcoffset() != wall_at(day + days[1] - days[0], zone).utcoffset()
    ]
    for instant in (*days, *jumps):
        expected, shown = wall_at(instant, zone), wall_at(instant, here)
        wall = shown.replace(tzinfo=None)
        assert (wall, shown.fold) == (expected.replace(tzinfo=None), expected.fold)
        assert instants(wall, here) == instants(wall, zone)
        assert instant in instants(wall, here)
        assert to_ns(wall, shown.utcoffset()) == instant // 1_000 * 1_000


def test_the_clocks_are_read_together() -> None:
    now = read_now()
    assert now.monotonic_ns <= now.boottime_ns < now.realtime_ns
    assert now.on(Clock.MONOTONIC) == now.monotonic_ns


def test_what_is_kept_of_a_zone_is_what_it_is(zone: ZoneInfo) -> None:
    """Around every jump of a year, and with offsets behind UTC."""
    offsets = Offsets(LocalZone())
    begin = 1_767_225_600 * SECOND_NS + 1_234_567_891  # 2026
    for minutes in range(0, 365 * 24 * 60, 137):
        instant = begin + minutes * 60 * SECOND_NS
        assert offsets.rfc3339(instant, 9) == rfc3339(instant, zone, 9)
        wall = wall_at(instant, zone)
        day, time_of_day, _ = offsets.wall(instant)
        assert (day, time_of_day) == (wall.date(), f"{wall:%H:%M:%S}")
