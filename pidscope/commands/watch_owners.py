"""The containers that own the PID namespaces a watch counts, ended namespaces included.

Cgroups show which container a namespace belongs to, and they vanish with the container. So watch
reads them at the beginning and at the end, and in between it reads the cgroup of each new number 1
at its birth, its execs and its exit: a runtime moves the first process of a container before that
process executes the container's program. The name is asked for while the container runs. The
namespace belongs to that container, with two exceptions: the number 1 around it is in the same
container (then it is a sandbox made inside), or the container lives in another namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError
from pidscope.escape import unescape_status_name
from pidscope.events import Event, PidAttached, TaskExecuted, TaskExited
from pidscope.host.ticks import shown_ticks
from pidscope.query.fork_counts import MAX_ROWS, First
from pidscope.query.process import Process
from pidscope.session.session import Session
from pidscope.sources.listed import Listed
from pidscope.sources.listing import read

if TYPE_CHECKING:
    from pidscope.commands.watch_names import ContainerNames
    from pidscope.sources.watch import Host


class StartTimes(Protocol):
    """How /proc shows the start of a task (`pidscope.host.ticks`)."""

    @property
    def ns_per_tick(self) -> int:
        """1e9 / USER_HZ."""

    @property
    def start_offset_ns(self) -> int:
        """What /proc adds to each start for this reader."""


class _Reading(NamedTuple):
    """What /proc showed at one moment."""

    own: Mapping[int, Container | None]  # of every namespace that was there; None: no container
    around: Mapping[int, str]  # the id of the container that the number 1 of a namespace was in
    guests: frozenset[str]  # ids of the containers in a namespace that is not their own
    comms: Mapping[int, bytes]  # of each number 1, by its number on the host


_UNREAD = _Reading({}, {}, frozenset(), {})


class _Init:
    """A new number 1."""

    def __init__(self, outer: _Init | int) -> None:
        self.outer = outer  # that of the namespace around it, or its inum
        self.chain: Chain = ()  # the containers that it was in when last read

    @property
    def container(self) -> Container | None:
        """The innermost one."""
        return _innermost(self.chain)


class NamespaceOwners:
    """The container of each namespace, as far as a reading showed it."""

    def __init__(self, host: Host, names: ContainerNames | None = None) -> None:
        self._host = host
        self._names = names
        self._before = self._now = _UNREAD
        self._inits: dict[First, _Init] = {}
        self._living: dict[int, First] = {}  # by number on the host
        self._current: dict[int, First] = {}  # by inum, who has it now

    def begin(self) -> None:
        """Read the owners of the namespaces that are there."""
        self._before = self._read()

    @property
    def comms(self) -> Mapping[int, bytes]:
        """The comm of each number 1 that was there at the beginning, by its number on the host."""
        return self._before.comms

    def observe(self, event: Event, session: Session) -> None:
        """Follow the numbers 1; every event has to come here."""
        if isinstance(event, PidAttached) and event.birth is not None:
            if event.pid.level and event.pid.numbers[-1] == 1:
                first = First(event.tid, event.birth.start_ns)
                self.born(first, event.pid.ns, event.birth.ns_parent, session.world)
        elif isinstance(event, TaskExecuted):
            self.acted(event.tid, session.world)
        elif isinstance(event, TaskExited):
            self.acted(event.tid, session.world, ended=True)

    def born(self, first: First, ns: int, ns_parent: int, starts: StartTimes) -> None:
        """Follow a new number 1, inside the namespace ``ns_parent``."""
        if len(self._inits) < MAX_ROWS:
            self._born(first, ns, ns_parent)
            self._look(first, starts)

    def acted(self, number: int, starts: StartTimes, ended: bool = False) -> None:
        """Look again at what may be a number 1, which has executed a program, or exits."""
        if number in self._living:
            self._look(self._living[number], starts)
            if ended:
                del self._living[number]

    def _born(self, first: First, ns: int, parent: int) -> None:
        outer = self._current.get(parent)
        self._inits[first] = _Init(parent if outer is None else self._inits[outer])
        self._living[first.number] = self._current[ns] = first

    def _look(self, first: First, starts: StartTimes) -> None:
        init = self._inits[first]
        ticks = shown_ticks(first.start_ns, starts.ns_per_tick, starts.start_offset_ns)
        init.chain = self._host.chain(first.number, ticks) or init.chain
        if self._names is not None:
            self._names.want(init.chain)

    def end(self) -> None:
        """Read the owners once more."""
        self._now = self._read()
        if self._names is not None:
            self._names.stop()

    def of(self, ns: int, first: First | None, is_current: bool) -> Container | None:
        """Return the container that owns, or owned, a namespace; None: no container, or not known.

        Args:
            first: its number 1, if that was born while the watch went on.
            is_current: no other namespace has had its inum since.
        """
        if is_current and ns in self._now.own:
            return self._now.own[ns]
        if first is None:
            return self._before.own.get(ns)
        init = self._inits.get(first)
        container = None if init is None else init.container
        if init is None or container is None or container.id == self._around(init):
            return None
        if container.id in self._before.guests | self._now.guests:
            return None
        return container if self._names is None else _innermost(self._names.of(init.chain))

    def _around(self, init: _Init) -> str | None:
        """Return the id of the container that the number 1 of the namespace around it is in."""
        if isinstance(init.outer, int):
            return self._before.around.get(init.outer)
        return None if init.outer.container is None else init.outer.container.id

    def _read(self) -> _Reading:
        try:
            return _reading(self._host.listed())
        except HostError:  # the counts are worth more than their names
            return _UNREAD


def _reading(listed: Listed) -> _Reading:
    view = read(listed, threads=False, starts=True, containers=True)
    chains, processes = view.containers or {}, view.processes()
    own, shared, _ = view.homes(processes)
    around = {}
    for process in processes:
        container = _innermost(chains.get(process.pid, ()))
        if process.ns is not None and container is not None and _is_first(process):
            around[process.ns] = container.id
    return _Reading(
        {it.ns: own.get(it.ns) for it in processes if it.ns is not None},
        around,
        frozenset(container.id for guests in shared.values() for container in guests),
        {
            it.number: unescape_status_name(it.status.name)
            for it in view.reading.snapshot.tasks
            if it.status.ns_pid[-1] == 1
        },
    )


def _is_first(process: Process) -> bool:
    return process.levels[-1].pid == 1


def _innermost(chain: Chain) -> Container | None:
    """Return the innermost container; a service inside it is none."""
    return next((it for it in reversed(chain) if it.id), None)
