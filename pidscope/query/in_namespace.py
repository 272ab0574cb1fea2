"""Which events belong to a PID namespace or one inside it, by the events and the table."""

from __future__ import annotations

from pidscope import events
from pidscope.table.pid import Namespace
from pidscope.table.table import Table


class NamespaceFilter:
    """The tasks that have a number in one namespace.

    The kernel gives an inum out again at once, so the filter means the namespace that has the inum
    in ``table`` at the beginning, and follows each namespace inside it from its creation on.

    Raises:
        KeyError: no task of the table is in it.
    """

    def __init__(self, inum: int, table: Table) -> None:
        self.inum = inum
        self._ordinal = table.namespaces[inum].ordinal
        self._is_root = inum == table.root.inum
        self._inums = _inner(inum, table)
        self.is_sure = True  # no repair has left open whether it is the same one

    def ended(self, table: Table) -> bool:
        """Return whether it has no task any more."""
        return self.inum not in self._inums or self.inum not in table.namespaces

    def includes(self, event: events.Event, table: Table) -> bool:
        """Return whether the event is of such a task, and follow it; losses concern all namespaces.

        A failed fork also belongs to the namespace that its child would have joined.
        """
        if self._is_root or isinstance(event, events.Lost):
            return True
        if isinstance(event, events.Repaired):
            self._look_again(table)
            return True
        if isinstance(event, events.PidAttached) and event.birth is not None:
            return self._born(event.pid.numbers[-1], event.pid.ns, event.birth.ns_parent)
        if isinstance(event, (events.PidAllocated, events.PidFreed)):
            return event.pid.ns in self._inums
        if isinstance(event, events.NamespaceCreated):
            return self._made(event.ns, event.parent)
        if isinstance(event, events.NamespaceDying):
            return event.ns in self._inums
        if isinstance(event, events.ForkFailed) and event.children_ns in self._inums:
            return True
        return self._has(getattr(event, "tid", event.by), table)

    def _has(self, tid: int, table: Table) -> bool:
        task = table.task(tid)
        return task is not None and task.pid is not None and task.pid.ns.inum in self._inums

    def _born(self, number: int, ns: int, parent: int) -> bool:
        if number == 1:
            self._made(ns, parent)
        return ns in self._inums

    def _made(self, ns: int, parent: int) -> bool:
        """A namespace is new: the one that had its inum before has ended."""
        self._inums.discard(ns)
        if parent in self._inums:
            self._inums.add(ns)
        return ns in self._inums

    def _look_again(self, table: Table) -> None:
        """Take the namespaces that are inside now, since records are missing."""
        ns = table.namespaces.get(self.inum)
        if ns is None or self.inum not in self._inums:
            self._inums.clear()
            return
        self.is_sure = self.is_sure and ns.ordinal == self._ordinal
        self._ordinal = ns.ordinal
        self._inums = _inner(self.inum, table)


def _inner(inum: int, table: Table) -> set[int]:
    outer = table.namespaces[inum]
    return {other.inum for other in table.namespaces.values() if _is_in(other, outer)}


def _is_in(ns: Namespace, outer: Namespace) -> bool:
    return ns.at(outer.level) is outer
