"""The containers that a runtime's own state shows, where no rule and no number 1 does. Pure.

runc and crun keep which process is the first of a container, and in which cgroup they have put it.
A container that shares its PID namespace with another, or has the host's, has no number 1 by which
`pidscope.query.unknown_runtimes` would find it. Its processes are those in its cgroup, or below.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import unknown_container


class _Stated(NamedTuple):
    container: Container  # its id is its path
    around: Chain  # the services that its path names


def with_stated(
    cgroups: Mapping[int, bytes], chains: Mapping[int, Chain], firsts: Mapping[int, Collection[str]]
) -> Mapping[int, Chain]:
    """Return the containers around each process, with those of ``firsts``, as of no known runtime.

    Args:
        cgroups: ``/proc/N/cgroup`` of each process.
        chains: the containers around each process that are known, by its number.
        firsts: of a first process the paths that its runtime says its cgroup has, below any mount.
            A path that is not one of them is not the container's: crun can leave a process where
            it was, beside its caller.
    """
    path_of = cache(_path)
    found = _found(cgroups, chains, firsts)
    if not found:
        return chains
    added = {
        number: _chain(path_of(cgroups.get(number, b"")), chain, found)
        for number, chain in chains.items()
        if not _in_container(chain)
    }
    return {**chains, **added}


def _found(
    cgroups: Mapping[int, bytes], chains: Mapping[int, Chain], firsts: Mapping[int, Collection[str]]
) -> dict[str, _Stated]:
    """Return those that are in no other container, by path; none where two have one path."""
    found: dict[str, list[_Stated]] = {}
    for number, paths in firsts.items():
        container = unknown_container(cgroups.get(number, b""))
        if container is None or container.uid is not None or container.id == "/":
            continue
        if number in chains and any(it.endswith(container.id) for it in paths):
            found.setdefault(container.id, []).append(_Stated(container, chains[number]))
    alone = {path: its[0] for path, its in found.items() if len(its) == 1}
    return {path: it for path, it in alone.items() if not _in_container(it.around)}


def _chain(path: str, chain: Chain, found: Mapping[str, _Stated]) -> Chain:
    """Return the chain of a process, with each container in whose cgroup it is."""
    mine = [found[it] for it in sorted(found, key=len) if path == it or path.startswith(f"{it}/")]
    if not mine:
        return chain
    around = mine[-1].around
    rest = chain[len(around) :] if chain[: len(around)] == around else ()
    return (*mine[0].around, *(it.container for it in mine), *rest)


def _path(data: bytes) -> str:
    container = unknown_container(data)
    return "" if container is None else container.id


def _in_container(chain: Chain) -> bool:
    return any(not it.is_service for it in chain)
