"""The containers of runtimes that no rule knows. Pure.

Who is number 1 of a PID namespace has been put there by something that makes containers, whatever
its cgroup is called. Where no rule finds a container in that cgroup, the container gets its name
from it, and ``?`` as its runtime. Its processes are those in the namespace that are in the cgroup,
or in one below it; so a shell that has entered the namespace is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN, unknown_container
from pidscope.snapshot import Snapshot, TaskReading


class _Unknown(NamedTuple):
    container: Container  # its id is PATH:INUM, as several may be in one cgroup
    path: str
    around: Chain  # the services that its path names


_Named = Callable[[bytes], Container]  # by a /proc/N/cgroup, of which many processes have one


def with_unknown(
    snapshot: Snapshot, chains: Mapping[int, Chain], whole: bool
) -> Mapping[int, Chain]:
    """Return the containers around each process, with those of unknown runtimes.

    Args:
        snapshot: with the cgroup of each process.
        chains: the containers around each process that the rules know, by its number.
        whole: cgroups are read from the root; otherwise ``/`` names nothing.
    """
    named: _Named = cache(_named_by_path)
    leaders = [
        it
        for it in snapshot.tasks
        if it.status.ns_pid == it.status.ns_tgid and it.ns is not None and it.number in chains
        if not _in_container(chains[it.number])
    ]
    firsts = [it for it in leaders if len(it.status.ns_pid) > 1 and it.status.ns_pid[-1] == 1]
    found = _unknown(firsts, snapshot, chains, whole, named)
    if not found:
        return chains
    added = {it.number: _chain(it, chains[it.number], snapshot, found, named) for it in leaders}
    return {**chains, **added}


def _unknown(
    firsts: Iterable[TaskReading],
    snapshot: Snapshot,
    chains: Mapping[int, Chain],
    whole: bool,
    named: _Named,
) -> dict[int, _Unknown]:
    """Return those that a number 1 shows, by the inum of its namespace."""
    found: dict[int, _Unknown] = {}
    for it in firsts:
        container, chain = named(_cgroup(snapshot, it)), chains[it.number]
        # The cgroup of a zombie is the root of each v1 hierarchy, wherever it was.
        is_named = container.id != "/" or (whole and it.status.state not in "ZX")
        if is_named and it.ns is not None and not _is_of_service(container.id, chain):
            mine = container._replace(id=f"{container.id}:{it.ns}")
            found[it.ns] = _Unknown(mine, container.id, chain)
    return found


def _named_by_path(data: bytes) -> Container:
    """Return what a cgroup would be called as a container."""
    return unknown_container(data) or Container(UNKNOWN, "/", "/")


def _cgroup(snapshot: Snapshot, task: TaskReading) -> bytes:
    return (snapshot.cgroups or {}).get(task.number, b"")


def _in_container(chain: Chain) -> bool:
    return any(not it.is_service for it in chain)


def _is_of_service(path: str, chain: Chain) -> bool:
    """Whether a cgroup is a service's own (``PrivatePIDs=``), not one that the service has made."""
    return bool(chain) and path.rpartition("/")[2].removeprefix("_") == chain[-1].unit


def _chain(
    task: TaskReading,
    chain: Chain,
    snapshot: Snapshot,
    found: Mapping[int, _Unknown],
    named: _Named,
) -> Chain:
    """Return the chain of a process, with each unknown container in whose cgroup it is."""
    path = named(_cgroup(snapshot, task)).id
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
