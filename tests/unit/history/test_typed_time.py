"""A typed time is the interval that a second way of reckoning finds, or is refused in one line.

The second way is datetime with zoneinfo's rules, from an instant to its text; the parser goes from
the text to the instant.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import UsageError
from pidscope.history.local_times import day_bounds, instants, rfc3339, to_ns, wall_at
from pidscope.history.moment import SECOND_NS, Clock, Moment, Now
from pidscope.history.typed_time import parse_time

BERLIN = ZoneInfo("Europe/Berlin")
DAY_NS = 86_400 * SECOND_NS


def now_at(text: str, uptime_s: int = 50_000) -> Now:
    realtime_ns = to_ns(datetime.fromisoformat(text).astimezone(timezone.utc).replace(tzinfo=None))
    return Now(realtime_ns, uptime_s * SECOND_NS, (uptime_s - 1_000) * SECOND_NS)


NOW = now_at("2026-11-30T15:10:11+01:00")


def parsed(text: str, now: Now = NOW, zone: ZoneInfo = BERLIN) -> Moment:
    return parse_time(text, now, zone)


def span(first: str, width_ns: int) -> Moment:
    """The interval on the wall clock that begins at an instant written with its offset."""
    first_ns = now_at(first).realtime_ns
    return Moment(Clock.REALTIME, first_ns, first_ns + width_ns - 1)


@pytest.mark.parametrize(
    ("text", "first", "width_ns"),
    [
        ("14:03:05", "2026-11-30T14:03:05+01:00", SECOND_NS),
        ("14:03", "2026-11-30T14:03:00+01:00", 60 * SECOND_NS),
        ("14:03:05.250", "2026-11-30T14:03:05.250+01:00", 1_000_000),
        ("14:03:05,25", "2026-11-30T14:03:05.250+01:00", 10_000_000),
        ("today 00:00", "2026-11-30T00:00:00+01:00", 60 * SECOND_NS),
        ("yesterday 14:03", "2026-11-29T14:03:00+01:00", 60 * SECOND_NS),
        ("yesterday", "2026-11-29T00:00:00+01:00", DAY_NS),
        ("2026-11-30 14:03", "2026-11-30T14:03:00+01:00", 60 * SECOND_NS),
        ("2026-11-30 14:03:05", "2026-11-30T14:03:05+01:00", SECOND_NS),
        ("2026-11-30T14:03:05Z", "2026-11-30T14:03:05+00:00", SECOND_NS),
        ("2026-11-30t14:03:05z", "2026-11-30T14:03:05+00:00", SECOND_NS),
        ("2026-11-29T14:03:05.123456-05:30", "2026-11-29T14:03:05.123456-05:30", 1_000),
        # journalctl -o short-iso prints no colon, journalctl --since takes a UTC behind the time
        ("2026-11-30T14:03:05+0100", "2026-11-30T14:03:05+01:00", SECOND_NS),
        ("2026-11-30 14:03:05 UTC", "2026-11-30T14:03:05+00:00", SECOND_NS),
        ("14:03Z", "2026-11-30T14:03:00+00:00", 60 * SECOND_NS),
        ("@1764511385", "2025-11-30T14:03:05+00:00", SECOND_NS),
        ("@1764511385.250", "2025-11-30T14:03:05.250+00:00", 1_000_000),
        ("2026-10-25 02:30:00 +02:00", "2026-10-25T02:30:00+02:00", SECOND_NS),
        # the days on which summer time begins and ends have 23 and 25 hours
        ("2026-03-29", "2026-03-29T00:00:00+01:00", 23 * 3_600 * SECOND_NS),
        ("2026-10-25", "2026-10-25T00:00:00+02:00", 25 * 3_600 * SECOND_NS),
    ],
)
def test_a_time_on_the_wall_clock_is_as_wide_as_its_last_digit(
    text: str, first: str, width_ns: int
) -> None:
    assert parsed(text) == span(first, width_ns)


def test_what_has_begun_ends_now() -> None:
    assert parsed("15:10") == span("2026-11-30T15:10:00+01:00", 11 * SECOND_NS + 1)
    assert parsed("today").last_ns == NOW.realtime_ns
    assert parsed("now") == Moment(Clock.REALTIME, NOW.realtime_ns, NOW.realtime_ns)


@pytest.mark.parametrize(
    ("text", "ago_s", "width_s"),
    [("-10m", 600, 60), ("-2h30m", 9_000, 60), ("-45s", 45, 1), ("-1h5s", 3_605, 1), ("-0d", 0, 0)],
)
def test_a_time_ago_is_counted_on_the_clock_that_no_one_sets(
    text: str, ago_s: int, width_s: int
) -> None:
    first_ns = NOW.boottime_ns - ago_s * SECOND_NS
    last_ns = min(first_ns + width_s * SECOND_NS - 1, NOW.boottime_ns)
    assert parsed(text) == Moment(Clock.BOOTTIME, first_ns, max(last_ns, first_ns))


def test_a_time_before_the_boot_is_counted_on_the_wall_clock() -> None:
    first_ns = NOW.realtime_ns - 3 * DAY_NS
    assert parsed("-3d") == Moment(Clock.REALTIME, first_ns, first_ns + DAY_NS - 1)


def test_the_clock_of_dmesg_drifts_by_500_ppm_and_may_begin_a_second_apart() -> None:
    """MAXFREQ is 500 ppm (include/linux/timex.h, Linux 6.18)."""
    slack_ns = SECOND_NS + 12_345_678_000_000 * 500 // 1_000_000
    expected = (12_345_678_000_000 - slack_ns, 12_345_678_999_999 + slack_ns)
    assert parsed("[12345.678]") == Moment(Clock.MONOTONIC, *expected)
    assert parsed("[    0.25]").first_ns == 0
    last = NOW.monotonic_ns // SECOND_NS
    assert parsed(f"[{last}.9]").last_ns == NOW.monotonic_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("15:11", "'15:11' is still to come (now is 2026-11-30T15:10:11+01:00): 'yesterday 15:11'"),
        ("today 15:11", "'today 15:11' is still to come (now is 2026-11-30T15:10:11+01:00)$"),
        ("15:11+01:00", "'15:11+01:00' is still to come (now is 2026-11-30T15:10:11+01:00)$"),
        ("2027-01-01", "still to come"),
        ("@1796047812", "still to come"),
        ("[50000.0]", "still to come"),
        ("2026-03-29 02:30", "the clock was set forward and never showed it"),
        ("2026-10-25 02:30", "came twice: 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"),
        (
            "2026-10-25 02:30:05.5",
            "came twice: 2026-10-25T02:30:05.5+02:00 or 2026-10-25T02:30:05.5+01:00",
        ),
        ("2:03pm", "a time of day has 24 hours"),
        ("12 AM", "a time of day has 24 hours"),
        ("02:03:04 p.m.", "a time of day has 24 hours"),
        ("2:03", "an hour has two digits"),
        ("yesterday 2:03", "an hour has two digits"),
        ("24:00", "no such time of day"),
        ("14:60", "no such time of day"),
        ("23:59:60", "no leap seconds"),
        ("2026-02-29", "no such day"),
        ("2026-13-01 00:00", "no such day"),
        ("11/30/2026", "a date is written as in 2026-11-30"),
        ("30.11.2026 14:03", "a date is written as in 2026-11-30"),
        ("1764511385", "seconds since the epoch are written as in @1764511385"),
        ("-10", "a unit is missing"),
        ("-30m2h", "in this order"),
        ("-1.5h", "time ago is written"),
        ("10m ago", "time ago is written as in -10m"),
        ("+10m", "nothing is recorded of the future"),
        ("tomorrow", "nothing is recorded of the future"),
        ("2026-11-30 14:03 CET", "a zone is written as its offset"),
        ("yesterday 14:03Z", "yesterday is the day here"),
        ("2026-11-30T14:03:05+24:00", "no offset is +24:00"),
        ("1969-12-31", "a year is one from 1970 to 2261"),
        ("1970-01-01 00:30", "before 1970"),
        ("9999-12-31 23:59", "a year is one from 1970 to 2261"),
        ("Nov 30 14:03:05", "not a time: 'Nov 30 14:03:05'; times are 14:03, "),
        ("2026-11-30T14:03:05.1234567891Z", "not a time"),
        ("٠٢:٠٣", "not a time"),
        ("14:03\n", "not a time: '14:03\\x0a'"),
        ("", "not a time: ''"),
    ],
)
def test_what_is_not_one_time_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(text)
    message = str(raised.value)
    assert "\n" not in message and not raised.value.hint
    assert reason.rstrip("$") in message
    assert message.endswith(reason[:-1]) or reason[-1] != "$"


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/Havana",  # falls back at 1:00, onto midnight
        "America/Sao_Paulo",  # left midnight out, until 2019
        "America/St_Johns",  # changed at 0:01 until 2011, so midnight's last minute came twice
        "Australia/Lord_Howe",  # half an hour
        "Pacific/Apia",  # left out 30 December 2011
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ]
).map(ZoneInfo)
# Half of them within a day of a jump of some clock.
JUMPS = [
    "2026-03-29T01:00:00+00:00",
    "2026-10-25T01:00:00+00:00",
    "2018-11-04T03:00:00+00:00",
    "2018-02-18T02:00:00+00:00",
    "2010-11-07T02:31:00+00:00",
    "2010-03-14T03:31:00+00:00",
    "2026-04-04T15:00:00+00:00",
    "2026-10-03T15:30:00+00:00",
    "2011-12-30T10:00:00+00:00",
    "2026-11-01T05:00:00+00:00",
    "2026-03-08T05:00:00+00:00",
]
INSTANTS = st.one_of(
    st.integers(DAY_NS, NOW.realtime_ns),
    st.builds(
        lambda jump, away: now_at(jump).realtime_ns + away * SECOND_NS,
        st.sampled_from(JUMPS),
        st.integers(-90_000, 90_000),
    ).filter(lambda instant: instant < NOW.realtime_ns),
)


@given(INSTANTS, ZONES)
def test_each_wall_has_the_instants_that_show_it(instant: int, zone: ZoneInfo) -> None:
    """Every quarter of an hour within two days is asked what it shows."""
    wall = wall_at(instant, zone).replace(tzinfo=None, fold=0, microsecond=0)
    second = instant // SECOND_NS * SECOND_NS
    shifts = range(-2 * 192, 2 * 192 + 1)
    near = [second + shift * 450 * SECOND_NS for shift in shifts]
    assert instants(wall, zone) == [
        it for it in near if wall_at(it, zone).replace(tzinfo=None, fold=0) == wall
    ]


@given(INSTANTS, ZONES)
def test_a_day_is_what_its_first_and_last_instants_enclose(instant: int, zone: ZoneInfo) -> None:
    day = wall_at(instant, zone).date()
    bounds = day_bounds(day, zone)
    assert bounds is not None
    first, last = bounds
    assert first <= instant <= last
    assert wall_at(first, zone).date() == day == wall_at(last, zone).date()
    later = [last + 1 + minutes * 60 * SECOND_NS for minutes in range(0, 180, 1)]
    sooner = [first - 1 - minutes * 60 * SECOND_NS for minutes in range(0, 180, 1)]
    assert all(wall_at(it, zone).date() != day for it in (*sooner, *later))


def test_a_day_that_a_zone_left_out_is_refused() -> None:
    """Samoa went from 29 to 31 December 2011 (tz database, australasia)."""
    with pytest.raises(UsageError, match="no such day in this time zone"):
        parsed("2011-12-30", zone=ZoneInfo("Pacific/Apia"))
    with pytest.raises(UsageError, match="never showed it"):
        parsed("2011-12-30 12:00", zone=ZoneInfo("Pacific/Apia"))


FORMS = st.sampled_from(
    [
        ("%Y-%m-%d %H:%M", 60 * SECOND_NS),
        ("%Y-%m-%d %H:%M:%S", SECOND_NS),
        ("%Y-%m-%dT%H:%M:%S.%f", 1_000),
        ("%Y-%m-%d", None),
    ]
)


@given(INSTANTS, ZONES, FORMS)
def test_a_time_as_it_was_shown_is_the_interval_around_the_instant_or_is_said_to_be_two(
    instant: int, zone: ZoneInfo, form: tuple[str, int]
) -> None:
    shown = wall_at(instant, zone)
    text, width_ns = shown.strftime(form[0]), form[1]
    unit = timedelta(microseconds=(width_ns or 1_000) // 1_000)
    start = datetime.fromisoformat(text)
    end = start + unit - timedelta(microseconds=1)
    twice = {len(instants(it, zone)) for it in (start, end)} != {1}
    try:
        moment = parse_time(text, NOW, zone)
    except UsageError as error:
        assert "came twice" in str(error) or "never showed" in str(error)
        assert twice and width_ns is not None
        return
    assert moment.first_ns <= instant <= moment.last_ns
    if width_ns is not None:
        assert not twice
        assert moment.last_ns in (moment.first_ns + width_ns - 1, NOW.realtime_ns)


@given(INSTANTS, ZONES, st.integers(1, 9))
def test_rfc_3339_is_read_as_it_is_written(instant: int, zone: ZoneInfo, digits: int) -> None:
    width_ns = 10 ** (9 - digits)
    text = rfc3339(instant, zone, digits)
    moment = parse_time(text, NOW, BERLIN)
    assert moment.first_ns == instant // width_ns * width_ns
    assert moment.last_ns == min(moment.first_ns + width_ns - 1, NOW.realtime_ns)


@given(st.text(alphabet="0123456789-+:.,TZ []@dhmstodayyesterdaynowAMpm\u0660", max_size=24))
def test_any_text_is_an_interval_of_the_past_or_one_line(text: str) -> None:
    try:
        moment = parsed(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert 0 <= moment.first_ns <= moment.last_ns <= NOW.on(moment.clock)


class OneJump(tzinfo):
    """A zone whose clock jumps once, at any second; no real one does so within a minute today."""

    def __init__(self, at: int, before: timedelta, after: timedelta) -> None:
        self.at = datetime(1970, 1, 1) + timedelta(seconds=at)
        self.before, self.after = before, after

    def utcoffset(self, wall: datetime | None) -> timedelta:
        """As PEP 495 has it: fold 0 is the offset before the jump, fold 1 that behind it."""
        assert wall is not None
        shown = wall.replace(tzinfo=None)
        bounds = sorted((self.at + self.before, self.at + self.after))
        if bounds[0] <= shown < bounds[1]:
            return self.after if wall.fold else self.before
        return self.before if shown < bounds[0] else self.after

    def dst(self, wall: datetime | None) -> None:
        return None

    def tzname(self, wall: datetime | None) -> None:
        return None

    def fromutc(self, utc: datetime) -> datetime:
        naive = utc.replace(tzinfo=None)
        offset = self.before if naive < self.at else self.after
        second = naive >= self.at and naive < self.at + (self.before - self.after)
        return (utc + offset).replace(fold=int(second))


MIDDAY = 1_764_504_000  # of 30 November 2025, in seconds
OFFSETS = st.integers(-90, 90).map(lambda quarters: timedelta(minutes=quarters))


@given(st.integers(-86_400, 86_400), OFFSETS, OFFSETS, st.integers(-2_000, 2_000))
def test_a_clock_may_jump_at_any_second(
    jump: int, before: timedelta, after: timedelta, away: int
) -> None:
    zone = OneJump(MIDDAY + jump, before, after)
    instant = (MIDDAY + jump + away) * SECOND_NS
    wall = wall_at(instant, zone).replace(tzinfo=None, fold=0)
    assert instants(wall, zone) == sorted(
        it
        for offset in {before, after}
        for it in [to_ns(wall, offset)]
        if wall_at(it, zone).replace(tzinfo=None, fold=0) == wall
    )
    bounds = day_bounds(wall.date(), zone)
    assert bounds is not None
    assert bounds[0] <= instant <= bounds[1]
    for inside, outside in ((bounds[0], bounds[0] - 1), (bounds[1], bounds[1] + 1)):
        assert wall_at(inside, zone).date() == wall.date() != wall_at(outside, zone).date()


def test_a_minute_of_which_one_half_came_twice_is_refused() -> None:
    hour = timedelta(hours=1)
    back = OneJump(MIDDAY + 30, timedelta(0), -hour)  # 12:00:30 becomes 11:00:30
    with pytest.raises(UsageError, match="came twice"):
        parse_time("2025-11-30 11:00", NOW, back)
    forth = OneJump(MIDDAY + 30, timedelta(0), hour)  # and here 13:00:30
    with pytest.raises(UsageError, match="never showed it"):
        parse_time("2025-11-30 12:00", NOW, forth)
    assert parse_time("2025-11-30 12:00:29", NOW, forth).first_ns == (MIDDAY + 29) * SECOND_NS


def test_a_day_begins_when_the_clock_leaves_its_midnight_out() -> None:
    """As Toronto's did in 1919, from 23:30 to 0:30 (tz database, northamerica)."""
    zone = OneJump(MIDDAY + 41_400, timedelta(0), timedelta(hours=1))
    bounds = day_bounds(date(2025, 12, 1), zone)
    assert bounds == ((MIDDAY + 41_400) * SECOND_NS, (MIDDAY + 43_200 + 82_800) * SECOND_NS - 1)
