"""A time as people and logs give it: an interval on one of the kernel's clocks."""

import enum
from typing import NamedTuple


class Clock(enum.Enum):
    """What a time counts from."""

    REALTIME = "realtime"  # the Unix epoch, with the steps that the wall clock makes
    BOOTTIME = "boottime"  # the boot
    MONOTONIC = "monotonic"  # the boot, without the time in suspend; dmesg's, as near as it is kept


class Moment(NamedTuple):
    """From ``first_ns`` to ``last_ns``, both included: a time is as wide as its last digit."""

    clock: Clock
    first_ns: int
    last_ns: int
