"""The engines of a host, and which of its containers each may speak of.

Root's engines speak of root's containers, a user's engine of that user's own alone: it could give
any name to any container. Each has its time, and so have all together.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Callable, NamedTuple

from pidscope.containers import docker
from pidscope.containers.container import Container
from pidscope.containers.docker import TIMEOUT_S, Engine, NoAnswer, NoEngine
from pidscope.containers.user_socket import opened

TOTAL_S = 0.25
# The runtime of an engine's containers, and where below /run its socket is. An id without a runtime
# in the cgroup's name is of Docker under another parent.
_SOCKETS = (
    (frozenset({"docker", "oci"}), "docker.sock"),
    (frozenset({"podman"}), "podman/podman.sock"),
)


class Said(NamedTuple):
    """What the engines answered: containers with names, first processes, and who was silent.

    ``sockets``: of the engine that was asked for a container, and answered.
    """

    names: dict[Container, Container]
    pids: dict[Container, int]
    silent: list[str]
    sockets: dict[Container, str]


def ask(
    containers: Collection[Container], root: str, uid: int, pids: Mapping[Container, int]
) -> Said:
    """Ask for the names of containers, as user ``uid``, below the host's root directory.

    Root asks all engines, a user root's and its own. ``pids``: the first processes that are known.
    """
    said = Said({}, dict(pids), [], {})
    # From here: on a slow host the import takes longer than the engines may.
    deadline = time.monotonic() + TOTAL_S
    users = sorted({it.uid for it in containers if it.uid is not None and uid in (0, it.uid)})
    owners: list[int | None] = [None, *users]
    for owner in owners:
        if owners.index(owner) == 1:
            deadline = time.monotonic() + TOTAL_S  # users' engines take no time from root's
        for runtimes, socket in _SOCKETS:
            mine = [it for it in containers if it.uid == owner and it.runtime in runtimes]
            if mine:
                _ask_one(said, mine, _Place(root, owner, socket), deadline)
    return said


class _Place(NamedTuple):
    root: str
    uid: int | None  # whose engine; None: root's
    socket: str

    @property
    def path(self) -> str:
        return f"/run/{self.socket}" if self.uid is None else f"/run/user/{self.uid}/{self.socket}"

    def engine(self) -> AbstractContextManager[Engine | str]:
        """Return where to connect; raises NoAnswer."""
        if self.uid is None:
            return nullcontext(self.root + self.path)
        return opened(self.root, self.path, self.uid)


def _ask_one(said: Said, mine: list[Container], place: _Place, deadline: float) -> None:
    """Add what an engine says of its containers."""

    def left() -> float:
        return min(TIMEOUT_S, deadline - time.monotonic())

    try:
        with place.engine() as engine:
            names = docker.ask_names(engine, left())
            said.names.update({it: it._replace(name=names.get(it.id)) for it in mine})
            said.sockets.update(dict.fromkeys(mine, place.path))
            if place.uid is None:
                asked = [it for it in mine if it.id in names and it not in said.pids]
                said.pids.update(_first_processes(asked, engine, left))
            if any(it.pod_uid is not None and it.runtime == "podman" for it in mine):
                pods = docker.ask_pods(engine, left())
                named = {it: said.names[it]._replace(pod=pods.get(it.id)) for it in mine}
                said.names.update(named)
    except NoEngine:
        pass
    except NoAnswer as reason:
        if not any(it in said.names for it in mine):
            said.silent.append(f"{place.path}: {reason}")


def _first_processes(
    mine: Iterable[Container], engine: Engine | str, left: Callable[[], float]
) -> Iterator[tuple[Container, int]]:
    """Yield the first process of each container, as long as there is time."""
    for container in mine:
        try:
            pid = docker.ask_pid(engine, container.id, left())
        except NoAnswer:
            return
        if pid is not None:
            yield container, pid


def stopped(root: str, uid: int) -> list[Container]:
    """Return the containers that engines know and that do not run; asks as `ask` does.

    For a question that nothing that runs answers: the engines of root, and of a user that asks.
    """
    found = []
    deadline = time.monotonic() + TOTAL_S
    for owner in (None, uid) if uid else (None,):
        for runtimes, socket in _SOCKETS:
            place = _Place(root, owner, socket)
            try:
                with place.engine() as engine:
                    left = min(TIMEOUT_S, deadline - time.monotonic())
                    names = docker.ask_stopped(engine, left)
            except NoAnswer:
                continue
            runtime = min(runtimes)  # docker rather than oci
            found += [Container(runtime, it, name, uid=owner) for it, name in names.items()]
    return found
