"""The names of the containers that processes are in, from the kubelet and the engines of this host.

Those know the host's own containers. A container inside another is known to an engine and files
inside that, which are not read.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pidscope.containers.container import Chain, Container

TOTAL_S = 0.25
# The runtime of an engine's containers, and where below /run its socket is. An id without a runtime
# in the cgroup's name is of Docker under another parent.
_ENGINES = (
    (frozenset({"docker", "oci"}), "docker.sock"),
    (frozenset({"podman"}), "podman/podman.sock"),
)


class Named(NamedTuple):
    """Chains with the names that were found, and a line for each engine that gave none."""

    chains: dict[int, Chain]
    silent: tuple[str, ...] = ()


def name_containers(chains: Mapping[int, Chain], root: str, uid: int) -> Named:
    """Return the chains with names, asking only the engines that have containers among them.

    ``root`` is the host's root directory. User ``uid`` may also have engines of its own; root asks
    only the host's, since other users' could give any name to any container.
    """
    outer = {container for chain in chains.values() for container in _outermost(chain)}
    names = {container: container for container in outer}
    if any(container.pod_uid is not None for container in outer):
        from pidscope.containers.kubelet import read_kubelet  # most hosts do without

        kubelet = read_kubelet(root)
        names.update({it: kubelet.name(it) for it in outer if it.pod_uid is not None})
    silent = _ask_engines(names, root, uid)
    renamed = {chain: _renamed(chain, names) for chain in set(chains.values())}
    return Named({number: renamed[chain] for number, chain in chains.items()}, tuple(silent))


def _outermost(chain: Chain) -> Iterable[Container]:
    """Return the first container of a chain, in a list; those inside it have another host."""
    return [container for container in chain if not container.is_service][:1]


def _renamed(chain: Chain, names: Mapping[Container, Container]) -> Chain:
    for container in _outermost(chain):
        at = chain.index(container)
        return (*chain[:at], names[container], *chain[at + 1 :])
    return chain


def _ask_engines(names: dict[Container, Container], root: str, uid: int) -> Sequence[str]:
    """Add the names that the engines give, and return a line for each engine that gave none."""
    silent = []
    deadline = 0.0
    places = ["run", f"run/user/{uid}"] if uid else ["run"]
    for place, (runtimes, socket) in itertools.product(places, _ENGINES):
        mine = [
            it for it, named in names.items() if it.runtime in runtimes and not _has_name(named)
        ]
        if mine:
            from pidscope.containers.docker import (  # most hosts do without
                TIMEOUT_S,
                NoAnswer,
                NoEngine,
                ask_names,
            )

            # From here: on a slow host the import takes longer than the engines may.
            deadline = deadline or time.monotonic() + TOTAL_S
            try:
                answer = ask_names(
                    f"{root}/{place}/{socket}", min(TIMEOUT_S, deadline - time.monotonic())
                )
            except NoEngine:
                continue
            except NoAnswer as reason:
                silent.append(f"/{place}/{socket}: {reason}")
                continue
            names.update({it: it._replace(name=answer.get(it.id)) for it in mine})
    return silent


def _has_name(container: Container) -> bool:
    return container.name is not None or container.pod is not None
