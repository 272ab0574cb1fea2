"""The containers of processes and PID namespaces, in the cells of a table. Pure.

``-`` is a claim, none; ``?`` stands where it is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from pidscope.containers.container import Container, display_name
from pidscope.query.process import Namespace, Process, escaped

_NO_OWNERS: Mapping[int, Container] = MappingProxyType({})


class ContainerCells(NamedTuple):
    """What is known of the containers on a host, to be shown beside each process."""

    owners: Mapping[int, Container] = _NO_OWNERS  # of PID namespaces, by inum
    all_known: bool = True  # what is shown in no container is in none, but for these:
    homeless: Collection[int] = ()  # processes whose container is not known, by PID
    unsure: Collection[int] = ()  # namespaces that may be of one that is not known, by inum

    def of_process(self, process: Process) -> str:
        """Return the container that it is in by its cgroup."""
        known = self.all_known and process.pid not in self.homeless
        return _called(process.container, known)

    def of_levels(self, process: Process) -> str:
        """Return the container that owns the namespace, at every level."""
        return " ".join(self._owner(level.ns) for level in process.levels)

    def of_namespace(self, namespace: Namespace) -> str:
        """Return the container that owns it, and those that share it."""
        known = self._is_known(namespace.ns) and namespace.init not in self.homeless
        shared = (_called(it, True) for it in namespace.shared)
        return " +".join((_called(namespace.container, known), *shared))

    def _owner(self, inum: int | None) -> str:
        owner = self.owners.get(inum or 0)
        return _called(None if owner is None else escaped(owner), self._is_known(inum))

    def _is_known(self, inum: int | None) -> bool:
        return self.all_known and inum is not None and inum not in self.unsure


def _called(container: Container | None, known: bool) -> str:
    if container is None:
        return "-" if known else "?"
    return display_name(container)


NONE_OWNED = ContainerCells()  # and all of it known
