"""The kernel's structures of a task's identity, reduced to what numbers need.

- `Pid` is a ``struct pid``: numbers at every level, and what is attached to it as what;
- `Task` is a ``task_struct``: one thread, attached to one `Pid`;
- `ThreadGroup` is a ``signal_struct``: what a process's threads share, so TGID, PGID and SID;
- `Namespace` is a ``pid_namespace`` with its IDR, the map from number to `Pid`.

They only hold; `pidscope.table.table` changes them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

_Member = TypeVar("_Member")


def _with(members: Collection[_Member], new: _Member) -> Collection[_Member]:
    """An ordered set with one more: most have no member or one, and a dict is 200 bytes."""
    if type(members) is dict:
        members[new] = None
        return members
    return dict.fromkeys((*members, new)) if members else (new,)


def _without(members: Collection[_Member], old: _Member) -> Collection[_Member]:
    if type(members) is dict:
        members.pop(old, None)
        return members
    return () if old in members else members


class Namespace:
    """``struct pid_namespace``: inums are given out again, so (inum, ordinal) is its identity."""

    __slots__ = ("inum", "level", "ordinal", "parent", "pids")

    def __init__(self, inum: int, ordinal: int, parent: Namespace | None, level: int) -> None:
        self.inum = inum
        self.ordinal = ordinal  # in the order of creation, or of first reading
        self.parent = parent  # None: the initial one, or (in a replay only) not yet known
        self.level = level
        self.pids: dict[int, Pid] = {}  # the IDR

    def at(self, level: int) -> Namespace | None:
        """The ancestor, or self, at ``level``; None where the chain is shorter."""
        ns: Namespace | None = self
        while ns is not None and ns.level > level:
            ns = ns.parent
        return ns if ns is not None and ns.level == level else None

    def __repr__(self) -> str:
        return f"pid:[{self.inum}]#{self.ordinal}"


class Pid:
    """``struct pid``. (``nr``, ``generation``) is its identity; generation 0 is before the start.

    Generations count births, so none is ever used twice.

    ``partial``: /proc showed it only as a group or session, so numbers further inwards than
    ``numbers`` may exist, but none in ``outside``. The next event that names it completes it.
    """

    __slots__ = (
        "generation",
        "groups",
        "ns",
        "numbers",
        "outside",
        "process",
        "sessions",
        "task",
    )

    def __init__(
        self, numbers: tuple[int, ...], ns: Namespace, generation: int, partial: bool = False
    ) -> None:
        self.numbers = numbers
        self.ns = ns  # of the last of numbers
        self.generation = generation
        self.outside: tuple[Namespace, ...] | None = () if partial else None  # None: it is whole
        self.task: Task | None = None
        self.process: ThreadGroup | None = None  # attached as TGID
        # Attached as PGID and as SID, as ordered sets; few have a set of their own.
        self.groups: Collection[ThreadGroup] = ()
        self.sessions: Collection[ThreadGroup] = ()

    @property
    def partial(self) -> bool:
        """Whether there may be numbers that are not known."""
        return self.outside is not None

    @property
    def nr(self) -> int:
        """The number in the initial namespace, ``pid_nr()``."""
        return self.numbers[0]

    @property
    def level(self) -> int:
        """The level of its innermost known namespace."""
        return len(self.numbers) - 1

    def nr_in(self, ns: Namespace) -> int | None:
        """``pid_nr_ns()``: the number in ``ns``, 0 if it has none there, None if not known."""
        if ns.level < len(self.numbers):
            return self.numbers[ns.level] if self.ns.at(ns.level) is ns else 0
        if self.outside is None or any(ns.at(other.level) is other for other in self.outside):
            return 0
        return None

    def __repr__(self) -> str:
        return f"{'/'.join(map(str, self.numbers))}{'?' if self.partial else ''}"


class ThreadGroup:
    """``struct signal_struct``: a process. ``pgid`` and ``sid`` are None only during a replay."""

    __slots__ = ("_threads", "exits", "parent", "parent_exits", "pgid", "sid", "tgid")

    def __init__(self, tgid: Pid) -> None:
        self.tgid: Pid | None = tgid  # None once released
        self.pgid: Pid | None = None
        self.sid: Pid | None = None
        self._threads: Task | dict[Task, None] | None = None  # most have one, and no room to spare
        self.exits = 0  # exits of its threads so far
        self.parent: ThreadGroup | None = None  # at birth, if it is the process that forked
        self.parent_exits = 0  # its exits then: unchanged means nothing was reparented

    def attach(self, pgid: Pid | None, sid: Pid | None) -> None:
        """``attach_pid()`` as PGID and as SID, to what is known of them."""
        self.pgid, self.sid = pgid, sid
        if pgid is not None:
            pgid.groups = _with(pgid.groups, self)
        if sid is not None:
            sid.sessions = _with(sid.sessions, self)

    def detach(self) -> tuple[Pid | None, Pid | None]:
        """``detach_pid()`` as PGID and as SID; returns the two that it was attached to."""
        pgid, sid = self.pgid, self.sid
        if pgid is not None:
            pgid.groups = _without(pgid.groups, self)
        if sid is not None:
            sid.sessions = _without(sid.sessions, self)
        self.pgid = self.sid = None
        return pgid, sid

    @property
    def threads(self) -> Collection[Task]:
        """The tasks of the process that are not released, in the order of birth."""
        threads = self._threads
        if type(threads) is dict:
            return threads
        return () if threads is None else (threads,)  # type: ignore[return-value]

    @property
    def threaded(self) -> bool:
        """Whether there are two threads or more."""
        return type(self._threads) is dict and len(self._threads) > 1

    def add_thread(self, task: Task) -> None:
        """Let a task be one of its threads."""
        threads = self._threads
        if threads is None:
            self._threads = task
        elif type(threads) is dict:
            threads[task] = None
        else:
            self._threads = dict.fromkeys((threads, task))  # type: ignore[arg-type]

    def remove_thread(self, task: Task) -> None:
        """``__exit_signal()``: a task is released."""
        threads = self._threads
        if type(threads) is dict:
            threads.pop(task, None)
        elif threads is task:
            self._threads = None


class Task:
    """``struct task_struct``: a thread."""

    __slots__ = ("comm", "group", "pid", "start_ns", "start_ticks")

    def __init__(self, pid: Pid, group: ThreadGroup, comm: bytes) -> None:
        self.pid: Pid | None = pid  # None once released
        self.group = group
        self.comm = comm
        self.start_ns: int | None = None  # None: known from /proc only, see start_ticks
        self.start_ticks: int | None = None

    def exchange(self, other: Task) -> None:
        """``exchange_tids()``: two tasks that are not released take each other's struct pid."""
        assert self.pid is not None and other.pid is not None
        self.pid, other.pid = other.pid, self.pid
        self.pid.task, other.pid.task = self, other
