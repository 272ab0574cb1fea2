"""Times as they are typed: each is one interval, or is refused.

Pure: the clocks and the zone are values. A time is as wide as its last digit: ``14:03`` is a whole
minute, ``-10m`` the minute that began ten minutes ago, ``yesterday`` a day. What has begun and is
not over ends now.

A time of day without a date is today's, as for ``journalctl --since``, ``last -s`` and ``ausearch
-ts``. One that is still to come is refused instead of being taken for yesterday's: those tools
would search the future, and find nothing.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import NoReturn

from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.history.local_times import day_bounds, instants, rfc3339, wall_at
from pidscope.history.moment import SECOND_NS, Clock, Moment, Now, scheduler_moment

FORMS = (
    "14:03, 14:03:05.250, yesterday 14:03, 2026-11-30 14:03:05, 2026-11-30T14:03:05+01:00, "
    "-2h30m, @1764511385, [12345.678]"
)

_DAY = r"(?P<word>today|yesterday)|(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
_OFFSET = r" ?(?P<zone>[Zz]|UTC|[+-]\d\d:?\d\d)"
_CALENDAR = re.compile(rf"(?:{_DAY})?(?:(?:^|(?<=\d)[Tt]| +){_TIME}(?:{_OFFSET})?)?", re.ASCII)
_AGO = re.compile(
    r"-(?=\d)(?:(\d{1,6})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m)?(?:(\d{1,10})(?:[.,](\d{1,9}))?s)?",
    re.ASCII,
)
_EPOCH = re.compile(r"@(\d{1,10})(?:[.,](\d{1,9}))?", re.ASCII)
_DMESG = re.compile(r"\[ *(\d{1,10})(?:\.(\d{1,9}))?\]", re.ASCII)
_UNITS_S = (86_400, 3_600, 60, 1)
_YEARS = range(1970, 2262)  # whose nanoseconds 64 bits hold

_NEARLY = (  # what people write elsewhere, and how it is written here
    (r"[\d:. ]+ *[ap]\.?m\.?", "a time of day has 24 hours, such as 14:03"),
    (r"(?:.* )?\d:\d\d(?::\d\d)?", "an hour has two digits: 02:03 is at night, 14:03 by day"),
    (r"\d{1,4}[./]\d{1,2}[./]\d{1,4}.*|\d\d?-\d\d?-\d+.*", "a date is written as in 2026-11-30"),
    (r"\d+|\d+\.\d+", "seconds since the epoch are written as in @1764511385"),
    (r"-\d+", "a unit is missing: d, h, m or s, as in -10m"),
    (r"-.*", "time ago is written as in -2h30m: days (d), hours, minutes, seconds in this order"),
    (r"\d+ ?[dhms]\w*( ago)?", "time ago is written as in -10m"),
    (r"\+.*|tomorrow.*", "nothing is recorded of the future"),
    (r".* [A-Za-z]{2,5}|.*\d[A-Za-z]{2,5}", "a zone is written as its offset, such as +01:00"),
)


def parse_time(text: str, now: Now, zone: tzinfo) -> Moment:
    """Return the time that is meant; ``zone`` is that of times which name none.

    Raises:
        UsageError: it is no time, it is still to come, or the wall clock showed it twice or never.
    """
    moment = _parse(text, now, zone)
    if moment is None:
        _refuse(text)
    if moment.first_ns < 0:
        raise UsageError(f"'{printable(text)}': before 1970")
    now_ns = now.on(moment.clock)
    if moment.first_ns > now_ns:
        raise UsageError(f"'{printable(text)}' is still to come{_instead(text, now, zone)}")
    return moment._replace(last_ns=min(moment.last_ns, now_ns))


def _parse(text: str, now: Now, zone: tzinfo) -> Moment | None:
    if text == "now":
        return Moment(Clock.REALTIME, now.realtime_ns, now.realtime_ns)
    match = _AGO.fullmatch(text)
    if match is not None:
        return _ago(match, now)
    match = _EPOCH.fullmatch(text)
    if match is not None:
        first_ns, width_ns = seconds_ns(match[1], match[2])
        return Moment(Clock.REALTIME, first_ns, first_ns + width_ns - 1)
    match = _DMESG.fullmatch(text)
    if match is not None:
        return scheduler_moment(*seconds_ns(match[1], match[2]))
    match = _CALENDAR.fullmatch(text)
    return _calendar(text, match, now, zone) if match is not None and text else None


def seconds_ns(seconds: str, fraction: str | None) -> tuple[int, int]:
    """Return decimal seconds in ns, and the width of their last digit."""
    digits = fraction or ""
    return int(seconds) * SECOND_NS + int(digits.ljust(9, "0")), 10 ** (9 - len(digits))


def _ago(match: re.Match[str], now: Now) -> Moment:
    """Return the time that began so long ago, which no step of the wall clock moves.

    Before the boot there is the wall clock alone.
    """
    counts = match.groups()[:4]
    fraction_ns, width_ns = seconds_ns("0", match[5])
    ago_ns = fraction_ns
    for count, unit_s in zip(counts, _UNITS_S):
        if count is not None:
            ago_ns += int(count) * unit_s * SECOND_NS
            width_ns = unit_s * SECOND_NS if match[5] is None else width_ns
    clock = Clock.BOOTTIME if ago_ns <= now.boottime_ns else Clock.REALTIME
    first_ns = now.on(clock) - ago_ns
    return Moment(clock, first_ns, first_ns + width_ns - 1)


def _calendar(text: str, match: re.Match[str], now: Now, zone: tzinfo) -> Moment:
    if match["zone"] is not None:
        if match["word"] is not None:
            raise UsageError(
                f"'{printable(text)}': with an offset, the date is written: {match['word']} is the"
                " day here"
            )
        zone = _offset(text, match["zone"])
    day = _day(text, match, now, zone)
    if match["hour"] is None:
        bounds = day_bounds(day, zone)
        if bounds is None:
            raise UsageError(f"'{printable(text)}': there was no such day in this time zone")
        return Moment(Clock.REALTIME, *bounds)
    return _time_of_day(text, match, day, zone)


def _offset(text: str, word: str) -> timezone:
    if word in ("Z", "z", "UTC"):
        return timezone.utc
    hours, minutes = int(word[1:3]), int(word[-2:])
    if hours > 23 or minutes > 59:
        raise UsageError(f"'{printable(text)}': no offset is {word}")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if word[0] == "-" else offset)


def _day(text: str, match: re.Match[str], now: Now, zone: tzinfo) -> date:
    if match["year"] is None:
        today = wall_at(now.realtime_ns, zone).date()
        return today - timedelta(days=match["word"] == "yesterday")
    if int(match["year"]) not in _YEARS:
        raise UsageError(f"'{printable(text)}': a year is one from 1970 to 2261")
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        raise UsageError(f"'{printable(text)}': there is no such day") from None


def _time_of_day(text: str, match: re.Match[str], day: date, zone: tzinfo) -> Moment:
    hour, minute, second = (int(match[it] or 0) for it in ("hour", "minute", "second"))
    if second == 60:
        raise UsageError(f"'{printable(text)}': the kernel's clock has no leap seconds")
    if hour > 23 or minute > 59 or second > 59:
        raise UsageError(f"'{printable(text)}': there is no such time of day")
    start = datetime(day.year, day.month, day.day, hour, minute, second)
    fraction_ns, width_ns = seconds_ns("0", match["fraction"])
    if match["second"] is None:
        width_ns = 60 * SECOND_NS
    last_second = start + timedelta(seconds=(width_ns - 1) // SECOND_NS)
    first = _only(text, match, start, zone) + fraction_ns
    last = first + width_ns - 1
    if last_second != start:  # a clock may jump in between
        last = _only(text, match, last_second, zone) + SECOND_NS - 1
    return Moment(Clock.REALTIME, first, last)


def _only(text: str, match: re.Match[str], wall: datetime, zone: tzinfo) -> int:
    """Return the instant at which the clock showed ``wall``; raise UsageError unless it is one."""
    found = instants(wall, zone)
    if not found:
        raise UsageError(f"'{printable(text)}': the clock was set forward and never showed it")
    if len(found) > 1:
        fraction = match["fraction"] or ""
        spelt = [rfc3339(it + seconds_ns("0", fraction)[0], zone, len(fraction)) for it in found]
        raise UsageError(f"'{printable(text)}' came twice: {spelt[0]} or {spelt[1]}")
    return found[0]


def _instead(text: str, now: Now, zone: tzinfo) -> str:
    """Return what time it is, and what may have been meant."""
    is_bare = text[2:3] == ":" and text.strip("0123456789:.,") == ""
    meant = f": 'yesterday {text}'?" if is_bare else ""
    return f" (now is {rfc3339(now.realtime_ns, zone)}){meant}"


def _refuse(text: str) -> NoReturn:
    for form, advice in _NEARLY:
        if re.fullmatch(form, text, re.IGNORECASE | re.ASCII):
            raise UsageError(f"'{printable(text)}': {advice}")
    raise UsageError(f"not a time: '{printable(text)}'; times are {FORMS}")
