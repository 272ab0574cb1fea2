"""A time as people and logs give it: an interval on one of the kernel's clocks."""

import enum
from typing import NamedTuple, Optional

SECOND_NS = 1_000_000_000
# The scheduler's clock, which stamps the lines of printk and the samples of perf, is not
# disciplined: CLOCK_MONOTONIC is slewed by up to MAXFREQ (include/linux/timex.h), 500 ppm. The two
# begin within a second of each other. Observed on 6.18: 20 ms behind after 11.6 hours.
_DRIFT_PPM = 500
_OFFSET_NS = SECOND_NS


class Clock(enum.Enum):
    """What a time counts from."""

    REALTIME = "realtime"  # the Unix epoch, with the steps that the wall clock makes
    BOOTTIME = "boottime"  # the boot
    MONOTONIC = "monotonic"  # the boot, without the time in suspend; dmesg's, as near as it is kept


class Moment(NamedTuple):
    """From ``first_ns`` to ``last_ns``, both included: a time is as wide as its last digit.

    ``boot_id`` is that of the boot, 32 hexadecimal digits, if it is known: the task that is asked
    for lived in it. Without one, the clocks that count from the boot mean the current one.
    """

    clock: Clock
    first_ns: int
    last_ns: int
    boot_id: Optional[str] = None


class Now(NamedTuple):
    """The clocks of a host, read together."""

    realtime_ns: int
    boottime_ns: int
    monotonic_ns: int

    def on(self, clock: Clock) -> int:
        """Return what one of them shows, in ns."""
        if clock is Clock.REALTIME:
            return self.realtime_ns
        return self.boottime_ns if clock is Clock.BOOTTIME else self.monotonic_ns


def scheduler_moment(stamp_ns: int, width_ns: int) -> Moment:
    """Return a time of the scheduler's clock (``local_clock()``), which printk and perf have.

    It stands still in suspend, and drifts from CLOCK_MONOTONIC: the interval is as wide as it may
    have drifted since the boot.
    """
    slack_ns = _OFFSET_NS + stamp_ns * _DRIFT_PPM // 1_000_000
    return Moment(Clock.MONOTONIC, max(0, stamp_ns - slack_ns), stamp_ns + width_ns - 1 + slack_ns)
