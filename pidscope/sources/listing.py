"""One reading of a /proc: what a command that lists needs of it, read once into a `View`."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.query.place import Place, bracketed
from pidscope.query.view import View
from pidscope.snapshot import Mount, ProcFiles, ProcReading, Unread, read_each
from pidscope.sources.listed import Around, Listed

if TYPE_CHECKING:
    from pidscope.query.words import Where


_MAX_UNREAD = 5  # in a text


class Kept(enum.Enum):
    """Which of the namespaces in which no task lives are looked for."""

    IF_NAMED = "if named"
    FEW = "few"  # as far as it costs little
    ALL = "all"


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
