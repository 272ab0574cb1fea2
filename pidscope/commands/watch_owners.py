"""Whose the PID namespaces are that a watch counts, those that have ended since included.

Which container a namespace is of is told by cgroups, which are gone with the container. So it is
asked at the beginning and at the end, and in between the cgroup of each new number 1 is read when
the watch hears of its birth, its execs and its exit: a runtime moves the first process of a
container before it executes what the container is for. The namespace is that container's own
unless the number 1 around it is in the same one (then it is a sandbox made inside it), or the
container is seen to live in another namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError
from pidscope.events import Event, PidAttached, TaskExecuted, TaskExited
from pidscope.host.ticks import shown_ticks
from pidscope.query.fork_counts import MAX_ROWS, First
from pidscope.query.process import Process
from pidscope.session.session import Session
from pidscope.sources.listing import Listed

if TYPE_CHECKING:
    from pidscope.sources.watch import Host


class _Asked(NamedTuple):
    """What /proc told at one moment."""

    own: Mapping[int, Container | None]  # of every namespace that was there; None: nobody's
    around: Mapping[int, str]  # the id of the container that the number 1 of a namespace was in
    guests: frozenset[str]  # ids of the containers in a namespace that is not their own


class _Seen:
    """A new number 1."""

    def __init__(self, outer: _Seen | int) -> None:
        self.outer = outer  # that of the namespace around it, or its inum
        self.chain: Chain = ()  # the containers that it was in when last seen

    @property
    def container(self) -> Container | None:
        """The innermost one."""
        return _innermost(self.chain)


class Owners:
    """The container of each namespace, as far as anybody has seen it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._before = self._now = _Asked({}, {}, frozenset())
        self._seen: dict[First, _Seen] = {}
        self._living: dict[int, First] = {}  # by number on the host
        self._current: dict[int, First] = {}  # by inum, who has it now

    def begin(self) -> None:
        """Ask whose the namespaces are that are there."""
        self._before = self._ask()

    def see(self, event: Event, session: Session) -> None:
        """Follow the numbers 1; each event has to be shown."""
        if isinstance(event, PidAttached) and event.birth is not None:
            if event.pid.level and event.pid.numbers[-1] == 1 and len(self._seen) < MAX_ROWS:
                first = First(event.tid, event.birth.start_ns)
                self._born(first, event.pid.ns, event.birth.ns_parent)
                self._look(first, session)
        elif isinstance(event, (TaskExecuted, TaskExited)) and event.tid in self._living:
            self._look(self._living[event.tid], session)
            if isinstance(event, TaskExited):
                del self._living[event.tid]

    def _born(self, first: First, ns: int, parent: int) -> None:
        outer = self._current.get(parent)
        self._seen[first] = _Seen(parent if outer is None else self._seen[outer])
        self._living[first.number] = self._current[ns] = first

    def _look(self, first: First, session: Session) -> None:
        world, seen = session.world, self._seen[first]
        ticks = shown_ticks(first.start_ns, world.ns_per_tick, world.start_offset_ns)
        seen.chain = self._host.chain(first.number, ticks) or seen.chain

    def end(self) -> None:
        """Ask once more."""
        self._now = self._ask()

    def of(self, ns: int, first: First | None, is_current: bool) -> Container | None:
        """Return whose a namespace is, or was; None: nobody's, or not known.

        Args:
            first: its number 1, if that was born while the watch went on.
            is_current: nobody else has had its inum since.
        """
        if is_current and ns in self._now.own:
            return self._now.own[ns]
        if first is None:
            return self._before.own.get(ns)
        seen = self._seen.get(first)
        container = None if seen is None else seen.container
        if seen is None or container is None or container.id == self._around(seen):
            return None
        return None if container.id in self._before.guests | self._now.guests else container

    def _around(self, seen: _Seen) -> str | None:
        """Return the id of the container that the number 1 of the namespace around it is in."""
        if isinstance(seen.outer, int):
            return self._before.around.get(seen.outer)
        return None if seen.outer.container is None else seen.outer.container.id

    def _ask(self) -> _Asked:
        try:
            return _asked(self._host.listed())
        except HostError:  # the counts are worth more than their names
            return _Asked({}, {}, frozenset())


def _asked(listed: Listed) -> _Asked:
    snapshot = listed.proc.snapshot(threads=False, cgroups=True)
    chains = listed.containers(snapshot) or {}
    processes = listed.processes(snapshot, chains)
    own, shared = listed.homes(processes, chains)
    around = {}
    for process in processes:
        container = _innermost(chains.get(process["pid"], ()))
        if process["ns"] is not None and container is not None and _is_first(process):
            around[process["ns"]] = container.id
    return _Asked(
        {it["ns"]: own.get(it["ns"]) for it in processes if it["ns"] is not None},
        around,
        frozenset(container.id for guests in shared.values() for container in guests),
    )


def _is_first(process: Process) -> bool:
    return process["levels"][-1]["pid"] == 1


def _innermost(chain: Chain) -> Container | None:
    """Return the innermost container; a service inside it is none."""
    return next((it for it in reversed(chain) if it.id), None)
