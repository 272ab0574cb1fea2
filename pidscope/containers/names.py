"""The names of the containers that processes are in: the runtimes', the engines', the kubelet's.

Those know the host's own containers. A container inside another is known to an engine and files
inside that, which are not read. Files come first: an engine may have to be started to answer.

A cgroup's name is the claim of the user that may make cgroups there. So names of root's files and
engines are for containers in root's part of the tree alone, and if the first process of a container
is known, for those processes alone that are in its cgroup.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN

_ENGINES = frozenset({"docker", "oci", "podman"})
_FILES = frozenset({"docker", "oci", "podman", "containerd", "crio", "runc", "crun"})
_ANNOTATED = frozenset({"oci", "containerd", "crio"})


class Named(NamedTuple):
    """Chains with the names that were found, and a line for each engine that gave none.

    ``said`` is the first process of a container, by the word of root's engine or runtime, behind
    the chain that ends with the container.
    """

    chains: dict[int, Chain]
    silent: tuple[str, ...] = ()
    said: Mapping[Chain, int] = MappingProxyType({})


def name_containers(
    chains: Mapping[int, Chain], root: str, uid: int, proc: str | None = None
) -> Named:
    """Return the chains with names, asking only the engines that have containers among them.

    ``root`` is the host's root directory. User ``uid`` may also have engines of its own; root asks
    those of other users, too, which speak of their own containers alone. ``proc`` is the /proc
    whose numbers the processes have; None: there is none, so no monitor is looked for.
    """
    outer = {chain: _outermost(chain) for chain in set(chains.values())}
    names = {container: container for container in outer.values() if container is not None}
    pids: dict[Container, int] = {}
    silent: list[str] = []
    if names:
        _by_kubelet(names, root)
        if uid == 0:
            _by_files(names, pids, root)
        silent = _by_engines(names, pids, root, uid)
        if proc is not None:
            _by_monitors(names, chains, outer, proc)
    places = {it: _prefix(chains[pid]) for it, pid in pids.items() if pid in chains}
    renamed = {chain: _renamed(chain, it, names, places) for chain, it in outer.items()}
    said = {
        _prefix(renamed[chain]): pids[it]
        for chain, it in outer.items()
        if it in places and _is_in(places[it], chain, it)
    }
    return Named({number: renamed[chain] for number, chain in chains.items()}, tuple(silent), said)


def name_unknown(
    chains: Mapping[int, Chain], root: str, started: Callable[[int], int | None]
) -> Mapping[int, Chain]:
    """Return the chains with the runtimes of containers whose cgroups no rule knows.

    runc and crun keep which process is the first of each container. ``started`` gives the start of
    a process in clock ticks, by which another process with the same PID is told from it.
    """
    outer = {chain: _outermost(chain) for chain in set(chains.values())}
    if not any(it is not None and it.runtime == UNKNOWN for it in outer.values()):
        return chains
    from pidscope.containers.states import States  # most hosts do without

    names: dict[Container, Container] = {}
    for pid, (container, start) in States(root).inits().items():
        it = outer[chains[pid]] if pid in chains else None
        if it is not None and it.runtime == UNKNOWN and it.uid is None and started(pid) == start:
            names[it] = container
    renamed = {chain: _renamed(chain, it, names, {}) for chain, it in outer.items() if it in names}
    return {number: renamed.get(chain, chain) for number, chain in chains.items()}


def _outermost(chain: Chain) -> Container | None:
    """Return the first container of a chain; those inside it have another host."""
    return next((container for container in chain if not container.is_service), None)


def _prefix(chain: Chain) -> Chain:
    """Return a chain up to its first container."""
    container = _outermost(chain)
    return () if container is None else chain[: chain.index(container) + 1]


def _is_in(place: Chain, chain: Chain, container: Container) -> bool:
    """Whether a chain is where the first process of a container is.

    Where that is in another cgroup altogether, no place is better than another.
    """
    return _prefix(chain) == place or container not in place


def _renamed(
    chain: Chain,
    container: Container | None,
    names: Mapping[Container, Container],
    places: Mapping[Container, Chain],
) -> Chain:
    if container is None or not _is_in(places.get(container, _prefix(chain)), chain, container):
        return chain
    at = chain.index(container)
    return (*chain[:at], names[container], *chain[at + 1 :])


def _by_kubelet(names: dict[Container, Container], root: str) -> None:
    mine = [it for it in names if it.pod_uid is not None and it.uid is None]
    if mine:
        from pidscope.containers.kubelet import read_kubelet  # most hosts do without

        kubelet = read_kubelet(root)
        names.update({it: kubelet.name(it) for it in mine})


def _by_files(names: dict[Container, Container], pids: dict[Container, int], root: str) -> None:
    """Add what root's runtimes keep in files."""
    mine = [it for it in names if it.runtime in _FILES and it.uid is None]
    if not mine:
        return
    from pidscope.containers.states import States  # most hosts do without

    states = States(root)
    if any(it.runtime == "podman" for it in mine):
        stored = states.podman_names()
        podmans = (it for it in mine if it.runtime == "podman" and it.id in stored)
        names.update({it: it._replace(name=stored[it.id]) for it in podmans})
    for it in mine:
        if it.runtime in _ANNOTATED and not _has_name(names[it]):
            names[it] = states.named(it)
        pid = states.init_pid(it.id)
        if pid is not None:
            pids[it] = pid


def _by_engines(
    names: dict[Container, Container], pids: dict[Container, int], root: str, uid: int
) -> list[str]:
    """Add what the engines say, and return a line for each engine that gave no names."""
    mine = [it for it, named in names.items() if it.runtime in _ENGINES and not _has_name(named)]
    if not mine:
        return []
    from pidscope.containers import engines  # most hosts do without

    said = engines.ask(mine, root, uid, pids)
    names.update(said.names)
    pids.update(said.pids)
    return said.silent


def _by_monitors(
    names: dict[Container, Container],
    chains: Mapping[int, Chain],
    outer: Mapping[Chain, Container | None],
    proc: str,
) -> None:
    """Add the names that stand in the command lines of the processes beside containers."""
    candidates = {it for it in names if it.runtime in ("lxc", "podman")}
    if not candidates:
        return
    from pidscope.containers.monitors import may_name, monitored

    for it in candidates:
        if may_name(names[it]):
            members = {pid for pid, chain in chains.items() if outer[chain] == it}
            names[it] = monitored(names[it], members, proc)


def _has_name(container: Container) -> bool:
    return container.name is not None or container.pod is not None
