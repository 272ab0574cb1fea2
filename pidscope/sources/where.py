"""``--in WHERE``: the namespace that it names in the world that a command lists."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping

from pidscope.containers.container import Chain
from pidscope.errors import UsageError
from pidscope.query.process import Process
from pidscope.query.where import Place, Scene, Where, bracketed, describe, parse_where, resolve
from pidscope.render import tables as views
from pidscope.snapshot import Snapshot
from pidscope.sources.listing import Listed
from pidscope.terminal import warn

EXPLAINED = """\
WHERE names a PID namespace:
  host, self       the initial one; pidscope's own
  pid:N            that of process N, as this /proc numbers it
  ns:INUM          by its inum; pid:[INUM], as /proc prints it, is the same
  id:HEX, name:X   that of a container, by its id (the first digits of it will
                   do) or its name
  pod:NS/POD[/CONTAINER], service:UNIT
                   that of a Kubernetes pod, or of a service of systemd
A word without a prefix is tried as each; if it is several, they are listed. A
container means the namespace of its first process; who shares it is said.
"""


ROOT = "run as root to see all"
_SHORT = "host, self, pid:N, ns:INUM, or a container: id:HEX, name:X, pod:NS/POD, service:UNIT"


def add_in(parser: argparse.ArgumentParser) -> None:
    """Add ``--in``; the argument is a `Where`, None if it is not given."""
    parser.add_argument("--in", dest="where", metavar="WHERE", type=parse_where, help=_SHORT)


def wants_containers(json: bool, columns: Iterable[str], *places: Where | None) -> bool:
    """Tell whether an answer needs cgroups: to show containers, or to know whom a WHERE names."""
    shown = json or not views.CONTAINERS.isdisjoint(columns)
    return shown or any(where is not None and where.needs_containers for where in places)


def containers_of(
    world: Listed, snapshot: Snapshot, columns: Iterable[str]
) -> Mapping[int, Chain] | None:
    """Return the containers around each process; None: they cannot be told, or nobody asked.

    Raises UsageError if a column is to show them, but they cannot be told.
    """
    containers = world.containers(snapshot)
    if containers is None and not views.CONTAINERS.isdisjoint(columns):
        raise UsageError(f"-o CONTAINER: none is known to --source {world.source}")
    return containers


def place_of(
    where: Where, world: Listed, snapshot: Snapshot, containers: Mapping[int, Chain] | None
) -> Place:
    """Return the namespace that ``where`` names; raise as `pidscope.query.where.resolve` does.

    If ``where`` may name a container, ``containers`` are wanted, and the snapshot has starts.
    """
    complete = world.proc.sees_all() and all(task.ns is not None for task in snapshot.tasks)
    return resolve(where, Scene(world.mount, world.proc.read, snapshot, containers, complete))


def warn_shared(place: Place) -> None:
    """Say on standard error who else has the namespace of a container that was named."""
    if not place.container:
        return
    others = [describe(chain) for chain in place.shared]
    others += ["what is in no container"] if place.with_host else []
    if others:
        named = describe(place.container)
        warn(f"{named} shares {bracketed(place.ns)} with {', '.join(others)}")


def warn_unread(processes: Iterable[Process]) -> None:
    """Say on standard error what of the world this user may not read."""
    unread = sum(process["ns"] is None for process in processes)
    what = f"the namespaces of {unread} of these (?)" if unread else "? and what is missing"
    warn(f"{what} may not be read by this user")
    warn(ROOT)
