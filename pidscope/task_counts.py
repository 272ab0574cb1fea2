"""RLIMIT_NPROC and threads-max, as they are once a fork has failed.

Read while a stream goes on, so it is bounded: a user's tasks are counted, which takes a look at
every process, only if the host has as many as the limit; the count holds for a second, and in a
second few users' are made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from pidscope.fork_failures import RLIMIT_NPROC, THREADS_MAX, TasksLimit
from pidscope.forking import User, count_tasks, is_exempt, nproc, threads, threads_max, user_of
from pidscope.limits import MAX
from pidscope.procfs import ProcFs

_HOLDS_S = 1.0
_MOST_COUNTED = 4  # users, in a second


class TaskCounts:
    """Reads how many tasks there are of the most there may be."""

    def __init__(self, procfs: ProcFs) -> None:
        self._procfs = procfs
        self._tasks: dict[tuple[int, int | None], int] = {}
        self._since_s = -_HOLDS_S

    def limits(self, by: int) -> list[TasksLimit]:
        """Return the limits in the kernel's order, without what cannot be read or does not hold.

        Args:
            by: who forked; if it has gone, its RLIMIT_NPROC cannot be read.
        """
        now_s = time.monotonic()
        if now_s - self._since_s >= _HOLDS_S:
            self._tasks, self._since_s = {}, now_s
        alive = threads(self._procfs)
        limit = TasksLimit("this host", threads_max(self._procfs), alive, THREADS_MAX)
        return [*self._of_user(by, alive), limit]

    def _of_user(self, by: int, alive: int | None) -> Iterator[TasksLimit]:
        user, most = user_of(self._procfs, by), nproc(self._procfs, by)
        if user is None or alive is None or most is None or most == MAX or most > alive:
            return  # without a look at the others
        if not is_exempt(self._procfs, user):
            yield TasksLimit(f"user {user.uid}", int(most), self._count(user), RLIMIT_NPROC)

    def _count(self, user: User) -> int | None:
        key = user.uid, user.user_ns
        if key not in self._tasks:
            if len(self._tasks) >= _MOST_COUNTED:
                return None
            self._tasks[key], _ = count_tasks(self._procfs, user, self._procfs.numbers())
        return self._tasks[key]
