"""One task of a recording as other programs get it: all that is known of it, and null for the rest.

Pure. Foreign strings are escaped here (`pidscope.escape`), so that no form has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.escape import escape
from pidscope.history.cpid import cpid_of
from pidscope.wire.lives import UID_UNKNOWN, Life, LifeKind

TICK_NS = 10_000_000  # in which /proc/N/stat has a start (USER_HZ is 100)
_MOST = 1 << 63  # of a time in ns: what Arrow, Parquet and SQL hold of one


class Place(NamedTuple):
    """What holds for all tasks of one file."""

    boot_id: str | None  # None: the head is damaged, as of the next
    host: str | None
    initial_ns: int | None  # inum of the initial PID namespace
    wall_ns: Callable[[int], int | None]  # of CLOCK_BOOTTIME; None: not known
    cgroups: Mapping[int, str]  # paths by id, escaped
    chains: Mapping[int, Chain]  # containers by cgroup id, escaped


class Instant(NamedTuple):
    """One moment on two clocks, in ns."""

    boottime_ns: int
    realtime_ns: int | None  # None: not known


class Moment(NamedTuple):
    """An instant of a boot."""

    boot_id: str | None
    at: Instant


class Missing(NamedTuple):
    """A stretch of a boot of which not everything is known."""

    boot_id: str | None
    first: Instant
    last: Instant | None  # None: to the end of the boot
    reason: str


class Task(NamedTuple):
    """A task. None is what is not known; numbers alone are of the initial PID namespace."""

    boot_id: str | None
    host: str | None
    initial_ns: int | None
    kind: str  # process, thread, leader, execed
    pid: int  # of its process
    tid: int
    cpid: str | None
    levels: tuple[tuple[int, int | None], ...]  # inum and number, from the initial one inwards
    start: Instant | None
    end: Instant | None  # None: it was not recorded: it lived at ``facts``
    status: int | None  # as wait() gives it
    joined: bool | None
    facts: Instant  # when the following were read: at its end, or in a snapshot
    comm: str
    ppid: int
    parent_start: Instant | None
    pgid: int
    sid: int
    uid: int | None
    cgroup_id: int | None
    cgroup: str | None
    containers: Chain | None  # (): in none

    @property
    def is_process(self) -> bool:
        """Whether it is the end of a process, or one that lives."""
        return self.kind == "process"

    @property
    def signal(self) -> int | None:
        """The signal that ended it; None: none did, or it is not known."""
        return None if self.status is None else self.status & 0x7F or None

    @property
    def exit_status(self) -> int | None:
        """What exit() was given; None: a signal ended it, or it is not known."""
        return None if self.status is None or self.signal else self.status >> 8 & 0xFF

    @property
    def id(self) -> str | None:
        """pidscope's own id, PID and start in clock ticks; None: the start is not known."""
        return None if self.start is None else f"{self.tid}@{self.start.boottime_ns // TICK_NS}"


def task_of(life: Life, place: Place, alive: bool) -> Task:
    """Return a row of a recording; ``alive``: it is one of a snapshot."""
    from_proc = alive and life.uid == UID_UNKNOWN  # which has neither parents' nor leaders' starts
    is_leader = life.numbers[0] == life.tgid
    leader_start_ns = life.start_ns if is_leader else life.leader_start_ns or None
    if from_proc and not is_leader:
        leader_start_ns = None
    ids = (life.numbers, life.inums, life.tgid, leader_start_ns)
    ended = instant_of(place, life.end_ns)
    return Task(
        boot_id=place.boot_id,
        host=place.host,
        initial_ns=place.initial_ns,
        kind=_kind(life, alive),
        pid=life.tgid,
        tid=life.numbers[0] or 0,
        cpid=None if place.boot_id is None else cpid_of(place.boot_id, *ids),
        levels=tuple(zip(life.inums, life.numbers)),
        start=_instant(place, life.start_ns),
        end=None if alive else ended,
        status=_status(life, alive),
        joined=life.joined,
        facts=ended,
        comm=escape(life.comm),
        ppid=life.ppid,
        parent_start=_instant(place, life.parent_start_ns or None),
        pgid=life.pgid,
        sid=life.sid,
        uid=None if life.uid == UID_UNKNOWN else life.uid,
        cgroup_id=life.cgroup_id or None,
        cgroup=place.cgroups.get(life.cgroup_id),
        containers=place.chains.get(life.cgroup_id),
    )


def _kind(life: Life, alive: bool) -> str:
    """Return the kind: the process of a leader that has exited lives while it is in a snapshot."""
    return "process" if alive and life.kind is LifeKind.LEADER else life.kind.name.lower()


def _status(life: Life, alive: bool) -> int | None:
    """Return the status; that of a leader is not its process's, an exec has none."""
    return None if alive or life.kind in (LifeKind.LEADER, LifeKind.EXECED) else life.status


def instant_of(place: Place, boottime_ns: int) -> Instant:
    """Return a time on both clocks."""
    return Instant(boottime_ns, _wall(place, boottime_ns))


def _instant(place: Place, boottime_ns: int | None) -> Instant | None:
    return None if boottime_ns is None else instant_of(place, boottime_ns)


def _wall(place: Place, boottime_ns: int) -> int | None:
    wall_ns = place.wall_ns(boottime_ns)
    return wall_ns if wall_ns is not None and 0 <= wall_ns < _MOST else None


def container_of(task: Task) -> Container | None:
    """Return the innermost container around a task, which is no service; None: none is known."""
    return next((it for it in reversed(task.containers or ()) if not it.is_service), None)
