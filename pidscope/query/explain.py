"""The kernel's structures of one task, and how they hang together: for reading, and for drawing.

Pure. What is drawn is what is there since Linux 4.19:

- a ``task_struct`` is a thread; its ``thread_pid`` points to a ``struct pid``, its own;
- a ``signal_struct`` is a process, which its threads share; ``pids[]`` in it point to the struct
  pids of its thread group, its process group and its session;
- a ``struct pid`` has one ``struct upid`` a level, which is a number and the ``pid_namespace`` in
  which it counts, and one list a kind: the tasks that have it as their own, as thread group, as
  group, as session.
  A process is on the last three by its group leader; its other threads are not.

/proc shows numbers, not pointers. That two tasks have the same number in the outermost namespace is
that they have the same struct pid. One that no task has as its own is visible only through those in
its group or session, which do not show numbers further in than they are: it is `partial`.
Nothing shows the order of a list, so members stand by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pidscope.query.process import Process

TYPES = ("PID", "TGID", "PGID", "SID")  # enum pid_type, include/linux/pid_types.h


class StructPid(NamedTuple):
    """``struct pid``; ``nr`` is its number in the outermost namespace, and names it here."""

    nr: int
    numbers: Sequence[int]  # of the outermost visible namespace, and inwards
    ns: Sequence[int | None]
    partial: bool  # there may be more of them
    tasks: Mapping[str, Sequence[Process]]  # by name of the type


class Space(NamedTuple):
    """``struct pid_namespace``."""

    ns: int | None
    level: int | None  # from the outermost visible one; None: not known
    init: Process | None  # its number 1, where it is visible
    active: bool  # the task lives in it


class Explained(NamedTuple):
    """One task, and all that its pointers lead to."""

    task: Process
    leader: Process | None  # None: it is not visible
    parent: Process | None
    threads: Sequence[int]  # tids of its process
    links: Mapping[str, int | None]  # type to ``nr``; None: it has no visible number
    pids: Sequence[StructPid]
    spaces: Sequence[Space]  # from the outermost inwards
    children: Space | None  # where its children will be born; None: not known
    why: str  # it is not
    initial: bool  # the outermost visible namespace is the initial one
    all_seen: bool  # no task is hidden, or outside
    all_read: bool  # and where they live is known


def explain(
    task: Process,
    everyone: Sequence[Process],
    *,
    initial: bool,
    nobody_hidden: bool,
    all_read: bool,
    children_ns: int | None,
    ns_is_read: bool,
) -> Explained:
    """Gather all that the pointers of ``task`` lead to.

    It is one of ``everyone``, threads included. ``initial``: the outermost namespace is the initial
    one. ``all_read``: no process is hidden, and all their namespaces could be read. ``children_ns``
    is the inum of ``ns/pid_for_children``, None if it is not to be had; ``ns_is_read``: ``ns/pid``
    may be read, so that this is not what prevents it.
    """
    outer = task.levels[0]
    links = {
        kind: number if number or initial else None
        for kind, number in zip(TYPES, (outer.tid, outer.pid, outer.pgid, outer.sid))
    }
    by_tid = {other.tid: other for other in everyone}
    distinct = dict.fromkeys(nr for nr in links.values() if nr is not None)
    spaces = _spaces(task, everyone)
    return Explained(
        task=task,
        leader=by_tid.get(task.pid),
        parent=by_tid.get(outer.ppid or 0),
        threads=sorted(other.tid for other in everyone if other.pid == task.pid),
        links=links,
        pids=[_struct_pid(nr, task, everyone, by_tid.get(nr)) for nr in distinct],
        spaces=spaces,
        children=_children(children_ns, spaces, everyone),
        why=_why(task, ns_is_read),
        initial=initial,
        all_seen=nobody_hidden and initial,
        all_read=all_read and initial,
    )


def _struct_pid(
    nr: int, task: Process, everyone: Sequence[Process], own: Process | None
) -> StructPid:
    leaders = [other for other in everyone if other.is_leader]
    groups = [other for other in leaders if other.levels[0].pgid == nr]
    sessions = [other for other in leaders if other.levels[0].sid == nr]
    tasks = {
        "PID": [own] if own is not None else [],
        "TGID": [own] if own is not None and own.pid == nr else [],
        "PGID": groups,
        "SID": sessions,
    }
    if own is not None:
        numbers = _through(own, "tid")
    else:  # at least the task itself leads to it
        ways = [*_ways(nr, groups, "pgid"), *_ways(nr, sessions, "sid")]
        for link in ("pid", "pgid", "sid"):
            ways += _ways(nr, [task], link)
        numbers = max(ways, key=len)
    partial = own is None and nr != 0
    return StructPid(nr, [it[0] for it in numbers], [it[1] for it in numbers], partial, tasks)


def _ways(nr: int, processes: Iterable[Process], link: str) -> list[list[tuple[int, int | None]]]:
    through = (_through(process, link) for process in processes)
    return [numbers for numbers in through if numbers[0][0] == nr]


def _through(process: Process, link: str) -> list[tuple[int, int | None]]:
    """Return the numbers of what a process is linked to, as far in as that has some there."""
    found = [(getattr(level, link), level.ns) for level in process.levels]
    depth = next((place for place, it in enumerate(found) if place and not it[0]), None)
    return found[:depth]


def _spaces(task: Process, everyone: Sequence[Process]) -> list[Space]:
    inums = [level.ns for level in task.levels]
    innermost = len(inums) - 1
    return [
        Space(ns, level, _init_of(ns, everyone), level == innermost)
        for level, ns in enumerate(inums)
    ]


def _init_of(ns: int | None, everyone: Iterable[Process]) -> Process | None:
    for other in everyone:
        innermost = other.levels[-1]
        if ns is not None and innermost.ns == ns and innermost.tid == 1:
            return other
    return None


def _children(ns: int | None, spaces: Sequence[Space], everyone: Sequence[Process]) -> Space | None:
    """Return where the children go: where the task lives, or, after unshare or setns, inside."""
    if ns is None:
        return None
    known = next((space for space in spaces if space.ns == ns), None)
    if known is not None:
        return known
    depths = [len(it.levels) - 1 for it in everyone if it.levels[-1].ns == ns]
    return Space(ns, depths[0] if depths else None, _init_of(ns, everyone), False)


def _why(task: Process, ns_is_read: bool) -> str:
    if task.state in "ZX":
        return "NULL: it has exited"
    if not ns_is_read:
        return "not known: this user may not read it"
    # An init that waits for its namespace to empty is no zombie yet, and has no nsproxy either.
    return "not known: it is exiting, or the namespace there has had no number 1 yet"
