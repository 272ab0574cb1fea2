"""RLIMIT_NPROC and threads-max, as they are once a fork has failed.

Reading is bounded, since a stream goes on meanwhile: a value holds for a second, and in a second
few forkers are looked at. A user's tasks are counted, which reads a file of every process, only if
the host has as many tasks as the limit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from pidscope.host.proc import ProcFs
from pidscope.limits.read import User, count_tasks, is_exempt, nproc, threads_limit, user_of
from pidscope.limits.tasks_limit import MAX, RLIMIT_NPROC, TasksLimit

_HOLDS_S = 1.0
_MOST_READ = 20  # forkers, in a second
_MOST_COUNTED = 4  # users, in a second


class TaskCounts:
    """Reads the number of tasks and its limits, for a forker's user and for this host."""

    def __init__(self, procfs: ProcFs) -> None:
        self._procfs = procfs
        self._since_s = -math.inf
        self._read: dict[int, list[TasksLimit]] = {}  # by the forker's number
        self._counted: dict[tuple[int, int | None], int] = {}  # by uid and user namespace

    def limits(self, by: int) -> list[TasksLimit]:
        """Return the limits in the kernel's order, without those unreadable or not applicable.

        Args:
            by: the forker's number; once it has exited, its RLIMIT_NPROC cannot be read.
        """
        now_s = time.monotonic()
        if now_s - self._since_s >= _HOLDS_S:
            self._since_s, self._read, self._counted = now_s, {}, {}
        if by not in self._read:
            if len(self._read) >= _MOST_READ:
                return []
            self._read[by] = list(self._look(by))
        return self._read[by]

    def _look(self, by: int) -> Iterator[TasksLimit]:
        of_host = threads_limit(self._procfs)
        if of_host.current is not None:
            yield from self._of_user(by, of_host.current)
        yield of_host

    def _of_user(self, by: int, alive: int) -> Iterator[TasksLimit]:
        user, most = user_of(self._procfs, by), nproc(self._procfs, by)
        if user is None or most is None or most == MAX or most > alive:
            return  # without counting
        if not is_exempt(self._procfs, user):
            yield TasksLimit(f"user {user.uid}", most, self._count(user), RLIMIT_NPROC)

    def _count(self, user: User) -> int | None:
        key = user.uid, user.user_ns
        if key not in self._counted:
            if len(self._counted) >= _MOST_COUNTED:
                return None
            self._counted[key], _ = count_tasks(self._procfs, user, self._procfs.numbers())
        return self._counted[key]
