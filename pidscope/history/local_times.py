"""Instants that a clock on the wall shows: none in the hour that is left out, two in the other.

Pure: the zone is a value. Instants are in ns since the epoch, walls are datetimes without a zone.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def to_ns(wall: datetime, offset: timedelta = timedelta(0)) -> int:
    """Return the instant at which a clock that is ``offset`` ahead of UTC shows ``wall``."""
    return (wall - offset - _EPOCH) // _MICROSECOND * 1000


def wall_at(instant_ns: int, zone: tzinfo) -> datetime:
    """Return what the clock shows, to the microsecond, with its zone."""
    utc = (_EPOCH + timedelta(microseconds=instant_ns // 1000)).replace(tzinfo=timezone.utc)
    return utc.astimezone(zone)


def instants(wall: datetime, zone: tzinfo) -> list[int]:
    """Return when the clock shows ``wall``, in order: never, once, or twice."""
    found = set()
    for fold in (0, 1):
        offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
        instant = to_ns(wall, offset or timedelta(0))
        if wall_at(instant, zone).replace(tzinfo=None, fold=0) == wall:
            found.add(instant)
    return sorted(found)


def day_bounds(day: date, zone: tzinfo) -> tuple[int, int] | None:
    """Return the first and the last ns of a day, which may have 23 or 25 hours; None: left out."""
    first = _start_of(day, zone)
    midnights = instants(_midnight(day + _DAY), zone)
    last = (midnights[-1] if midnights else _start_of(day + _DAY, zone)) - 1
    if wall_at(last, zone).date() != day:  # midnight came twice, the second time in the next day
        last = _start_of(day + _DAY, zone) - 1
    return (first, last) if first < last and wall_at(first, zone).date() == day else None


def rfc3339(instant_ns: int, zone: tzinfo, digits: int = 0) -> str:
    """Return an instant as RFC 3339, with so many digits behind the second."""
    shown = wall_at(instant_ns, zone)
    fraction = f".{instant_ns % 1_000_000_000:09}"[: digits + 1] if digits else ""
    offset = shown.strftime("%z")
    return f"{shown:%Y-%m-%dT%H:%M:%S}{fraction}{offset[:3]}:{offset[3:5]}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _start_of(day: date, zone: tzinfo) -> int:
    """Return the first instant of a day; where the clock leaves midnight out, when it does so."""
    midnight = _midnight(day)
    found = instants(midnight, zone)
    if found:
        return found[0]
    offsets = [midnight.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)]
    before, after = sorted(to_ns(midnight, offset or timedelta(0)) for offset in offsets)
    while after - before > 1_000_000_000:  # clocks jump at whole seconds
        middle = (before + after) // 2 // 1_000_000_000 * 1_000_000_000
        if middle <= before:
            break
        if wall_at(middle, zone).date() < day:
            before = middle
        else:
            after = middle
    return after
