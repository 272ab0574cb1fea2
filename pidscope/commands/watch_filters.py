"""What of a stream is shown: ``--in``, ``--tree``, ``--type``, ``--failed``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from pidscope.errors import HostError, NotFound, UsageError
from pidscope.escape import printable
from pidscope.events import Event
from pidscope.query.descendants import TreeFilter, descendants
from pidscope.query.in_namespace import NamespaceFilter
from pidscope.query.place import Place, no_process
from pidscope.query.typed_pid import parse_pid
from pidscope.render.event_names import (
    CHOICES,
    DEFAULT,
    FAILED,
    STEPS,
    VERBOSE,
    event_names_of_mode,
)
from pidscope.session.session import Session
from pidscope.sources.where import add_in
from pidscope.wire.hooks import TRACEPOINT

if TYPE_CHECKING:
    from pidscope.snapshot import ProcFiles
    from pidscope.sources.listed import Listed
    from pidscope.sources.watch import Host


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what narrows a stream."""
    add_in(parser)
    parser.add_argument(
        "--tree", type=_process, metavar="PID", help="only this process and its descendants"
    )
    parser.add_argument(
        "--type",
        type=_event_names,
        metavar="TYPE[,TYPE]",
        help="only these events, by their words in the EVENT column",
    )
    parser.add_argument("--failed", action="store_true", help="only forks that failed, and why")


def _process(text: str) -> int:
    number = parse_pid(text)
    if number is None:
        raise UsageError(f"--tree: not a PID: '{printable(text)}'")
    return number


def _event_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    for name in sorted(names.difference(CHOICES)):
        raise UsageError(
            f"--type '{printable(name)}': no such event", f"one of {', '.join(CHOICES)}"
        )
    return names


def expect_choice(args: argparse.Namespace) -> None:
    """Raise UsageError for options that exclude each other."""
    if args.tree is not None and args.command is not None:
        raise UsageError("--tree does not go with a CMD: watch shows the tree of CMD")
    if args.type is not None and args.failed:
        raise UsageError("--type and --failed do not go together")


def event_names_of(args: argparse.Namespace) -> frozenset[str]:
    """Return the names of the events to show; losses and repairs are always shown."""
    if args.failed:
        return FAILED
    if args.type is not None:
        return frozenset(args.type)
    return frozenset((*DEFAULT, "tgid", "pid", *(VERBOSE if args.verbose else ())))


def expect_told(args: argparse.Namespace, way: str) -> None:
    """Raise HostError if this probe mode reports none of the events that the user asked for.

    Without that, the user could not tell "none happened" from "none can be observed".
    """
    asked = FAILED if args.failed else args.type
    if asked is None or not event_names_of_mode(way).isdisjoint(asked):
        return
    hint = f"--probes {TRACEPOINT} does"
    if way == TRACEPOINT:
        hint = "fentry and kprobe do; pidscope doctor prints why they do not work here"
    raise HostError(f"{way} does not report {', '.join(sorted(asked))}", hint)


def steps_of(args: argparse.Namespace) -> bool:
    """Return whether -v or --type asks for intermediate events."""
    return bool(args.verbose or not STEPS.isdisjoint(args.type or ()))


class Targets(NamedTuple):
    """What ``--in`` and ``--tree`` name, found before the watch begins."""

    place: Place | None = None
    root: int | None = None


def look_for(args: argparse.Namespace, host: Host) -> Targets:
    """Find what ``--in`` and ``--tree`` name, before the host is opened.

    A simulated kernel is played until both are there. Raises NotFound, AmbiguousError, HostError,
    ScenarioError.
    """
    while True:
        try:
            return _look_for(args, host)
        except NotFound:
            if not host.skip():
                raise


def _look_for(args: argparse.Namespace, host: Host) -> Targets:
    if args.where is None and args.tree is None:
        return Targets()
    from pidscope.sources.listing import read  # a watch of everything does without

    listed = host.listed()
    if args.tree is not None:
        _expect_process(args.tree, listed)
    if args.where is None:
        return Targets(None, args.tree)
    return Targets(read(listed, threads=False, where=args.where).place, args.tree)


def _expect_process(number: int, listed: Listed) -> None:
    listed.proc.mount()  # or it is no /proc in which this process has a number
    status = listed.proc.read_status(number)
    if status is None:
        raise NotFound(no_process(number, listed.proc.sees_all()))
    if status.ns_pid != status.ns_tgid:
        raise UsageError(f"{number} is a thread of process {status.ns_tgid[0]}")


class WatchFilter:
    """Picks the events of a session that belong to the targets.

    Args:
        targets: what is shown.
        session: the watch.
        procfs: shows the parents of the tasks at its begin; None: the session's.

    Raises:
        NotFound: a target ended before the watch began.
    """

    def __init__(self, targets: Targets, session: Session, procfs: ProcFiles | None = None) -> None:
        procfs = procfs or session.world.procfs
        self.tree = None if targets.root is None else _tree(targets.root, session, procfs)
        self.ns = None if targets.place is None else _namespace(targets.place, session)

    def includes(self, event: Event, session: Session) -> bool:
        """Return whether the event belongs to all targets; every event has to come here."""
        if self.tree is None and self.ns is None:
            return True
        table = session.table
        in_tree = self.tree is None or self.tree.includes(event)
        in_place = self.ns is None or table is None or self.ns.includes(event, table)
        return in_tree and in_place

    def farewell(self, session: Session) -> list[str]:
        """Return what `watch` prints at the end about the namespace."""
        if self.ns is None or session.table is None:
            return []
        ns = f"pid:[{self.ns.inum}]"
        if self.ns.ended(session.table):
            return [f"{ns} has ended: it has no task any more"]
        if not self.ns.is_sure:
            return [f"{ns} may be another one since records were lost"]
        return []


def _tree(root: int, session: Session, procfs: ProcFiles) -> TreeFilter:
    """Begin with the living descendants; the stream reports later births."""
    table = session.table
    assert table is not None
    parents = {}
    for number in procfs.numbers():
        status = procfs.read_status(number)
        if status is not None:
            parents[number] = status.ppid
    if root not in parents:
        raise NotFound(f"process {root} ended before the watch began")
    processes = descendants(root, parents)
    tids = {
        task.pid.nr
        for task in table.tasks()
        if task.pid is not None and task.group.tgid is not None and task.group.tgid.nr in processes
    }
    return TreeFilter(root, processes | tids)


def _namespace(place: Place, session: Session) -> NamespaceFilter:
    assert session.table is not None
    inum = session.world.root_ns if place.ns is None else place.ns
    if inum not in session.table.namespaces:
        raise NotFound(f"pid:[{inum}] ended before the watch began")
    return NamespaceFilter(inum, session.table)


def only_json(args: argparse.Namespace, narrowed: WatchFilter) -> dict[str, Any] | None:
    """Return what narrows the stream, for its first object; None: nothing does."""
    types = args.type if not args.failed else FAILED
    cmd = args.command is not None and not args.all
    if narrowed.ns is None and narrowed.tree is None and types is None and not cmd:
        return None
    return {
        "ns": None if narrowed.ns is None else narrowed.ns.inum,
        "tree": None if narrowed.tree is None else narrowed.tree.root,
        "cmd": cmd,
        "types": None if types is None else sorted(types),
    }
