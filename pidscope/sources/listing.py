"""One reading of a /proc: what a command that lists needs of it, read once into a `View`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from pidscope.containers.container import Chain
from pidscope.errors import ProcError, UsageError
from pidscope.escape import printable
from pidscope.host.proc import ProcFs
from pidscope.host.reading import read_host
from pidscope.query.view import View
from pidscope.query.where import Place, Scene, Where, bracketed, resolve, shared_by
from pidscope.render.json import envelope
from pidscope.snapshot import Mount, ProcFiles, ProcReading, Snapshot, TaskReading, Unread
from pidscope.sources.options import (
    SIMULATED,
    add_json,
    add_option,
    add_proc,
    expect_no_proc,
    procfs_of,
    scenario_of,
    stage_of,
)
from pidscope.terminal import table_width, warn

if TYPE_CHECKING:
    from pidscope.limits.bounds import Everyone, Facts
    from pidscope.query.ended import Record
    from pidscope.simulated.stage import Stage


_MAX_UNREAD = 5  # in a text


class Listed(NamedTuple):
    """A /proc that can be listed, this host's or a simulated kernel's, and what it is called."""

    proc: ProcFiles
    source: str
    mode: str
    host: str
    read_all: Callable[[bool, bool, bool], ProcReading]  # with threads, starts, cgroups
    fork_facts: Callable[[int, Everyone], Facts | None]  # what bounds the forks of a task
    record: Record | None = None  # of the tasks that ended; None: nothing was recording

    def containers(self, cgroups: Mapping[int, bytes] | None) -> Mapping[int, Chain] | None:
        """Return the containers around each process, given its cgroup by its number here.

        None: there are no cgroups to be read. Prints notes on standard error about what cannot be
        known, and about engines that did not answer with names.
        """
        if cgroups is None:
            return None
        if not self.proc.sees_cgroups_whole():
            warn("read inside a cgroup namespace: only the containers in it are known")
        from pidscope.query.namespace_owner import chains  # what names no container does without
        from pidscope.sources.own_rules import own_rules

        found = chains(cgroups, own_rules())
        if not any(found.values()):
            return found
        from pidscope.containers.names import name_containers

        mounted = self.proc.root if isinstance(self.proc, ProcFs) else None
        named = name_containers(found, self.proc.host_root(), os.geteuid(), mounted)
        for line in named.silent:
            warn(f"containers are shown by their ids: {line}")
        return named.chains

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
            notes=view.notes,
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
) -> View:
    """Read of a /proc, once, what a command needs.

    Args:
        starts: of each task; read in any case if a WHERE may name a container.
        containers: around each process; likewise.
        shows_containers: a column does, so that it is an error if there are none.
        numbers: in WHERE; threads that have one are read, too.

    Raises:
        UsageError: containers cannot be shown. AmbiguousError, NotFound: no one namespace is named.
        HostError: it cannot be read. ProcError: a file of it has not the kernel's form.
    """
    placed = any(it is not None and it.needs_containers for it in (where, to))
    reading = world.read_all(threads, starts or placed, containers or placed)
    chains = world.containers(reading.snapshot.cgroups)
    if chains is None and shows_containers:
        raise UsageError(f"-o CONTAINER: none is known to --source {world.source}")
    place, other = (_place(world, it, reading, chains) for it in (where, to))
    notes = _notes(reading.mount, place, other)
    view = View(reading, chains, place, other, notes, world.proc.start_ticks, world.record)
    snapshot = _with_threads(world.proc, view, numbers)
    notes = [*notes, *_unread(snapshot.unread)]
    return view._replace(reading=reading._replace(snapshot=snapshot), notes=notes)


def _place(
    world: Listed, where: Where | None, reading: ProcReading, containers: Mapping[int, Chain] | None
) -> Place:
    if where is None:
        return Place(reading.mount.ns)
    snapshot = reading.snapshot
    complete = reading.sees_all and all(task.ns is not None for task in snapshot.tasks)
    complete = complete and not snapshot.unread
    return resolve(where, Scene(reading.mount, world.proc.read, snapshot, containers, complete))


def _notes(mount: Mount, *places: Place) -> list[str]:
    named = dict.fromkeys(it for it in places if it.container)
    notes = [line for it in named for line in shared_by(it)]
    if mount.initial:
        return notes
    host = "not from the host" if mount.initial is False else "perhaps not from the host"
    these = "these are its PIDs, and processes outside it are not shown"
    return [f"read from {bracketed(mount.ns)}, {host}: {these}", *notes]


def _unread(unread: Sequence[Unread]) -> list[str]:
    lines = [
        f"{'missing: ' if it.what == 'task' else 'not known: the container of '}"
        f"process {it.number}: {printable(it.reason)}"
        for it in unread[:_MAX_UNREAD]
    ]
    more = len(unread) - len(lines)
    return [*lines, f"… and {more} more that cannot be read"] if more else lines


def _with_threads(proc: ProcFiles, view: View, numbers: Collection[int]) -> Snapshot:
    """Return what was read, and the threads that may have one of ``numbers``."""
    snapshot = view.reading.snapshot
    known = {it.number for it in snapshot.unread}
    found: list[TaskReading] = []
    unread = []
    for number in _threads(proc, view, numbers):
        try:
            reading = None if number in known else proc.read(number)
        except ProcError as error:
            unread.append(Unread(number, "task", str(error)))
            continue
        if reading is not None:
            found.append(reading)
    return snapshot._replace(tasks=(*snapshot.tasks, *found), unread=(*snapshot.unread, *unread))


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
    add_option(parser, "proc")


def listed(args: argparse.Namespace, recorded: bool = False) -> Listed:
    """Return what ``--source`` and ``--proc`` name; a simulated kernel at its scenario's end.

    ``recorded``: with the tasks that ended until then, where they can be had.

    Raises:
        UsageError: there is no such source. ScenarioError, HostError: it cannot be played.
    """
    scenario = scenario_of(args, "proc")
    if scenario is None:
        return listed_host(procfs_of(args))
    expect_no_proc(args)
    stage = stage_of(scenario)
    record = None
    if recorded:
        from pidscope.sources.playback import play  # a session, which /proc does without

        record = play(stage.world)
    while stage.world.step():
        pass
    return listed_stage(stage, record)


def listed_host(proc: ProcFs) -> Listed:
    """Return this host's /proc."""

    def facts(number: int, everyone: Everyone) -> Facts | None:
        from pidscope.limits.read import fork_facts  # for one command only

        return fork_facts(proc, number, everyone)

    def read_all(threads: bool, starts: bool, cgroups: bool) -> ProcReading:
        return read_host(proc, threads, starts, cgroups)

    return Listed(proc, "proc", "proc", os.uname().nodename, read_all, facts)


def listed_stage(stage: Stage, record: Record | None = None) -> Listed:
    """Return the /proc of a simulated kernel as it is now."""
    proc, name = stage.world.procfs, f"{SIMULATED}:{stage.name}"
    return Listed(proc, name, SIMULATED, SIMULATED, proc.read_all, proc.fork_facts, record)
