"""Numbers of one PID namespace since 4.15: an IDR, handed out cyclically (lib/idr.c).

``idr_alloc_cyclic()`` starts at the cursor and, if nothing is free above it, starts once more from
below. A number handed out by request (set_tid) and a number given back leave the cursor alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pidscope.model.pid import Pid

RESERVED_PIDS = 300  # once past it, the low numbers stay with the system's first processes


class Idr:
    """``pid_namespace.idr``: number to struct pid, and where to look for the next free one."""

    __slots__ = ("cursor", "pids")

    def __init__(self) -> None:
        self.pids: dict[int, Pid] = {}
        self.cursor = 0  # idr_next

    @property
    def last_pid(self) -> int:
        """The last number handed out in turn: what ns_last_pid reads."""
        return self.cursor - 1

    @last_pid.setter
    def last_pid(self, nr: int) -> None:
        self.cursor = nr + 1

    def next(self, pid_max: int) -> int | None:
        """Hand out a number below ``pid_max``; None if there is none.

        The test is "beyond 300", so with the cursor at 300 itself a wrap still goes down to 1
        (``alloc_pid()``, kernel/pid.c).
        """
        lowest = RESERVED_PIDS if self.cursor > RESERVED_PIDS else 1
        start = max(self.cursor, lowest)
        nr = self._free_from(start, pid_max)
        if nr is None and start > lowest:
            nr = self._free_from(lowest, pid_max)
        if nr is not None:
            self.cursor = nr + 1
        return nr

    def _free_from(self, nr: int, pid_max: int) -> int | None:
        pids = self.pids
        while nr in pids:
            nr += 1
        return nr if nr < pid_max else None

    def reset(self) -> None:
        """Let the next number be 1 again: no task has lived here yet."""
        self.cursor = 0
