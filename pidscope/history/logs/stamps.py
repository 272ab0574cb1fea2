"""The times that processes write into logs, as moments.

Pure: the zone is a value, and the clock is a function that is asked once a minute of the log.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Callable

from pidscope.history.local_times import instants, to_ns, wall_at
from pidscope.history.logs.line import (
    LATE_NS,
    NO_TIME,
    Mention,
    Parsed,
    decimal_ns,
    written,
)
from pidscope.history.moment import SECOND_NS, Clock, Moment

_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_AHEAD_NS = 86_400 * SECOND_NS  # so far ahead the clock of a host that wrote to this one may be
_DATED = re.compile(
    rb"(?P<minute>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9})\d*)?"
    rb"(?: ?(?P<offset>Z|z|UTC|[+-]\d\d:?\d\d))?"
)
_OLD = re.compile(rb"(?P<minute>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d):(?P<second>\d\d)(?P<offset>)")
_DECIMAL = re.compile(rb"(\d{9,19})(?:\.(\d{1,9})\d*)?")
_UNITS = {10: 0, 13: 3, 16: 6, 19: 9}  # digits of a time from 2001 to 2286, and of its fraction
_NEVER = "the clock never showed this time"


class Stamps:
    """Makes moments of the times of lines; most have their minute in common with the line before.

    Args:
        zone: of times that name none.
        realtime_ns: what time it is; a date without a year is the latest that is not ahead of it.
    """

    def __init__(self, zone: tzinfo, realtime_ns: Callable[[], int]) -> None:
        self._zone = zone
        self._realtime_ns = realtime_ns
        self._key: tuple[bytes, bytes | None] = (b"", None)
        self._minutes: list[int] = []

    def dated(self, mentions: tuple[Mention, ...], match: re.Match[bytes]) -> Parsed:
        """Return a line whose time is in groups: minute, second, perhaps fraction and offset."""
        parts = match.groupdict()
        minutes = self._minutes_of(parts["minute"], parts.get("offset"))
        if not minutes:
            return Parsed(mentions, None, _NEVER)
        after_ns, width_ns = decimal_ns(parts["second"], parts.get("fraction"))
        first_ns, last_ns = minutes[0] + after_ns, minutes[-1] + after_ns + width_ns - 1
        return Parsed(mentions, Moment(Clock.REALTIME, first_ns - LATE_NS, last_ns))

    def of_text(self, mentions: tuple[Mention, ...], text: bytes) -> Parsed:
        """Return a line whose time is a text: RFC 3339 or like it, or a decimal since the epoch."""
        match = _DECIMAL.fullmatch(text)
        if match is not None and len(match[1]) in _UNITS:
            digits = _UNITS[len(match[1])]
            at = len(match[1]) - digits
            fraction = (match[1][at:] + (match[2] or b""))[:9]
            return Parsed(mentions, written(*decimal_ns(match[1][:at], fraction)))
        match = _DATED.fullmatch(text) or _OLD.fullmatch(text)
        if match is None:
            return Parsed(mentions, None, NO_TIME)
        return self.dated(mentions, match)

    def _minutes_of(self, minute: bytes, offset: bytes | None) -> list[int]:
        """Return the first and last instant at which the minute may have begun; [] for never."""
        if self._key != (minute, offset):
            self._key = minute, offset
            try:
                self._minutes = self._begun(minute, offset)
            except (ValueError, OverflowError):  # such as 30 February
                self._minutes = []
        return self._minutes

    def _begun(self, minute: bytes, offset: bytes | None) -> list[int]:
        if minute[:1].isalpha():
            return self._latest(minute)
        year, month, day = int(minute[:4]), int(minute[5:7]), int(minute[8:10])
        wall = datetime(year, month, day, int(minute[11:13]), int(minute[14:16]))
        if offset is None:
            return instants(wall, self._zone)
        return [to_ns(wall, _ahead(offset))]

    def _latest(self, minute: bytes) -> list[int]:
        """Return when a minute without a year, such as ``Nov 30 14:03``, was last."""
        month = _MONTHS.index(minute[:3]) + 1
        day, hour, at_minute = int(minute[4:6]), int(minute[7:9]), int(minute[10:12])
        limit_ns = self._realtime_ns() + _AHEAD_NS
        this_year = wall_at(limit_ns, self._zone).year
        for year in range(this_year, this_year - 9, -1):  # of 29 February, past one like 2100
            if (month, day) == (2, 29) and (year % 4 or (not year % 100 and year % 400)):
                continue
            found = instants(datetime(year, month, day, hour, at_minute), self._zone)
            if not found or found[0] <= limit_ns:
                return found
        return []


def _ahead(offset: bytes) -> timedelta:
    """Return how far a clock with this offset is ahead of UTC."""
    if offset[:1] not in b"+-":
        return timedelta(0)
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    return -ahead if offset[:1] == b"-" else ahead
