"""The clocks of this host, and its time zone."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone, tzinfo

from pidscope.history.moment import Now


def read_now() -> Now:
    """Read the clocks, within some microseconds of each other; none is behind the monotonic one."""
    monotonic_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Now(time.clock_gettime_ns(time.CLOCK_REALTIME), boottime_ns, monotonic_ns)


def local_day(zone: tzinfo) -> date:
    """Return which day it is."""
    return datetime.now(timezone.utc).astimezone(zone).date()


class LocalZone(tzinfo):
    """The zone of TZ or /etc/localtime with its history, as the C library has it."""

    def utcoffset(self, wall: datetime | None) -> timedelta | None:
        """Return how far ahead of UTC the clock is."""
        return None if wall is None else wall.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, wall: datetime | None) -> timedelta | None:
        """Return None: not asked for."""
        return None

    def tzname(self, wall: datetime | None) -> str | None:
        """Return what the zone is called."""
        return None if wall is None else wall.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, utc: datetime) -> datetime:
        """Return what the clock shows, with the fold of the second time."""
        there = utc.replace(tzinfo=timezone.utc).astimezone()
        shown = there.replace(tzinfo=self)
        return shown.replace(fold=int(shown.utcoffset() != there.utcoffset()))
