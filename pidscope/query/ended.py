"""What had a number before: the tasks that ended while a session recorded.

Pure: it gets each event before the table does. A life belongs to a struct pid, so it is
found by each of its numbers, in the namespace as it was then: an inum is given out again, too.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from pidscope.events import Event, PidDetached, TaskExited, TidsExchanged
from pidscope.table.pid import Namespace, Pid, Task
from pidscope.table.table import Table

LIVES_KEPT = 65_536

_Key = tuple[int, int, int]  # inum and ordinal of a namespace, and a number in it


class Life(NamedTuple):
    """A task that was released. Its numbers, and its process's, are those of the struct pids."""

    inums: tuple[int, ...]  # of its namespaces, outermost first
    numbers: tuple[int, ...]
    tgids: tuple[int, ...]
    comm: bytes
    start_ns: int | None  # CLOCK_BOOTTIME; None: older than the watch
    exited_ns: int  # of a leader: when the last thread did, if that was recorded; else as below
    # When it had been waited for, and its number was let go; None: not recorded.
    released_ns: int | None
    # As wait() has it: status << 8, or a signal, 0x80 with a core dump; None: not known.
    exit_code: int | None

    @property
    def signal(self) -> int:
        """The signal that ended it, 0: none did."""
        return (self.exit_code or 0) & 0x7F


class Ended:
    """The latest lives; ``dropped`` counts those that were forgotten for want of room."""

    def __init__(self, kept: int = LIVES_KEPT) -> None:
        self.kept = kept
        self._order: deque[tuple[Life, list[_Key]]] = deque()
        self._lives: dict[_Key, deque[Life]] = {}
        self._exits: dict[int, int] = {}  # ts_ns by number in the initial namespace
        self.dropped = 0

    def add(self, event: Event, table: Table) -> None:
        """Remember what ends with this event, which the table has not had yet."""
        if isinstance(event, TaskExited):
            self._exits[event.tid] = event.ts_ns
            if event.tgid in self._exits:  # the leader ended first, and the process goes on
                self._exits[event.tgid] = event.ts_ns
        elif isinstance(event, TidsExchanged):
            # The leader exited by the number that the other has from now on.
            exited_ns = self._exits.pop(event.leader, None)
            if exited_ns is not None:
                self._exits[event.tid] = exited_ns
        elif isinstance(event, PidDetached):
            exited_ns = self._exits.pop(event.tid, event.ts_ns)
            task = table.task(event.tid)
            if task is not None and task.pid is not None:
                self._remember(task, task.pid, event, exited_ns)

    def of(self, ns: Namespace, number: int) -> list[Life]:
        """The tasks that had ``number`` in ``ns`` and were released, the latest first."""
        return list(reversed(self._lives.get((ns.inum, ns.ordinal, number), ())))

    def _remember(self, task: Task, pid: Pid, event: PidDetached, exited_ns: int) -> None:
        spaces = [pid.ns.at(level) for level in range(pid.level + 1)]
        tgid = task.group.tgid
        life = Life(
            tuple(ns.inum if ns is not None else 0 for ns in spaces),
            pid.numbers,
            pid.numbers if tgid is None else tgid.numbers,
            task.comm,
            task.start_ns,
            exited_ns,
            event.ts_ns,
            event.exit_code,
        )
        keys = [
            (ns.inum, ns.ordinal, number)
            for ns, number in zip(spaces, pid.numbers)
            if ns is not None
        ]
        for key in keys:
            self._lives.setdefault(key, deque()).append(life)
        self._order.append((life, keys))
        if len(self._order) > self.kept:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest, which is the first of each of its numbers."""
        _, keys = self._order.popleft()
        for key in keys:
            lives = self._lives[key]
            lives.popleft()
            if not lives:
                del self._lives[key]
        self.dropped += 1


class History(Protocol):
    """What was recorded of the tasks that ended."""

    @property
    def is_slow(self) -> bool:
        """Whether it is to be asked only about numbers that no task has now."""

    @property
    def missing(self) -> str:
        """Why it may not know what had a number; empty: it knows all."""

    def lives(self, ns: int, number: int) -> tuple[Life, ...]:
        """The lives that had ``number`` in the namespace with this inum, the latest first."""


class Record(NamedTuple):
    """The table of a world that was followed from its boot on, and the lives that ended."""

    table: Table
    ended: Ended

    @property
    def is_slow(self) -> bool:
        """It is at hand."""
        return False

    @property
    def missing(self) -> str:
        """Why it may not know what had a number; empty: it knows all."""
        dropped = f"only the last {self.ended.kept} that ended are kept"
        return dropped if self.ended.dropped else ""

    def lives(self, ns: int, number: int) -> tuple[Life, ...]:
        """The lives that had ``number`` in the namespace with this inum, the latest first."""
        namespace = self.table.namespaces.get(ns)
        return () if namespace is None else tuple(self.ended.of(namespace, number))
