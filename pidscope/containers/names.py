"""The names of the containers that processes are in: the runtimes', the engines', the kubelet's.

Those know the host's own containers. A container inside another is known to an engine and files
inside that, which are not read. Files come first: an engine may have to be started to answer.

A cgroup's name is the claim of the user that may make cgroups there. So names of root's files and
engines are for containers in root's part of the tree alone, and if the first process of a container
is known, for those processes alone that are in its cgroup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN
from pidscope.containers.sources import Sources

_ENGINES = frozenset({"docker", "oci", "podman"})
_FILES = frozenset({"docker", "oci", "podman", "containerd", "crio", "runc", "crun"})
_ANNOTATED = frozenset({"oci", "containerd", "crio"})


class Named(NamedTuple):
    """Chains with the names that were found, and a line for each engine that gave none.

    ``said`` is the first process of a container, by the word of root's engine or runtime, behind
    the chain that ends with the container; ``sources`` says where the words were found.
    """

    chains: Mapping[int, Chain]
    silent: tuple[str, ...] = ()
    said: Mapping[Chain, int] = MappingProxyType({})
    sources: Mapping[Chain, Sources] = MappingProxyType({})


class _Found:
    """What is found of the outermost containers, by how their cgroups name them."""

    def __init__(self, containers: Iterable[Container]) -> None:
        self.names = {it: it for it in containers}
        self.pids: dict[Container, int] = {}
        self.sources: dict[Container, Sources] = {}

    def name(self, container: Container, named: Container, source: str) -> None:
        """Take a name, unless it is none."""
        if named != self.names[container]:
            self.names[container] = named
            self._source(container, name=source)

    def first(self, container: Container, pid: int, source: str) -> None:
        """Take the PID of a container's first process."""
        self.pids[container] = pid
        self._source(container, first=source)

    def _source(self, container: Container, **source: str) -> None:
        self.sources[container] = self.sources.get(container, Sources())._replace(**source)


def name_containers(
    chains: Mapping[int, Chain], root: str, uid: int, proc: str | None = None
) -> Named:
    """Return the chains with names, asking only the engines that have containers among them.

    ``root`` is the host's root directory. User ``uid`` may also have engines of its own; root asks
    those of other users, too, which speak of their own containers alone. ``proc`` is the /proc
    whose numbers the processes have; None: there is none, so no monitor is looked for.
    """
    outer = {chain: _outermost(chain) for chain in set(chains.values())}
    found = _Found(container for container in outer.values() if container is not None)
    silent: list[str] = []
    if found.names:
        _by_kubelet(found, root)
        if uid == 0:
            _by_files(found, chains, root)
        silent = _by_engines(found, root, uid)
        if proc is not None:
            _by_monitors(found, chains, outer, proc)
        theirs = [named for it, named in found.names.items() if it.runtime in _ENGINES]
        if all(_has_name(it) and not _is_in_unnamed_pod(it) for it in theirs):
            silent = []  # nothing is shown by its id
    return _named(chains, outer, found)._replace(silent=tuple(silent))


def name_unknown(
    chains: Mapping[int, Chain], root: str, started: Callable[[int], int | None]
) -> Named:
    """Return the chains with the runtimes of containers whose cgroups no rule knows.

    runc and crun keep which process is the first of each container. ``started`` gives the start of
    a process in clock ticks, by which another process with the same PID is told from it.
    """
    outer = {chain: _outermost(chain) for chain in set(chains.values())}
    unknown = {it for it in outer.values() if it is not None and it.runtime == UNKNOWN}
    if not unknown:
        return Named(chains)
    from pidscope.containers.states import States  # most hosts do without

    found = _Found(unknown)
    for pid, (container, start, file, _) in States(root).inits().items():
        it = outer[chains[pid]] if pid in chains else None
        if it in unknown and it.uid is None and started(pid) == start:
            found.name(it, container, file)
            found.first(it, pid, file)
    return _named(chains, outer, found)


def _named(
    chains: Mapping[int, Chain], outer: Mapping[Chain, Container | None], found: _Found
) -> Named:
    """Return the chains with what was found."""
    places = {it: _prefix(chains[pid]) for it, pid in found.pids.items() if pid in chains}
    renamed = {
        chain: chain if it not in found.names else _renamed(chain, it, found.names, places)
        for chain, it in outer.items()
    }
    said, sources = {}, {}
    for chain, it in outer.items():
        if (
            it is None
            or it not in found.sources
            or not _is_in(_place(it, chain, places), chain, it)
        ):
            continue
        prefix = _prefix(renamed[chain])
        sources[prefix] = found.sources[it]
        if it in places:
            said[prefix] = found.pids[it]
    return Named({pid: renamed[chain] for pid, chain in chains.items()}, (), said, sources)


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


def _place(container: Container, chain: Chain, places: Mapping[Container, Chain]) -> Chain:
    """Return where the first process of a container is; if that is not known, a chain itself."""
    return places.get(container, _prefix(chain))


def _renamed(
    chain: Chain,
    container: Container,
    names: Mapping[Container, Container],
    places: Mapping[Container, Chain],
) -> Chain:
    if not _is_in(_place(container, chain, places), chain, container):
        return chain
    at = chain.index(container)
    return (*chain[:at], names[container], *chain[at + 1 :])


def _by_kubelet(found: _Found, root: str) -> None:
    mine = [it for it in found.names if it.pod_uid is not None and it.uid is None]
    if mine:
        from pidscope.containers.kubelet import read_kubelet  # most hosts do without

        kubelet = read_kubelet(root)
        for it in mine:
            found.name(it, kubelet.name(it), kubelet.place(it))


def _by_files(found: _Found, chains: Mapping[int, Chain], root: str) -> None:
    """Add what root's runtimes keep in files.

    containerd keeps ``init.pid`` of a container that has ended until the task is deleted (observed
    with 1.6): by then another process may have the PID, which counts only in the container.
    """
    mine = [it for it in found.names if it.runtime in _FILES and it.uid is None]
    if not mine:
        return
    from pidscope.containers.states import States  # most hosts do without

    states = States(root)
    podmans = [it for it in mine if it.runtime == "podman"]
    stored = states.podman_names() if podmans else {}
    for it in podmans:
        if it.id in stored:
            found.name(it, it._replace(name=stored[it.id].value), stored[it.id].file)
    for it in mine:
        unnamed = it.runtime in _ANNOTATED and not _has_name(found.names[it])
        named = states.named(it) if unnamed else None
        if named is not None:
            found.name(it, *named)
        first = states.init_pid(it.id)
        if first is not None and it in chains.get(first[0], ()):
            found.first(it, *first)


def _by_engines(found: _Found, root: str, uid: int) -> list[str]:
    """Add what the engines say, and return a line for each engine that gave no names."""
    mine = [
        it
        for it, named in found.names.items()
        if it.runtime in _ENGINES and (not _has_name(named) or _is_in_unnamed_pod(named))
    ]
    if not mine:
        return []
    from pidscope.containers import engines  # most hosts do without

    said = engines.ask(mine, root, uid, found.pids)
    for it, socket in said.sockets.items():
        known, named = found.names[it], said.names[it]
        if _has_name(known):  # by a file: the engine is asked for the pod alone
            found.names[it] = known._replace(pod=known.pod or named.pod)
        else:
            found.name(it, named, socket)
        if it not in found.pids and it in said.pids:
            found.first(it, said.pids[it], socket)
    return said.silent


def _is_in_unnamed_pod(container: Container) -> bool:
    """Whether it is in a pod of Podman, whose files have the names of containers alone."""
    return container.runtime == "podman" and bool(container.pod_uid) and container.pod is None


def _by_monitors(
    found: _Found,
    chains: Mapping[int, Chain],
    outer: Mapping[Chain, Container | None],
    proc: str,
) -> None:
    """Add the names that stand in the command lines of the processes beside containers."""
    candidates = {it for it in found.names if it.runtime in ("lxc", "podman")}
    if not candidates:
        return
    from pidscope.containers.monitors import may_name, monitored

    for it in candidates:
        if may_name(found.names[it]):
            members = {pid for pid, chain in chains.items() if outer[chain] == it}
            named = monitored(found.names[it], members, proc)
            if named is not None:
                container, monitor = named
                found.name(it, container, f"the command line of its monitor {monitor}")


def _has_name(container: Container) -> bool:
    return container.name is not None or container.pod is not None
