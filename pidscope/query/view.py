"""What one command has read of a world: all that it answers comes from this. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pidscope.containers.container import Chain
from pidscope.query.place import Place
from pidscope.query.process import Process, is_complete, processes
from pidscope.snapshot import ProcReading

if TYPE_CHECKING:
    from pidscope.containers.rules import Rules
    from pidscope.containers.sources import Sources
    from pidscope.query.ended import History
    from pidscope.query.namespace_owner import Homes


class View(NamedTuple):
    """What was read, once, and what the WHEREs in it name."""

    reading: ProcReading
    containers: Mapping[int, Chain] | None  # around each process; None: not read, or not to be had
    place: Place  # what --in names; without it the mount's namespace
    to: Place  # likewise, of --to
    notes: Sequence[str]  # what a text does not show: where it was read, what shares a place
    started: Callable[[int], int | None]  # the start of a process; None: it vanished
    record: History | None = None  # of the tasks that ended; None: nothing was recording
    said: Mapping[Chain, int] = MappingProxyType({})  # the first process, by an engine's word
    sources: Mapping[Chain, Sources] = MappingProxyType({})  # of names and first processes
    rules: Rules | None = None  # those for cgroup paths that a user has added
    printed: Sequence[str] = ()  # notes that stand on standard error already
    kept_known: bool = True  # no namespace without a task was left out

    def with_notes(self, notes: Iterable[str]) -> View:
        """Return the same with more notes."""
        return self._replace(notes=[*self.notes, *notes])

    def processes(self) -> list[Process]:
        """Return the tasks that were read."""
        reading = self.reading
        return processes(
            reading.snapshot,
            boot_time=reading.boot_time,
            ticks_per_second=reading.ticks_per_second,
            start_offset_ns=reading.start_offset_ns,
            containers=self.containers,
        )

    @property
    def lacks_tasks(self) -> bool:
        """Whether a task that is listed could not be read, by any user."""
        return any(it.what == "task" for it in self.reading.snapshot.unread)

    @property
    def has_every_task(self) -> bool:
        """Whether every task of the mount was read."""
        return self.reading.sees_all and not self.lacks_tasks

    @property
    def homeless(self) -> frozenset[int]:
        """The processes whose container is not known, as their cgroup cannot be read."""
        unread = self.reading.snapshot.unread
        return frozenset(it.number for it in unread if it.what == "cgroup")

    def may_all_be_read(self, found: Iterable[Process]) -> bool:
        """Whether this user may see all processes, and where those that were found live."""
        return self.reading.sees_all and is_complete(found)

    def is_complete(self, found: Iterable[Process]) -> bool:
        """Whether no process is missing, and nothing of those that were found is unknown."""
        return self.may_all_be_read(found) and not self.lacks_tasks

    def may_hide(self, found: Iterable[Process], ns: int | None) -> bool:
        """Whether a task may have a number in a namespace that this user cannot read."""
        if not self.has_every_task:
            return True
        inner = ns != self.reading.mount.ns
        return inner and any(level.ns is None for task in found for level in task.levels)

    def homes(self, found: Iterable[Process]) -> Homes:
        """Return the containers that own the PID namespaces, and those that share them."""
        from pidscope.query.namespace_owner import Homes, homes

        chains = self.containers
        return homes(found, chains, self.started, self.said) if chains else Homes({}, {})

    def unsure(self, found: Iterable[Process], homes: Homes) -> frozenset[int]:
        """Return the PID namespaces that may be of a container that is not known, by inum.

        Those of a container whose namespace is disputed, and those whose number 1 is in no cgroup
        that could be read, or in one without a name.
        """
        chains = self.containers or {}
        nameless = (it.ns for it in found if it.is_first_inside and not chains.get(it.pid))
        return homes.disputed | {ns for ns in nameless if ns is not None}
