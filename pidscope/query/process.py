"""Tasks and PID namespaces as values, made of a snapshot.

Pure: what comes from the host (boot time, containers) is passed in. Levels run from the namespace
of the /proc mount inwards. 0 is a number that does not exist there; None is one that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pidscope.containers.container import Chain, Container, innermost
from pidscope.escape import escape, printable, unescape_status_name
from pidscope.host.ticks import ticks_since_boot
from pidscope.snapshot import Snapshot, TaskReading

_INIT_NS = 0xEFFFFFFC  # PROC_PID_INIT_INO (include/linux/proc_ns.h)
_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


class Level(NamedTuple):
    """What one PID namespace calls a task and its relations."""

    ns: int | None
    tid: int
    pid: int
    ppid: int | None
    pgid: int
    sid: int


class Process(NamedTuple):
    """A task; ``pid`` is its thread group, ``tid`` itself, both in the outermost namespace.

    Its strings, and those of the containers, are escaped.
    """

    pid: int
    tid: int
    # PID@START: start in clock ticks since boot; PID@FIRST-LAST: in one of these. None: not known.
    id: str | None
    comm: str
    state: str  # one letter
    start_time: str | None  # RFC 3339, whole seconds: the kernel's btime has no more
    ns: int | None
    joined: bool | None  # came from outside, or its parent there did: no descendant of the init
    container: Container | None
    levels: Sequence[Level]
    # The last thread of its process has exited, which is a zombie then; None: not known.
    ended: bool | None = False
    tracer: int | None = None  # of a zombie, see `pidscope.snapshot.Zombie`; None: not known

    @property
    def is_leader(self) -> bool:
        """Whether it is the thread that has the number of its process."""
        return self.pid == self.tid

    @property
    def is_first_inside(self) -> bool:
        """Whether it is number 1 of a PID namespace inside the outermost."""
        return len(self.levels) > 1 and self.levels[-1].tid == 1

    @property
    def is_held_by_tracer(self) -> bool:
        """Whether another process than the parent has to wait for it first."""
        return bool(self.tracer) and self.tracer != self.levels[0].ppid


class Namespace(NamedTuple):
    """A PID namespace and how many tasks have it as their innermost."""

    ns: int
    level: int
    parent: int | None  # 0: this is the outermost that can be read
    init: int | None  # in the outermost namespace
    processes: int
    threads: int
    zombies: int  # processes that have ended
    last_pid: int | None
    container: Container | None  # the one that owns it
    shared: Sequence[Container]  # those that have it without owning it
    dying: bool | None = None  # its number 1 is exiting: every fork in it fails; None: not known


def processes(
    snapshot: Snapshot,
    *,
    boot_time: int | None,
    ticks_per_second: int,
    start_offset_ns: int | None = 0,
    containers: Mapping[int, Chain] | None = None,
) -> list[Process]:
    """Return the tasks of ``snapshot`` by thread group and tid, less those that were leaving.

    ``boot_time`` is in seconds since the epoch, ``ticks_per_second`` is USER_HZ, and
    ``start_offset_ns`` the boottime offset of the time namespace from which it was read; None: not
    known. ``id`` and ``start_time`` are empty if the snapshot has no starts. ``containers`` are
    those around each process, by its number; None: they were not read.
    """
    tasks = sorted(_whole(snapshot), key=_outer_numbers)
    chains = _Chains(snapshot.ns_parents)
    groups = {task.status.ns_tgid[0]: task for task in tasks if _is_leader(task)}
    within = containers or {}
    named = {chain: _innermost(chain) for chain in set(within.values())}
    clock = boot_time, 1_000_000_000 // ticks_per_second, start_offset_ns
    found = [
        _process(
            task,
            _levels(task, groups.get(task.status.ppid), chains),
            _id_and_start(task, *clock) if snapshot.starts else ("", ""),
            named.get(within.get(task.status.ns_tgid[0], ())),
            task.status.state in "ZX" and _has_ended(task, groups.get(task.status.ns_tgid[0])),
        )
        for task in tasks
    ]
    joined = {it.pid for it in found if it.joined}
    return _with_children(found, joined) if joined else found


def _process(
    task: TaskReading,
    levels: list[Level],
    start: tuple[str | None, str | None],
    container: Container | None,
    ended: bool | None,
) -> Process:
    status, innermost, zombie = task.status, levels[-1], task.zombie
    return _new(
        Process,
        (
            status.ns_tgid[0],
            status.ns_pid[0],
            start[0],
            escape(unescape_status_name(status.name)),
            status.state,
            start[1],
            innermost.ns,
            _is_joined(innermost),
            container,
            levels,
            ended,
            None if zombie is None else zombie.tracer,
        ),
    )


def _has_ended(task: TaskReading, leader: TaskReading | None) -> bool | None:
    """Return whether the last thread of its process has: the leader's end is not that.

    The task is one that has exited.
    """
    if leader is None or leader.status.state not in "ZX":
        return None if leader is None else False
    if leader.status.state == "X":  # being released, or an exec takes its place
        return None
    living = None if leader.zombie is None else leader.zombie.living
    return None if living is None else not living


def _is_zombie(leader: TaskReading) -> bool:
    return leader.status.state == "Z" and _has_ended(leader, leader) is not False


def _with_children(found: Sequence[Process], joined: set[int]) -> list[Process]:
    """Mark the processes whose parent in their namespace came from outside, and theirs.

    ``joined``: the numbers of those that came themselves. The child of one that has exited is the
    init's, and cannot be told from the init's own.
    """
    children: dict[int | None, list[Process]] = {}
    for it in found:
        if it.joined is False and it.levels[-1].ppid:
            children.setdefault(it.levels[0].ppid, []).append(it)
    inside = {it.pid: it.ns for it in found if it.is_leader}
    waiting = list(joined)
    while waiting:
        parent = waiting.pop()
        same = {it.pid for it in children.pop(parent, ()) if it.ns == inside.get(parent)}
        waiting += same - joined
        joined |= same
    return [it._replace(joined=True) if it.pid in joined else it for it in found]


def _id_and_start(
    task: TaskReading, boot_time: int | None, ns_per_tick: int, offset_ns: int | None
) -> tuple[str | None, str | None]:
    if offset_ns is None:
        return None, None
    first, last = ticks_since_boot(task.start_ticks or 0, ns_per_tick, offset_ns)
    id_ = f"{task.status.ns_pid[0]}@{first}" + (f"-{last}" if last > first else "")
    return id_, rfc3339(boot_time, first * ns_per_tick)


def rfc3339(boot_time: int | None, since_boot_ns: int) -> str | None:
    """Return a time in whole seconds, as ``boot_time`` is, in seconds since the epoch, or None."""
    if boot_time is None:
        return None
    from datetime import datetime, timezone  # most tables show no time

    time = datetime.fromtimestamp(boot_time + since_boot_ns // 1_000_000_000, timezone.utc)
    return f"{time.isoformat()[:19]}Z"  # strftime() takes four times as long, for each process


def _innermost(chain: Chain) -> Container | None:
    """Return the innermost container of a chain, with the service in it."""
    container = innermost(chain)
    return None if container is None else escaped(container)


def escaped(container: Container) -> Container:
    """Return a container with its foreign strings as they may be printed."""
    return Container._make(printable(it) if isinstance(it, str) else it for it in container)


def is_complete(found: Iterable[Process]) -> bool:
    """Tell whether no namespace and no parent of the processes is unknown."""
    return all(
        level.ns is not None and level.ppid is not None for it in found for level in it.levels
    )


def oldest(
    snapshot: Snapshot, containers: Mapping[int, Chain], inside: Chain, ns: int | None
) -> int:
    """Return the number of the oldest process in a container and its namespace, which is there.

    A monitor of the container may be older, and in another.
    """
    return min(
        (task.start_ticks or 0, task.number)
        for task in _whole(snapshot)
        if _is_leader(task) and (ns is None or task.ns == ns)
        if containers.get(task.status.ns_tgid[0], ())[: len(inside)] == inside
    )[1]


def namespaces(
    snapshot: Snapshot,
    last_pids: Mapping[int, int],
    owners: Mapping[int, Container] = MappingProxyType({}),
    shared: Mapping[int, Sequence[Container]] = MappingProxyType({}),
) -> list[Namespace]:
    """Return the PID namespaces of ``snapshot``, each before its children, oldest init first.

    All by inum: ``last_pids`` gives the last number given out where it is known, ``owners`` the
    container that owns a namespace, ``shared`` those that have it without owning it.
    """
    chains = _Chains(snapshot.ns_parents)
    members: dict[int, list[TaskReading]] = {inum: [] for inum in snapshot.ns_parents}
    for task in _whole(snapshot):
        inum = chains.of(task)[-1]
        if inum is not None:
            members.setdefault(inum, []).append(task)
    levels = _levels_of(members, snapshot.ns_parents)
    return _tree_order(
        [
            _namespace(inum, tasks)._replace(
                level=levels[inum],
                parent=snapshot.ns_parents.get(inum),
                last_pid=last_pids.get(inum),
                container=escaped(owners[inum]) if inum in owners else None,
                shared=list(map(escaped, shared.get(inum, ()))),
            )
            for inum, tasks in members.items()
        ]
    )


def _levels_of(
    members: Mapping[int, list[TaskReading]], ns_parents: Mapping[int, int]
) -> dict[int, int]:
    """Return how deep each namespace is: by its tasks, or by those of one inside it."""
    levels = {inum: len(_outwards(inum, ns_parents)) - 1 for inum in members}
    for inum, tasks in members.items():
        for task in tasks[:1]:
            depth = len(task.status.ns_pid)
            levels.update(zip(_outwards(inum, ns_parents), range(depth - 1, -1, -1)))
    return levels


def _namespace(inum: int, tasks: list[TaskReading]) -> Namespace:
    """Return a namespace as far as its tasks show it."""
    leaders = [task.status for task in tasks if _is_leader(task)]
    return Namespace(
        ns=inum,
        level=0,
        parent=None,
        init=next((status.ns_tgid[0] for status in leaders if status.ns_tgid[-1] == 1), None),
        processes=len(leaders),
        threads=len(tasks),
        zombies=sum(_is_zombie(task) for task in tasks if _is_leader(task)),
        last_pid=None,
        container=None,
        shared=(),
    )


def _tree_order(found: list[Namespace]) -> list[Namespace]:
    known = {it.ns for it in found}
    children: dict[int, list[Namespace]] = {}
    for it in sorted(found, key=lambda it: (it.init is None, it.init, it.ns)):
        children.setdefault(it.parent if it.parent in known else 0, []).append(it)
    ordered: list[Namespace] = []
    waiting = children.pop(0, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children.pop(ordered[-1].ns, [])[::-1]
    # Left over: a circle, which inums given out again during the walk can feign.
    return ordered + [it for circle in children.values() for it in circle]


class _Chains:
    """Finds the inums of all levels of a task; None stands for each that is not known."""

    def __init__(self, ns_parents: Mapping[int, int]) -> None:
        self._parents = ns_parents
        outermost = [inum for inum, parent in ns_parents.items() if parent == 0]
        self.outermost = outermost[0] if len(outermost) == 1 else None
        self._known: dict[tuple[int | None, int], Sequence[int | None]] = {}

    def of(self, task: TaskReading) -> Sequence[int | None]:
        """Return the inums from the outermost level inwards, as many as NSpid has numbers."""
        place = task.ns, len(task.status.ns_pid)
        if place not in self._known:  # most tasks are where others are
            self._known[place] = self._find(*place)
        return self._known[place]

    def _find(self, inum: int | None, depth: int) -> Sequence[int | None]:
        chain = _outwards(inum, self._parents)[::-1]
        if len(chain) == depth:
            return chain
        # Unreadable, or a parent could not be asked, or the inum was given out again at another
        # depth since it was read. A task with one number is in the mount's own namespace, even
        # if this user may not read its link.
        cut = 0 < len(chain) < depth and chain[0] not in self._parents
        inner = chain if cut else [inum] if depth > 1 else []
        return [self.outermost, *[None] * (depth - 1 - len(inner)), *inner]


def _outwards(inum: int | None, ns_parents: Mapping[int, int]) -> list[int]:
    """Return ``inum`` and its ancestors as far as they are known."""
    chain: list[int] = []
    while inum and inum not in chain:
        chain.append(inum)
        inum = ns_parents.get(inum)
    return chain


def _levels(task: TaskReading, parent: TaskReading | None, chains: _Chains) -> list[Level]:
    status = task.status
    if len(status.ns_pid) == 1 and task.ns == chains.outermost:  # its parent is there, too
        _, _, ppid, _, _, (pid,), (tid,), (pgid,), (sid,) = status
        return [_new(Level, (task.ns, tid, pid, ppid, pgid, sid))]
    inums = chains.of(task)
    parents = _parent_numbers(task, parent, inums, chains)
    numbers = status.ns_pid, status.ns_tgid, parents, status.ns_pgid, status.ns_sid
    return [Level(*level) for level in zip(inums, *numbers)]


def _parent_numbers(
    task: TaskReading, parent: TaskReading | None, inums: Sequence[int | None], chains: _Chains
) -> list[int | None]:
    """Return the parent's own number at each level of ``task``.

    A parent's namespace is always the child's or an ancestor of it (``copy_pid_ns()``,
    ``find_new_reaper()``), so a level that both have is the same namespace; where both inums are
    known they show it themselves, by which a parent that has gone and the next task of its number
    differ.
    """
    depth = len(inums)
    if task.status.ppid == 0:
        return [0] * depth
    if parent is None:
        return [task.status.ppid, *[None] * (depth - 1)]
    numbers: list[int | None] = [0] * depth
    shared = zip(inums, chains.of(parent), parent.status.ns_tgid)
    for level, (mine, other, number) in enumerate(shared):
        if mine is None or other is None or mine == other:
            numbers[level] = number
    return numbers


def _is_joined(innermost: Level) -> bool | None:
    # Kernel threads, and init, have no parent in the initial namespace and came from nowhere.
    if innermost.ns == _INIT_NS or innermost.pid == 1:
        return False
    return None if innermost.ppid is None else innermost.ppid == 0


def _whole(snapshot: Snapshot) -> Iterator[TaskReading]:
    """Yield the tasks that were there while they were read: a 0 in NSpid means released midway."""
    for task in snapshot.tasks:
        gone = snapshot.starts and task.start_ticks is None
        if not gone and 0 not in task.status.ns_pid and 0 not in task.status.ns_tgid:
            yield task


def _is_leader(task: TaskReading) -> bool:
    return task.status.ns_pid == task.status.ns_tgid


def _outer_numbers(task: TaskReading) -> tuple[int, int]:
    return task.status.ns_tgid[0], task.status.ns_pid[0]
