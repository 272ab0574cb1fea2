"""The containers around each process, and those that own PID namespaces. Pure.

A container is not a namespace is not a cgroup. A process is in a container by its cgroup, as
`pidscope.containers.rules` reads it; its numbers are those of one PID namespace: of its init, the
oldest process in its cgroup. If number 1 of that namespace is in the container too, the namespace
is the container's own. Otherwise the container shares it, with another container
(``--pid=container:``, ``shareProcessNamespace``) or with the host (``hostPID``).

A process that entered a container's namespace, but not its cgroup (nsenter), is no member; it has
numbers there; a process executed in it (docker exec) is in both, and younger than its init.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import Rules, parse_cgroup
from pidscope.query.process import Process

# Tells one container from another: those around it and itself. A name may come again inside.
_Key = tuple[Container, ...]


class Homes(NamedTuple):
    """The containers of the PID namespaces, by inum; none owns the host's."""

    own: Mapping[int, Container]
    shared: Mapping[int, tuple[Container, ...]]  # those that have it without owning it


class _Place(NamedTuple):
    """A PID namespace as one process shows it."""

    ns: int
    depth: int


def chains(cgroups: Mapping[int, bytes], rules: Rules | None = None) -> dict[int, Chain]:
    """Return the containers around each process, given its ``/proc/N/cgroup``.

    By the built-in rules, or by ``rules``.
    """
    parsed = {data: parse_cgroup(data, rules) for data in set(cgroups.values())}
    return {number: parsed[data] for number, data in cgroups.items()}


def homes(
    processes: Iterable[Process],
    chains: Mapping[int, Chain],
    started: Callable[[int], int | None],
) -> Homes:
    """Find the namespace of each container, and the others that have it.

    ``started`` gives the start of a process, in any unit, None if it is gone. Only a container
    whose members are in several namespaces asks for it.
    """
    leaders = [it for it in processes if it.pid == it.tid and it.ns is not None]
    inits = {it.ns: it.pid for it in leaders if it.levels[-1].pid == 1}
    members: dict[_Key, dict[int, list[Process]]] = {}
    for process in leaders:
        key = _key(chains.get(process.pid, ()))
        if key and process.ns is not None:
            members.setdefault(key, {}).setdefault(process.ns, []).append(process)
    housed: dict[int, list[_Key]] = {}
    for key, places in members.items():
        housed.setdefault(_home(places, started), []).append(key)
    own: dict[int, Container] = _of_services(leaders, inits, chains)
    shared: dict[int, tuple[Container, ...]] = {}
    for ns, keys in housed.items():
        owner = _owner(keys, chains.get(inits.get(ns, 0)))
        others = tuple(key[-1] for key in keys if key != owner)
        if owner in keys:
            own[ns] = owner[-1]
        if others:
            shared[ns] = others
    return Homes(own, shared)


def _owner(keys: list[_Key], init: Chain | None) -> _Key:
    """Return which of those that live in a namespace its number 1 is in; None: it is not known."""
    if init is not None:
        return _key(init)
    return keys[0] if len(keys) == 1 else ()


def _key(chain: Chain) -> _Key:
    return tuple(container for container in chain if container.id)


def _home(places: Mapping[int, list[Process]], started: Callable[[int], int | None]) -> int:
    """Return the inum of the oldest member's namespace; of equals, the outer."""
    if len(places) == 1:
        return next(iter(places))

    def age(ns: int) -> tuple[float, int]:
        starts = [started(process.pid) for process in places[ns]]
        oldest = min((start for start in starts if start is not None), default=float("inf"))
        return oldest, len(places[ns][0].levels)

    return min(places, key=age)


def _of_services(
    leaders: Iterable[Process], inits: Mapping[int | None, int], chains: Mapping[int, Chain]
) -> dict[int, Container]:
    """Return the services that made namespaces of their own (``PrivatePIDs=``), by inum."""
    found: dict[int, Container] = {}
    for process in leaders:
        chain = chains.get(process.pid, ())
        levels = process.levels
        if len(levels) > 1 and levels[-1].pid == 1 and chain and not chain[-1].id:
            outside = chains.get(inits.get(levels[-2].ns, 0), ())
            if process.ns is not None and chain[-1] not in outside:
                found[process.ns] = chain[-1]
    return found
