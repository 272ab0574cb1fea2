"""A limit of how many tasks there may be, and an amount as it is read from the kernel's files."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

MAX = math.inf  # no limit
Amount = Optional[float]  # an int, MAX, or None: not known

RLIMIT_NPROC, THREADS_MAX, PIDS_MAX = "RLIMIT_NPROC", "threads-max", "pids.max"


class TasksLimit(NamedTuple):
    """A limit, and the number of tasks that counted against it when it was read."""

    of: str  # a cgroup's path, escaped; a user; this host
    max: Amount
    current: int | None
    name: str = PIDS_MAX
    # Of a cgroup; None: an older kernel has no such file.
    peak: int | None = None
    events: int | None = None  # forks refused, before 6.11 those of tasks in this very cgroup
    events_local: int | None = None  # forks refused by this very limit

    @property
    def room(self) -> Amount:
        """How many more tasks it admits; it may have been lowered below the tasks there were."""
        if self.max is None or self.max == MAX:
            return self.max
        return None if self.current is None else max(0, self.max - self.current)

    @property
    def is_reached(self) -> bool:
        """Whether it is known to admit no task."""
        return self.room == 0
