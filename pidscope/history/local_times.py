"""Instants that a clock on the wall shows: none in the hour that is left out, two in the other.

Pure: the zone is a value. Instants are in ns since the epoch, walls are datetimes without a zone.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_QUARTER_NS = 900 * 1_000_000_000
_KEPT = 4_096


def to_ns(wall: datetime, offset: timedelta = timedelta(0)) -> int:
    """Return the instant at which a clock that is ``offset`` ahead of UTC shows ``wall``."""
    return (wall - offset - _EPOCH) // _MICROSECOND * 1000


def wall_at(instant_ns: int, zone: tzinfo) -> datetime:
    """Return what the clock shows, to the microsecond, with its zone."""
    utc = (_EPOCH + timedelta(microseconds=instant_ns // 1000)).replace(tzinfo=timezone.utc)
    return utc.astimezone(zone)


class Offsets:
    """How far ahead of UTC the clock of a zone is, quickly: one that is asked keeps the answers.

    Clocks jump at quarters of an hour.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._kept: dict[int, int] = {}  # in seconds, by the quarter

    def at(self, instant_ns: int) -> int:
        """Return it in seconds; raises OverflowError, ValueError, OSError: no such year."""
        quarter = instant_ns // _QUARTER_NS
        offset_s = self._kept.get(quarter)
        if offset_s is None:
            offset = wall_at(quarter * _QUARTER_NS, self.zone).utcoffset()
            offset_s = 0 if offset is None else offset.days * 86_400 + offset.seconds
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[quarter] = offset_s
        return offset_s

    def wall(self, instant_ns: int) -> tuple[date, str, str]:
        """Return the day, the time of day to the second, and the offset as ``+01:00``.

        Raises OverflowError, ValueError, OSError: no such year.
        """
        offset_s = self.at(instant_ns)
        days, seconds = divmod(instant_ns // 1_000_000_000 + offset_s, 86_400)
        sign, minutes = ("-" if offset_s < 0 else "+"), abs(offset_s) // 60
        time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        day = date.fromordinal(_EPOCH_DAY + days)
        return day, time, f"{sign}{minutes // 60:02}:{minutes % 60:02}"

    def rfc3339(self, instant_ns: int, digits: int = 0) -> str:
        """Return what `rfc3339` does."""
        day, time, offset = self.wall(instant_ns)
        return f"{day.isoformat()}T{time}{_fraction(instant_ns, digits)}{offset}"


def _fraction(instant_ns: int, digits: int) -> str:
    return f".{instant_ns % 1_000_000_000:09}"[: digits + 1] if digits else ""


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
    fraction = _fraction(instant_ns, digits)
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
