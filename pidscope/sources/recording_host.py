"""Recording this host: its lives, with the containers around them, as they are called now."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pidscope import __version__
from pidscope.containers.container import Container
from pidscope.containers.names import name_containers
from pidscope.containers.rules import Rules, parse_path
from pidscope.history.recorder import Clocks, Keeper, Recorder, Runs
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import read_boot_id
from pidscope.wire.hooks import TRACEPOINT

if TYPE_CHECKING:
    from pidscope.live.life_source import LifeSource
    from pidscope.live.supply import Supply

_CANNOT = [
    "failed forks",
    "changes between birth and end",
    "numbers that a group or a session keeps",
]
_CANNOT_BY_TRACEPOINT = ["the inner numbers of a thread that called exec"]


def read_clocks() -> Clocks:
    """Return the same moment on three clocks, as near as they can be read."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    wall, monotonic = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return Clocks((before + time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 2, wall, monotonic)


@contextlib.contextmanager
def recorder(
    keeper: Keeper, way: str, threads: bool, supply: Supply, rules: Rules | None
) -> Iterator[tuple[Recorder, LifeSource]]:
    """Record this host until left; raises HostError, OSError."""
    from pidscope.live.life_source import LifeSource  # ctypes, mmap, the programs' loader

    source = LifeSource(way, threads, supply)
    try:
        names = _Names(source, rules)
        yield (
            Recorder(source, keeper, read_clocks, host_head(source.way, threads), names.more),
            source,
        )
    finally:
        source.close()


def host_head(way: str, threads: bool) -> dict[str, Any]:
    """Return what holds for every file that is recorded on this host in this boot."""
    system = os.uname()
    cannot = [*_CANNOT, *(_CANNOT_BY_TRACEPOINT if way == TRACEPOINT else [])]
    return {
        "host": system.nodename,
        "boot_id": read_boot_id(),
        "kernel": f"{system.release} {system.machine}",
        "pidscope": __version__,
        "mode": way,
        "threads": threads,
        "initial_ns": ProcFs().mount().ns,
        "cannot": cannot,
    }


class _Names:
    """The cgroups of what is recorded, and the names of the containers that they are."""

    def __init__(self, source: LifeSource, rules: Rules | None) -> None:
        self._source, self._rules = source, rules
        self._root = ProcFs().host_root()

    def more(self, runs: Runs) -> Mapping[str, Any]:
        """Return the paths of new cgroups, and the containers around them where some has a name.

        A name is of the time at which it was asked for.
        """
        paths = self._source.paths(runs)["cgroups"]
        chains = {int(number): parse_path(path, self._rules) for number, path in paths.items()}
        around = {number: chain for number, chain in chains.items() if _has_container(chain)}
        if not around:
            return {"cgroups": paths}
        named = name_containers(around, self._root, os.geteuid()).chains
        containers = {str(number): [*map(_json, chain)] for number, chain in named.items()}
        return {"cgroups": paths, "containers": containers}


def _has_container(chain: Iterable[Container]) -> bool:
    return any(not it.is_service for it in chain)


def _json(container: Container) -> dict[str, Any]:
    return {name: value for name, value in container._asdict().items() if value not in (None, "")}
