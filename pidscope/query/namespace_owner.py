"""The containers around each process, and those that own PID namespaces. Pure.

A container is not a namespace is not a cgroup. A process is in a container by its cgroup, as
`pidscope.containers.rules` reads it; its numbers are those of one PID namespace, on which its
processes and its engine have to agree (`pidscope.query.witnesses`). If number 1 of that namespace
is in the container too, the namespace is the container's own. Otherwise the container shares it,
with another container (``--pid=container:``, ``shareProcessNamespace``) or with the host
(``hostPID``).

A process that entered a container's namespace, but not its cgroup (nsenter), is no member; it has
numbers there; a process executed in it (docker exec) is in both, and younger than its init.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import Rules, parse_cgroup
from pidscope.query.membership import Membership, container_of, spaces
from pidscope.query.process import Process
from pidscope.query.witnesses import Member

_NOTHING_SAID: Mapping[Chain, int] = MappingProxyType({})


class Homes(NamedTuple):
    """The containers of the PID namespaces, by inum; none owns the host's."""

    own: Mapping[int, Container]
    shared: Mapping[int, tuple[Container, ...]]  # those that have it without owning it
    disputed: frozenset[int] = frozenset()  # may be the own one of a container, or not


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
    said: Mapping[Chain, int] = _NOTHING_SAID,
) -> Homes:
    """Find the namespace of each container, and the others that have it.

    ``started`` gives the start of a process, in any unit, None if it is gone. Only a container
    whose members are in several namespaces asks for it. ``said`` is the first process of a
    container by the word of root's engine. A container whose namespace is disputed shares each.
    """
    leaders = [it for it in processes if it.pid == it.tid and it.ns is not None]
    inits = {it.ns: it.pid for it in leaders if it.levels[-1].pid == 1}
    there = membership(leaders, chains, started, said)
    own: dict[int, Container] = _of_services(leaders, inits, chains)
    housed: dict[int, list[Chain]] = {}
    shared: dict[int, list[Container]] = {}
    disputed: set[int] = set()
    for chain, members in there.of.items():
        if members and not chain[-1].is_service:
            home = there.verdict(chain).ns
            for ns in spaces(members) if home is None else ():
                if ns not in inits or container_of(chains.get(inits[ns], ())) == chain:
                    disputed.add(ns)
                shared.setdefault(ns, []).append(chain[-1])
            if home is not None:
                housed.setdefault(home, []).append(chain)
    for ns, found in housed.items():
        owner = _owner(found, chains.get(inits.get(ns, 0)))
        if owner in found:
            own[ns] = owner[-1]
        others = [chain[-1] for chain in found if chain != owner]
        if others:
            shared.setdefault(ns, []).extend(others)
    return Homes(own, {ns: tuple(them) for ns, them in shared.items()}, frozenset(disputed))


def membership(
    leaders: Sequence[Process],
    chains: Mapping[int, Chain],
    started: Callable[[int], int | None],
    said: Mapping[Chain, int] = _NOTHING_SAID,
) -> Membership:
    """Return the processes of each container, as `homes` judges them; threads are left out."""
    return Membership(
        map(_member, leaders),
        chains,
        outermost=leaders[0].levels[0].ns if leaders else None,
        parents=_parents(leaders),
        started=started,
        said=said,
    )


def _member(process: Process) -> Member:
    inner = process.levels[-1].pid
    return Member(process.pid, process.ns, inner, process.levels[0].ppid or 0)


def _parents(processes: Iterable[Process]) -> dict[int, int]:
    """Return the namespace around each, as far as the processes show it."""
    return {
        inner.ns: outer.ns
        for it in processes
        for outer, inner in zip(it.levels, it.levels[1:])
        if inner.ns is not None and outer.ns is not None
    }


def _owner(found: list[Chain], init: Chain | None) -> Chain:
    """Return which of those that live in a namespace its number 1 is in; none: not known."""
    if init is not None:
        return container_of(init)
    return found[0] if len(found) == 1 else ()


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
