"""Which events belong to one process and its descendants, decided from the events alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pidscope import events


class TreeFilter:
    """The tasks that descend from ``root`` by fork, threads included.

    A number belongs to the tree from its allocation by a task of the tree until it is free: what
    happens to a struct pid after the release still belongs.

    Args:
        root: a process, by its number in the initial namespace.
        tids: the tasks of the tree that exist already.
    """

    def __init__(self, root: int, tids: Iterable[int] = ()) -> None:
        self.root = root
        self._tids = {root, *tids}

    def includes(self, event: events.Event) -> bool:
        """Return whether the event is of the tree, and follow it; losses concern all trees."""
        if isinstance(event, (events.Lost, events.Repaired)):
            return True
        if isinstance(event, events.PidAttached) and event.birth is not None:
            return self._made(event.tid, event.by)
        if isinstance(event, events.PidAllocated):  # a failed fork frees it without a birth
            return self._made(event.pid.nr, event.by)
        if isinstance(
            event,
            (events.PidRefused, events.ForkFailed, events.NamespaceCreated, events.NamespaceDying),
        ):
            return event.by in self._tids
        if isinstance(event, events.PidFreed):
            return self._freed(event.pid.nr)
        return event.tid in self._tids

    def _freed(self, nr: int) -> bool:
        known = nr in self._tids
        self._tids.discard(nr)
        return known

    def _made(self, nr: int, by: int) -> bool:
        if nr == self.root or by in self._tids:
            self._tids.add(nr)
            return True
        self._tids.discard(nr)
        return False


def descendants(root: int, parents: Mapping[int, int]) -> set[int]:
    """Return ``root`` and its descendants among the living processes, given their parents.

    A process whose parent has ended has another parent now, and is not among them.
    """
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found, ahead = {root}, [root]
    while ahead:
        new = [child for child in children.get(ahead.pop(), ()) if child not in found]
        found.update(new)
        ahead += new
    return found


COUNTS = (
    "births",
    "processes",
    "threads",
    "releases",
    "change_pid",
    "exchange_tids",
    "transfer_pid",
    "failed_forks",
    "namespaces",
)
_COUNTED: Mapping[type, str] = {
    events.TidsExchanged: "exchange_tids",
    events.PidTransferred: "transfer_pid",
    events.NamespaceCreated: "namespaces",
}


class TreeCounts:
    """Counts what the descendants of one process did, without its own birth and release."""

    def __init__(self, root: int) -> None:
        self._tree = TreeFilter(root)
        self._counts: Counter[str] = Counter()

    def add(self, event: events.Event) -> None:
        """Count the event if it is of the tree."""
        if not self._tree.includes(event):
            return
        if isinstance(event, events.PidAttached) and event.birth is not None:
            if event.tid != self._tree.root:
                self._counts["births"] += 1
                leader = event.birth.tgid == event.tid
                self._counts["processes" if leader else "threads"] += 1
        elif isinstance(event, events.PidAttached):
            self._counts["change_pid"] += 1
        elif isinstance(event, events.PidDetached):
            self._counts["releases"] += event.tid != self._tree.root
        elif isinstance(event, events.ForkFailed):
            self._counts["failed_forks"] += not event.is_restarted
        elif type(event) in _COUNTED:
            self._counts[_COUNTED[type(event)]] += 1

    def result(self) -> dict[str, int]:
        """Every count, in a fixed order, zeros included."""
        return {name: self._counts[name] for name in COUNTS}
