"""What ``--source`` and ``--proc`` name, for commands that list: a host, or a simulated kernel."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError
from pidscope.host.proc import ProcFs
from pidscope.host.reading import read_host
from pidscope.query.view import View
from pidscope.render.container_cells import ContainerCells
from pidscope.render.json import envelope
from pidscope.snapshot import ProcFiles, ProcReading, Snapshot
from pidscope.sources.options import (
    RING,
    SIMULATED,
    expect_no_proc,
    is_recording,
    procfs_of,
    scenario_of,
    stage_of,
)
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.containers.names import Named
    from pidscope.containers.rules import Rules
    from pidscope.containers.sources import Sources
    from pidscope.limits.bounds import Everyone, Facts
    from pidscope.query.ended import History
    from pidscope.query.namespace_owner import Homes
    from pidscope.query.process import Process
    from pidscope.simulated.stage import Stage


_IN_CGROUP_NS = "read inside a cgroup namespace: only the containers in it are known"
# From about here on a walk of the kernel, with what has to be imported for it, takes less time than
# the files do.
_MANY_PROCESSES = 1000


class Around(NamedTuple):
    """The containers around each process, and what is known of them."""

    chains: Mapping[int, Chain] | None  # None: there are no cgroups to be read
    said: Mapping[Chain, int] = MappingProxyType({})  # the first process, by an engine's word
    sources: Mapping[Chain, Sources] = MappingProxyType({})
    rules: Rules | None = None  # those that a user has added
    notes: Sequence[str] = ()  # printed on standard error

    def with_names(self, named: Named) -> Around:
        """Return the same with what was found of names and first processes."""
        said, sources = {**self.said, **named.said}, {**self.sources, **named.sources}
        return self._replace(chains=named.chains, said=said, sources=sources)


class Listed(NamedTuple):
    """A /proc that can be listed, this host's or a simulated kernel's, and what it is called."""

    proc: ProcFiles
    source: str
    mode: str
    host: str
    read_all: Callable[[bool, bool, bool], ProcReading]  # with threads, starts, cgroups
    fork_facts: Callable[[int, Everyone], Facts | None]  # what bounds the forks of a task
    record: History | None = None  # of the tasks that ended; None: nothing was recording

    def containers(self, cgroups: Mapping[int, bytes] | None) -> Around:
        """Return the containers around each process, given its cgroup by its number here.

        Prints notes on standard error about what cannot be known, and about engines that did not
        answer with names.
        """
        if cgroups is None:
            return Around(None)
        from pidscope.query.namespace_owner import chains  # what names no container does without
        from pidscope.sources.own_rules import own_rules

        rules, notes = own_rules()
        if not self.proc.sees_cgroups_whole():
            notes = [_IN_CGROUP_NS, *notes]
        known = chains(cgroups, rules)
        around = Around(known, rules=rules, notes=notes)
        if any(known.values()):
            from pidscope.containers.names import name_containers

            mounted = self.proc.root if isinstance(self.proc, ProcFs) else None
            named = name_containers(known, self.proc.host_root(), os.geteuid(), mounted)
            silent = (f"containers are shown by their ids: {line}" for line in named.silent)
            around = around.with_names(named)._replace(notes=[*around.notes, *silent])
        for note in around.notes:
            warn(note)
        return around

    def unknown(self, reading: ProcReading, around: Around) -> Around:
        """Add the containers whose cgroups no rule knows, as a number 1 or a runtime's state shows.

        The states of runc and crun are files for root, and name some of them.
        """
        if around.chains is None:
            return around
        known, firsts = around.chains, self._stated(around.chains)
        inner = (it.status.ns_pid for it in reading.snapshot.tasks)
        chains = known
        if any(len(it) > 1 and it[-1] == 1 for it in inner):
            from pidscope.query.unknown_runtimes import with_unknown  # most hosts do without

            chains = with_unknown(reading.snapshot, known, self.proc.sees_cgroups_whole())
        if firsts:
            from pidscope.query.stated import with_stated  # likewise

            chains = with_stated(reading.snapshot.cgroups or {}, chains, firsts)
        around = around._replace(chains=chains)
        if chains is known or self.mode == SIMULATED or os.geteuid() != 0:
            return around
        from pidscope.containers.names import name_unknown

        return around.with_names(name_unknown(chains, self.proc.host_root(), self.proc.start_ticks))

    def _stated(self, chains: Mapping[int, Chain]) -> Mapping[int, Collection[str]]:
        """Return the first processes of containers that runc and crun know, with their cgroups."""
        if self.mode == SIMULATED or os.geteuid() != 0:
            return {}
        root = self.proc.host_root()
        if not any(map(os.path.exists, (f"{root}/run/runc", f"{root}/run/crun"))):
            return {}
        from pidscope.containers.states import States  # most hosts do without

        ids = {it.id for chain in set(chains.values()) for it in chain}
        inits = States(root).inits(ids)
        start_of = self.proc.start_ticks
        return {
            pid: it.cgroups for pid, it in inits.items() if pid in chains
            if start_of(pid) == it.start_ticks
        }  # fmt: skip

    def stopped(self) -> Sequence[Container]:
        """Return the containers that engines know and that do not run."""
        from pidscope.containers.engines import stopped  # for what nothing that runs is called

        return stopped(self.proc.host_root(), os.geteuid()) if self.mode != SIMULATED else ()

    def knows_containers(self, view: View, found: Iterable[Process], homes: Homes) -> bool:
        """Return whether a container that is null in a document is none; ``found``: all tasks."""
        unsure = view.homeless or view.unsure(found, homes)
        return self.proc.sees_cgroups_whole() and not unsure

    def container_cells(
        self, view: View, found: Iterable[Process], homes: Homes | None
    ) -> ContainerCells:
        """Return what a table shows of containers; ``homes`` None: of no namespace."""
        known = self.proc.sees_cgroups_whole()
        if homes is None:
            return ContainerCells(all_known=known, homeless=view.homeless)
        return ContainerCells(homes.own, known, view.homeless, view.unsure(found, homes))

    def print_document(
        self,
        view: View,
        name: str,
        items: Sequence[Mapping[str, Any]],
        complete: bool,
        **more: Any,
    ) -> None:
        """Print the document whose list ``name`` holds ``items``, and ``more`` beside it."""
        import json  # takes a while to import, and a table does without

        document = envelope(
            name,
            items,
            source=self.source,
            mode=self.mode,
            host=self.host,
            boot_id=self.proc.boot_id(),
            complete=complete,
            mount=view.reading.mount,
            notes=[*view.printed, *view.notes],
            unread=view.reading.snapshot.unread,
        )
        print(json.dumps({**document, **more}))


def listed(args: argparse.Namespace, recorded: bool = False) -> Listed:
    """Return what ``--source`` and ``--proc`` name; a simulated kernel at its scenario's end.

    Without ``--source``, live if that is possible and worth while. ``recorded``: with the tasks
    that ended until then, where they can be had.

    Raises:
        UsageError: there is no such source. ScenarioError, HostError: it cannot be played, or not
            be read live. NotKnown, RecordingError: of a recording, that is not there.
    """
    if is_recording(args.source):
        from pidscope.sources.played_back import expect_alone, played_listing  # hardly ever

        expect_alone(args)
        return played_listing(args.source, recorded)
    scenario = scenario_of(args, "proc", "live")
    if scenario is None:
        proc = procfs_of(args)
        history = _recorded() if recorded and args.proc is None else None
        return _listed_here(args, proc)._replace(record=history)
    expect_no_proc(args)
    stage = stage_of(scenario)
    record = None
    if recorded:
        from pidscope.sources.playback import play  # a session, which /proc does without

        record = play(stage.world)
    while stage.world.step():
        pass
    return listed_stage(stage, record)


def _recorded() -> History | None:
    """Return the ring of this host, if it has one that this user may read."""
    if not os.access(RING, os.R_OK | os.X_OK):
        return None
    from pidscope.sources.ring_record import RingRecord  # most hosts do without

    return RingRecord(RING)


def _listed_here(args: argparse.Namespace, proc: ProcFs) -> Listed:
    if args.source == "live":
        return listed_live(proc)
    may_be_live = args.source is None and args.proc is None and os.geteuid() == 0
    if may_be_live and proc.process_count() >= _MANY_PROCESSES:
        with contextlib.suppress(HostError):
            return listed_live(proc)
    return listed_host(proc)


def listed_live(proc: ProcFs) -> Listed:
    """Return this host's tasks, to be read by the task iterator; raises HostError."""
    from pidscope.live.kept_programs import kept_programs  # root's alone
    from pidscope.live.listing import TaskListing, kept_listing

    iterator = kept_listing(kept_programs())
    return listed_host(proc, TaskListing(iterator.read_bytes, proc).snapshot)


def listed_host(
    proc: ProcFs, snapshot: Callable[[bool, bool, bool], Snapshot] | None = None
) -> Listed:
    """Return this host's /proc; ``snapshot`` reads it in another way, live."""

    def facts(number: int, everyone: Everyone) -> Facts | None:
        from pidscope.limits.read import fork_facts  # for one command only

        return fork_facts(proc, number, everyone)

    def read_all(threads: bool, starts: bool, cgroups: bool) -> ProcReading:
        return read_host(proc, threads, starts, cgroups, snapshot=snapshot)

    named = ("proc", "proc") if snapshot is None else ("live", "iterator")
    return Listed(proc, *named, os.uname().nodename, read_all, facts)


def listed_stage(stage: Stage, record: History | None = None) -> Listed:
    """Return the /proc of a simulated kernel as it is now."""
    proc, name = stage.world.procfs, f"{SIMULATED}:{stage.name}"
    return Listed(proc, name, SIMULATED, SIMULATED, proc.read_all, proc.fork_facts, record)
