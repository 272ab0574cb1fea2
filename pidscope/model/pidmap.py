"""Numbers of one PID namespace up to 4.14: a bitmap and the last number (``alloc_pidmap()``).

What can be observed from outside: a wrap always goes to 300, wherever the search began, and writing
ns_last_pid sets the last number itself. Found by ``pid_hash``, a table of upids over all
namespaces, where today each namespace has its own IDR; here both are one dict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pidscope.model.idr import RESERVED_PIDS

if TYPE_CHECKING:
    from pidscope.model.pid import Pid


class PidMap:
    """``pid_namespace.pidmap`` and ``last_pid``, with the same face as `pidscope.model.idr.Idr`."""

    __slots__ = ("last_pid", "pids")

    def __init__(self) -> None:
        self.pids: dict[int, Pid] = {}
        self.last_pid = 0

    def next(self, pid_max: int) -> int | None:
        """Hand out a number below ``pid_max``; None if there is none."""
        start = self.last_pid + 1
        if start >= pid_max:
            start = RESERVED_PIDS
        for first, end in ((start, pid_max), (RESERVED_PIDS, start)):
            for nr in range(first, end):
                if nr not in self.pids:
                    self.last_pid = nr
                    return nr
        return None

    def reset(self) -> None:
        """Let the next number be 1 again; 4.4 forgot to, and then had a namespace without init."""
        self.last_pid = 0
