"""One reading of a /proc: what a command that lists needs of it, read once into a `View`."""

from __future__ import annotations

import argparse
import contextlib
import enum
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.errors import HostError, UsageError
from pidscope.escape import printable
from pidscope.host.proc import ProcFs
from pidscope.host.reading import read_host
from pidscope.query.place import Place, bracketed
from pidscope.query.view import View
from pidscope.render.container_cells import ContainerCells
from pidscope.render.json import envelope
from pidscope.snapshot import Mount, ProcFiles, ProcReading, Snapshot, Unread, read_each
from pidscope.sources.options import (
    SIMULATED,
    add_json,
    add_proc,
    expect_no_proc,
    procfs_of,
    scenario_of,
    stage_of,
)
from pidscope.terminal import table_width, warn

if TYPE_CHECKING:
    from pidscope.containers.names import Named
    from pidscope.containers.rules import Rules
    from pidscope.containers.sources import Sources
    from pidscope.limits.bounds import Everyone, Facts
    from pidscope.query.ended import Record
    from pidscope.query.namespace_owner import Homes
    from pidscope.query.process import Process
    from pidscope.query.words import Where
    from pidscope.simulated.stage import Stage


_MAX_UNREAD = 5  # in a text
_IN_CGROUP_NS = "read inside a cgroup namespace: only the containers in it are known"
# From about here on a walk of the kernel, with what has to be imported for it, takes less time than
# the files do.
_MANY_PROCESSES = 1000


class Kept(enum.Enum):
    """Which of the namespaces in which no task lives are looked for."""

    IF_NAMED = "if named"
    FEW = "few"  # as far as it costs little
    ALL = "all"


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
    record: Record | None = None  # of the tasks that ended; None: nothing was recording

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


def read(
    world: Listed,
    *,
    threads: bool = True,
    starts: bool = False,
    containers: bool = False,
    shows_containers: bool = False,
    where: Where | None = None,
    to: Where | None = None,
    numbers: Collection[int] = (),
    kept: Kept = Kept.IF_NAMED,
) -> View:
    """Read of a /proc, once, what a command needs.

    Args:
        starts: of each task; read in any case if a WHERE may name a container.
        containers: around each process; likewise.
        shows_containers: a column does, so that it is an error if there are none.
        numbers: in WHERE; threads that have one are read, too.
        kept: whether to look for namespaces in which no task lives.

    Raises:
        UsageError: containers cannot be shown. AmbiguousError, NotFound: no one namespace is named.
        HostError: it cannot be read. ProcError: a file of it has not the kernel's form.
    """
    places = [it for it in (where, to) if it is not None]
    starts = starts or any(it.needs_containers for it in places)
    containers = containers or any(it.may_name_container for it in places)
    reading = world.read_all(threads, starts, containers)
    reading, kept_known = _with_kept(world, reading, kept, where, to)
    around = world.containers(reading.snapshot.cgroups)
    if around.chains is None and shows_containers:
        raise UsageError(f"-o CONTAINER: none is known to --source {world.source}")
    around = world.unknown(reading, around)
    place, other = (_place(world, it, reading, around) for it in (where, to))
    view = _viewed(world, reading, around, place, other)._replace(kept_known=kept_known)
    return _with_threads(world.proc, view, numbers)


def _viewed(
    world: Listed, reading: ProcReading, around: Around, place: Place, other: Place
) -> View:
    return View(
        reading,
        around.chains,
        place,
        other,
        _notes(reading.mount, place, other),
        world.proc.start_ticks,
        world.record,
        around.said,
        sources=around.sources,
        rules=around.rules,
        printed=around.notes,
    )


def _with_kept(
    world: Listed, reading: ProcReading, kept: Kept, *wheres: Where | None
) -> tuple[ProcReading, bool]:
    """Return the reading with the namespaces in which no task lives, and whether all were found.

    Looked for in any case if a WHERE may be the inum of one.
    """
    known = {it for it in (reading.mount.ns, *reading.snapshot.ns_parents) if it is not None}
    named = any(it is not None and it.inum not in (None, *known) for it in wheres)
    if kept is Kept.IF_NAMED and not named:
        return reading, True
    found = world.proc.kept(known, whole=named or kept is Kept.ALL)
    ns_parents = {**reading.snapshot.ns_parents, **found.parents}
    snapshot = reading.snapshot._replace(ns_parents=ns_parents)
    return reading._replace(snapshot=snapshot), found.all_seen


def _place(
    world: Listed,
    where: Where | None,
    reading: ProcReading,
    around: Around,
) -> Place:
    if where is None:
        return Place(reading.mount.ns)
    from pidscope.query.where import Scene, resolve  # what names no place does without

    snapshot = reading.snapshot
    complete = reading.sees_all and all(task.ns is not None for task in snapshot.tasks)
    complete = complete and not snapshot.unread
    proc = world.proc
    scene = Scene(reading.mount, proc.read, snapshot, around.chains, complete, around.said)
    scene = scene._replace(stopped=world.stopped, started=proc.start_ticks)
    return resolve(where, scene)


def _notes(mount: Mount, *places: Place) -> list[str]:
    named = dict.fromkeys(it for it in places if it.container)
    notes = [line for it in named for line in _about(it)]
    if mount.initial:
        return notes
    host = "not from the host" if mount.initial is False else "perhaps not from the host"
    these = "these are its PIDs, and processes outside it are not shown"
    return [f"read from {bracketed(mount.ns)}, {host}: {these}", *notes]


def _about(place: Place) -> list[str]:
    """Return what to know about a container that was named."""
    from pidscope.query.where import shared_by, users_of

    return [*users_of(place), *shared_by(place)]


def _unread(unread: Sequence[Unread]) -> list[str]:
    lines = [
        f"{'missing: ' if it.what == 'task' else 'not known: the container of '}"
        f"process {it.number}: {printable(it.reason)}"
        for it in unread[:_MAX_UNREAD]
    ]
    more = len(unread) - len(lines)
    return [*lines, f"… and {more} more that cannot be read"] if more else lines


def _with_threads(proc: ProcFiles, view: View, numbers: Collection[int]) -> View:
    """Return what was read, with the threads that may have one of ``numbers``, and its notes."""
    snapshot = view.reading.snapshot
    known = {it.number for it in snapshot.unread}
    unread: list[Unread] = []
    wanted = (it for it in _threads(proc, view, numbers) if it not in known)
    found = list(read_each(proc, wanted, proc.read, unread))
    snapshot = snapshot._replace(
        tasks=(*snapshot.tasks, *found), unread=(*snapshot.unread, *unread)
    )
    notes = [*view.notes, *_unread(snapshot.unread)]
    return view._replace(reading=view.reading._replace(snapshot=snapshot), notes=notes)


def _threads(proc: ProcFiles, view: View, numbers: Collection[int]) -> Iterable[int]:
    """Return the threads that may have one of ``numbers``, where no process has it."""
    reading, ns = view.reading, view.place.ns
    wanted: Iterable[int] = ()
    if ns == reading.mount.ns:  # its numbers are the names of files
        wanted = sorted({*numbers}.difference(task.number for task in reading.snapshot.tasks))
    elif numbers:
        levels = [(it.pid, level) for it in view.processes() for level in it.levels]
        inside = {level.pid: pid for pid, level in levels if level.ns == ns}
        if not inside.keys() >= {*numbers}:
            wanted = (tid for pid in inside.values() for tid in proc.threads(pid) if tid != pid)
    return wanted


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what lsns has, and what to read."""
    add_json(parser)
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("-o", "--output", metavar="COLUMNS", help="these columns, uncut")
    add_source(parser)


def expect_one_form(args: argparse.Namespace) -> None:
    """Raise UsageError for options of `add_options` that would be ignored."""
    options = ("-q", getattr(args, "quiet", False)), ("-J", args.json)
    given = [option for option, it in options if it]
    if args.output is not None:
        given.append("-o")
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} do not go together")


def width_of(args: argparse.Namespace) -> int | None:
    """Return the width of a table, or None: columns that were asked for, or no terminal."""
    return table_width() if args.output is None else None


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``--proc`` and ``--source``, for what reads a /proc."""
    add_proc(parser)
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="proc, live (by a task iterator, as root) or simulated[:SCENARIO]; default: live "
        "among many processes if its program is kept, else proc",
    )


def listed(args: argparse.Namespace, recorded: bool = False) -> Listed:
    """Return what ``--source`` and ``--proc`` name; a simulated kernel at its scenario's end.

    Without ``--source``, live if that is possible and worth while. ``recorded``: with the tasks
    that ended until then, where they can be had.

    Raises:
        UsageError: there is no such source. ScenarioError, HostError: it cannot be played, or not
            be read live.
    """
    scenario = scenario_of(args, "proc", "live")
    if scenario is None:
        proc = procfs_of(args)
        if args.source == "live":
            return listed_live(proc)
        may_be_live = args.source is None and args.proc is None and os.geteuid() == 0
        if may_be_live and proc.process_count() >= _MANY_PROCESSES:
            with contextlib.suppress(HostError):
                return listed_live(proc)
        return listed_host(proc)
    expect_no_proc(args)
    stage = stage_of(scenario)
    record = None
    if recorded:
        from pidscope.sources.playback import play  # a session, which /proc does without

        record = play(stage.world)
    while stage.world.step():
        pass
    return listed_stage(stage, record)


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


def listed_stage(stage: Stage, record: Record | None = None) -> Listed:
    """Return the /proc of a simulated kernel as it is now."""
    proc, name = stage.world.procfs, f"{SIMULATED}:{stage.name}"
    return Listed(proc, name, SIMULATED, SIMULATED, proc.read_all, proc.fork_facts, record)
