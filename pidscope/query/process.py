"""Snapshots and events as the JSON documents that schema.json describes.

Pure: what comes from the host (boot time, host name) is passed in. Levels run from the namespace
of the /proc mount inwards. 0 is a number that does not exist there; None is one that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict, cast

from pidscope.containers.container import Chain, Container, innermost
from pidscope.escape import escape, printable, unescape_status_name
from pidscope.host.ticks import ticks_since_boot
from pidscope.snapshot import Snapshot, TaskReading

if TYPE_CHECKING:
    pass

_INIT_NS = 0xEFFFFFFC  # PROC_PID_INIT_INO (include/linux/proc_ns.h)


class Level(TypedDict):
    """What one PID namespace calls a task and its relations."""

    ns: int | None
    tid: int
    pid: int
    ppid: int | None
    pgid: int
    sid: int
    container: ContainerJson | None  # whose own the namespace is


class ContainerJson(TypedDict):
    """What a runtime calls a container, or (with an empty ``id``) a service of systemd."""

    runtime: str
    id: str
    name: str | None
    pod: str | None
    pod_uid: str | None
    pod_namespace: str | None  # Kubernetes's, not the kernel's
    container_name: str | None  # in the pod
    unit: str | None


class Process(TypedDict):
    """A task; ``pid`` is its thread group, ``tid`` itself, both in the outermost namespace."""

    pid: int
    tid: int
    id: str  # PID@START: start in clock ticks since boot; PID@FIRST-LAST: in one of these
    comm: str
    state: str  # one letter
    start_time: str  # RFC 3339, whole seconds: the kernel's btime has no more
    ns: int | None
    joined: bool | None  # came from outside: neither init nor the child of anyone in ``ns``
    container: ContainerJson | None
    levels: list[Level]


class Namespace(TypedDict):
    """A PID namespace and how many tasks have it as their innermost."""

    ns: int
    level: int
    parent: int | None  # 0: this is the outermost that can be seen
    init: int | None  # in the outermost namespace
    processes: int
    threads: int
    zombies: int
    last_pid: int | None
    container: ContainerJson | None  # whose own it is
    shared: list[ContainerJson]  # those that have it though it is not theirs


class Outermost(TypedDict):
    """The PID namespace at which levels begin: ``pid`` and ``tid`` are its numbers."""

    ns: int | None
    initial: bool | None  # nobody is outside it


def processes(
    snapshot: Snapshot,
    *,
    boot_time: int,
    ticks_per_second: int,
    start_offset_ns: int = 0,
    containers: Mapping[int, Chain] | None = None,
) -> list[Process]:
    """Return the tasks of ``snapshot`` by thread group and tid, less those that were leaving.

    ``boot_time`` is in seconds since the epoch, ``ticks_per_second`` is USER_HZ, and
    ``start_offset_ns`` the boottime offset of the time namespace from which it was read. ``id``
    and ``start_time`` are empty if the snapshot has no starts. ``containers`` tells by process
    number who is in which; None: nobody has looked.
    """
    tasks = sorted(_whole(snapshot), key=_outer_numbers)
    chains = _Chains(snapshot.ns_parents)
    groups = {task.status.ns_tgid[0]: task for task in tasks if _is_leader(task)}
    documents = [_process(task, groups.get(task.status.ppid), chains) for task in tasks]
    told = {chain: _container(chain) for chain in set((containers or {}).values())}
    for document in documents if containers else ():
        document["container"] = told.get((containers or {}).get(document["pid"], ()))
    if snapshot.starts:
        ns_per_tick = 1_000_000_000 // ticks_per_second
        for task, document in zip(tasks, documents):
            first, last = ticks_since_boot(task.start_ticks or 0, ns_per_tick, start_offset_ns)
            document["id"] = f"{document['tid']}@{first}" + (f"-{last}" if last > first else "")
            document["start_time"] = rfc3339(boot_time, first * ns_per_tick)
    return documents


def rfc3339(boot_time: int, since_boot_ns: int) -> str:
    """Return a time in whole seconds, as ``boot_time`` is, in seconds since the epoch."""
    time = datetime.fromtimestamp(boot_time + since_boot_ns // 1_000_000_000, timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _process(task: TaskReading, parent: TaskReading | None, chains: _Chains) -> Process:
    """Return the document of one task, whose start is not told yet."""
    status = task.status
    levels = _levels(task, parent, chains)
    return {
        "pid": status.ns_tgid[0],
        "tid": status.ns_pid[0],
        "id": "",
        "comm": escape(unescape_status_name(status.name)),
        "state": status.state,
        "start_time": "",
        "ns": levels[-1]["ns"],
        "joined": _is_joined(levels[-1]),
        "container": None,
        "levels": levels,
    }


def _container(chain: Chain) -> ContainerJson | None:
    """Return the innermost container of a chain, with the service in it."""
    container = innermost(chain)
    return None if container is None else container_json(container)


def container_json(container: Container) -> ContainerJson:
    """Return a container as JSON has it, its foreign strings escaped."""
    told = [None if text is None else printable(text) for text in container]
    return cast("ContainerJson", dict(zip(container._fields, told)))


def tell_levels(documents: Iterable[Process], owners: Mapping[int, Container]) -> None:
    """Say at each level of each process whose own the namespace there is, given that by inum."""
    told = {inum: container_json(container) for inum, container in owners.items()}
    for process in documents:
        for level in process["levels"]:
            level["container"] = told.get(level["ns"] or 0)


def is_complete(documents: Iterable[Process]) -> bool:
    """Tell whether nothing in ``documents`` is unknown."""
    return all(
        level["ns"] is not None and level["ppid"] is not None
        for process in documents
        for level in process["levels"]
    )


def leaders(snapshot: Snapshot) -> list[int]:
    """Return the number of each process whose leader is in ``snapshot``."""
    return [task.status.ns_tgid[0] for task in _whole(snapshot) if _is_leader(task)]


def namespaces(
    snapshot: Snapshot,
    last_pids: Mapping[int, int],
    owners: Mapping[int, Container] = MappingProxyType({}),
    shared: Mapping[int, Sequence[Container]] = MappingProxyType({}),
) -> list[Namespace]:
    """Return the PID namespaces of ``snapshot``, each before its children, oldest init first.

    All by inum: ``last_pids`` gives the last number given out where it is known, ``owners`` the
    container whose own a namespace is, ``shared`` those that have it besides.
    """
    chains = _Chains(snapshot.ns_parents)
    members: dict[int, list[TaskReading]] = {inum: [] for inum in snapshot.ns_parents}
    for task in _whole(snapshot):
        inum = chains.of(task)[-1]
        if inum is not None:
            members.setdefault(inum, []).append(task)
    levels = _levels_of(members, snapshot.ns_parents)
    documents = [
        _namespace(inum, tasks, levels[inum], snapshot.ns_parents.get(inum), last_pids.get(inum))
        for inum, tasks in members.items()
    ]
    for document in documents:
        owner = owners.get(document["ns"])
        document["container"] = None if owner is None else container_json(owner)
        document["shared"] = [
            container_json(container) for container in shared.get(document["ns"], ())
        ]
    return _tree_order(documents)


def _levels_of(
    members: Mapping[int, list[TaskReading]], ns_parents: Mapping[int, int]
) -> dict[int, int]:
    """Return how deep each namespace is: as its tasks say, or those of one inside it."""
    levels = {inum: len(_outwards(inum, ns_parents)) - 1 for inum in members}
    for inum, tasks in members.items():
        for task in tasks[:1]:
            depth = len(task.status.ns_pid)
            levels.update(zip(_outwards(inum, ns_parents), range(depth - 1, -1, -1)))
    return levels


def _namespace(
    inum: int,
    tasks: list[TaskReading],
    level: int,
    parent: int | None,
    last_pid: int | None,
) -> Namespace:
    leaders = [task.status for task in tasks if _is_leader(task)]
    return Namespace(
        ns=inum,
        level=level,
        parent=parent,
        init=next((status.ns_tgid[0] for status in leaders if status.ns_tgid[-1] == 1), None),
        processes=len(leaders),
        threads=len(tasks),
        zombies=sum(status.state == "Z" for status in leaders),
        last_pid=last_pid,
        container=None,
        shared=[],
    )


def _tree_order(documents: list[Namespace]) -> list[Namespace]:
    known = {document["ns"] for document in documents}
    children: dict[int, list[Namespace]] = {}
    for document in sorted(documents, key=lambda it: (it["init"] is None, it["init"], it["ns"])):
        parent = document["parent"]
        children.setdefault(parent if parent in known else 0, []).append(document)
    ordered: list[Namespace] = []
    waiting = children.pop(0, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children.pop(ordered[-1]["ns"], [])[::-1]
    # Left over: a circle, which inums given out again during the walk can feign.
    return ordered + [document for circle in children.values() for document in circle]


class _Chains:
    """Finds the inums of all levels of a task; None stands for each that is not known."""

    def __init__(self, ns_parents: Mapping[int, int]) -> None:
        self._parents = ns_parents
        outermost = [inum for inum, parent in ns_parents.items() if parent == 0]
        self._outermost = outermost[0] if len(outermost) == 1 else None
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
        # depth since it was read. A task with one number is in the mount's own namespace, whoever
        # may read its link.
        cut = 0 < len(chain) < depth and chain[0] not in self._parents
        inner = chain if cut else [inum] if depth > 1 else []
        return [self._outermost, *[None] * (depth - 1 - len(inner)), *inner]


def _outwards(inum: int | None, ns_parents: Mapping[int, int]) -> list[int]:
    """Return ``inum`` and its ancestors as far as they are known."""
    chain: list[int] = []
    while inum and inum not in chain:
        chain.append(inum)
        inum = ns_parents.get(inum)
    return chain


def _levels(task: TaskReading, parent: TaskReading | None, chains: _Chains) -> list[Level]:
    status = task.status
    inums = chains.of(task)
    parents = _parent_numbers(task, parent, inums, chains)
    return [
        {
            "ns": ns,
            "tid": tid,
            "pid": pid,
            "ppid": ppid,
            "pgid": pgid,
            "sid": sid,
            "container": None,
        }
        for ns, tid, pid, ppid, pgid, sid in zip(
            inums, status.ns_pid, status.ns_tgid, parents, status.ns_pgid, status.ns_sid
        )
    ]


def _parent_numbers(
    task: TaskReading, parent: TaskReading | None, inums: Sequence[int | None], chains: _Chains
) -> list[int | None]:
    """Return the parent's own number at each level of ``task``.

    A parent's namespace is always the child's or an ancestor of it (``copy_pid_ns()``,
    ``find_new_reaper()``), so a level that both have is the same namespace; where both inums are
    known they say so themselves, which tells a parent that is gone from the next of its number.
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
    if innermost["ns"] == _INIT_NS or innermost["pid"] == 1:
        return False
    return None if innermost["ppid"] is None else innermost["ppid"] == 0


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
