"""The containers of runtimes that no rule knows. Pure.

Who is number 1 of a PID namespace has been put there by something that makes containers, whatever
its cgroup is called. Where no rule finds a container in that cgroup, the container gets its name
from it, and ``?`` as its runtime. Its processes are those in the namespace that are in the cgroup,
or in one below it; so a shell that has entered the namespace is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN, unknown_container
from pidscope.snapshot import Snapshot, TaskReading


class _Unknown(NamedTuple):
    container: Container  # its id is PATH:INUM, as several may be in one cgroup
    path: str
    around: Chain  # the services that its path names


def with_unknown(
    snapshot: Snapshot, chains: Mapping[int, Chain], whole: bool
) -> Mapping[int, Chain]:
    """Return the containers around each process, with those of unknown runtimes.

    Args:
        snapshot: with the cgroup of each process.
        chains: the containers around each process that the rules know, by its number.
        whole: cgroups are read from the root; otherwise ``/`` names nothing.
    """
    leaders = [it for it in snapshot.tasks if it.status.ns_pid == it.status.ns_tgid]
    found = _unknown(leaders, snapshot, chains, whole)
    if not found:
        return chains
    added = {
        it.number: _chain(it, chains.get(it.number, ()), snapshot, found)
        for it in leaders
        if it.ns is not None and it.number in chains and not _in_container(chains[it.number])
    }
    return {**chains, **added}


def _unknown(
    leaders: Iterable[TaskReading], snapshot: Snapshot, chains: Mapping[int, Chain], whole: bool
) -> dict[int, _Unknown]:
    """Return those that a number 1 shows, by the inum of its namespace."""
    found: dict[int, _Unknown] = {}
    for it in leaders:
        inside = len(it.status.ns_pid) > 1 and it.status.ns_pid[-1] == 1
        if inside and it.ns is not None and it.number in chains:
            container, chain = _named_by_path(snapshot, it.number), chains[it.number]
            # The cgroup of a zombie is the root of each v1 hierarchy, wherever it was.
            named = container.id != "/" or (whole and it.status.state not in "ZX")
            if named and not _in_container(chain) and not _is_of_service(container.id, chain):
                mine = container._replace(id=f"{container.id}:{it.ns}")
                found[it.ns] = _Unknown(mine, container.id, chain)
    return found


def _named_by_path(snapshot: Snapshot, number: int) -> Container:
    """Return what the cgroup of a process would be called as a container."""
    data = (snapshot.cgroups or {}).get(number, b"")
    return unknown_container(data) or Container(UNKNOWN, "/", "/")


def _in_container(chain: Chain) -> bool:
    return any(not it.is_service for it in chain)


def _is_of_service(path: str, chain: Chain) -> bool:
    """Whether a cgroup is a service's own (``PrivatePIDs=``), not one that the service has made."""
    return bool(chain) and path.rpartition("/")[2].removeprefix("_") == chain[-1].unit


def _chain(
    task: TaskReading, chain: Chain, snapshot: Snapshot, found: Mapping[int, _Unknown]
) -> Chain:
    """Return the chain of a process, with each unknown container in whose cgroup it is."""
    path = _named_by_path(snapshot, task.number).id
    spaces = [task.ns or 0]
    while snapshot.ns_parents.get(spaces[-1], 0) not in (0, *spaces):
        spaces.append(snapshot.ns_parents[spaces[-1]])
    around = [found[ns] for ns in reversed(spaces) if ns in found]
    mine = [it for it in around if _is_below(path, it.path)]
    if not mine:
        return chain
    last = mine[-1]
    rest = chain[len(last.around) :] if chain[: len(last.around)] == last.around else ()
    return (*mine[0].around, *(it.container for it in mine), *rest)


def _is_below(path: str, outer: str) -> bool:
    return path == outer or (outer != "/" and path.startswith(f"{outer}/"))
