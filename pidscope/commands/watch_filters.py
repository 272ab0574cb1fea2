"""What of a stream is shown: ``--in``, ``--tree``, ``--type``, ``--failed``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from pidscope.containers.container import shown
from pidscope.errors import HostError, NotFound, UsageError
from pidscope.events import Event
from pidscope.query.descendants import Tree, descendants
from pidscope.query.in_namespace import Inside
from pidscope.query.typed_pid import parse_pid
from pidscope.query.where import Place, Where, no_process
from pidscope.render.event_names import CHOICES, DEFAULT, FAILED, STEPS, VERBOSE, words_of_way
from pidscope.session.session import Session
from pidscope.sources.where import add_in, place_of
from pidscope.wire.hooks import TRACEPOINT

if TYPE_CHECKING:
    from pidscope.sources.listing import Listed
    from pidscope.sources.watch import Host


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what narrows a stream."""
    add_in(parser)
    parser.add_argument(
        "--tree", type=_process, metavar="PID", help="only this process and its descendants"
    )
    parser.add_argument(
        "--type", type=_words, metavar="TYPE[,TYPE]", help="only these, as EVENT names them"
    )
    parser.add_argument("--failed", action="store_true", help="only forks that failed, and why")


def _process(text: str) -> int:
    number = parse_pid(text)
    if number is None:
        raise UsageError(f"--tree '{shown(text)}': no PID")
    return number


def _words(text: str) -> frozenset[str]:
    words = frozenset(text.split(","))
    for word in sorted(words.difference(CHOICES)):
        raise UsageError(f"--type '{shown(word)}': no such event", f"one of {', '.join(CHOICES)}")
    return words


def expect_choice(args: argparse.Namespace) -> None:
    """Raise UsageError for what does not go together."""
    if args.tree is not None and args.command is not None:
        raise UsageError("--tree does not go with a CMD, whose tree is shown")
    if args.type is not None and args.failed:
        raise UsageError("--type and --failed do not go together")


def words_of(args: argparse.Namespace) -> frozenset[str]:
    """Return the words of the events that are shown, besides losses and repairs."""
    if args.failed:
        return FAILED
    if args.type is not None:
        return frozenset(args.type)
    return frozenset((*DEFAULT, "tgid", "pid", *(VERBOSE if args.verbose else ())))


def expect_told(args: argparse.Namespace, way: str) -> None:
    """Raise HostError if this way of probing tells of nothing that was asked for.

    Else an empty answer would look like one.
    """
    asked = FAILED if args.failed else args.type
    if asked is None or not words_of_way(way).isdisjoint(asked):
        return
    others = "fentry and kprobe tell" if way == TRACEPOINT else f"--probes {TRACEPOINT} tells"
    hint = "; pidscope doctor says why they do not work here" if way == TRACEPOINT else ""
    raise HostError(f"{way} does not tell of {', '.join(sorted(asked))}", f"{others}{hint}")


def steps_of(args: argparse.Namespace) -> bool:
    """Return whether single steps have to be recorded, as -v or a type asks for them."""
    return bool(args.verbose or not STEPS.isdisjoint(args.type or ()))


class Named(NamedTuple):
    """What was found of WHERE and of PID before anything is watched."""

    place: Place | None = None
    root: int | None = None


def look_for(args: argparse.Namespace, host: Host) -> Named:
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


def _look_for(args: argparse.Namespace, host: Host) -> Named:
    if args.where is None and args.tree is None:
        return Named()
    listed = host.listed()
    if args.tree is not None:
        _expect_process(args.tree, listed)
    return Named(None if args.where is None else _place(args.where, listed), args.tree)


def _place(where: Where, listed: Listed) -> Place:
    wanted = where.needs_containers
    snapshot = listed.proc.snapshot(threads=False, starts=wanted, cgroups=wanted)
    return place_of(where, listed, snapshot, listed.containers(snapshot) if wanted else None)


def _expect_process(number: int, listed: Listed) -> None:
    status = listed.proc.read_status(number)
    if status is None:
        raise NotFound(no_process(number, listed.proc.sees_all()))
    if status.ns_pid != status.ns_tgid:
        raise UsageError(f"{number} is a thread of process {status.ns_tgid[0]}")


class Choice:
    """Tells which events of a session are of what was named.

    Raises:
        NotFound: what was there has ended before the watch began.
    """

    def __init__(self, named: Named, session: Session) -> None:
        self.tree = None if named.root is None else _tree(named.root, session)
        self.inside = None if named.place is None else _inside(named.place, session)

    def includes(self, event: Event, session: Session) -> bool:
        """Tell, and follow the event: each has to be shown to it."""
        if self.tree is None and self.inside is None:
            return True
        table = session.table
        in_tree = self.tree is None or self.tree.includes(event)
        in_place = self.inside is None or table is None or self.inside.includes(event, table)
        return in_tree and in_place

    def farewell(self, session: Session) -> list[str]:
        """Return what is to be said at the end about the place."""
        if self.inside is None or session.table is None:
            return []
        ns = f"pid:[{self.inside.inum}]"
        if self.inside.ended(session.table):
            return [f"{ns} has ended: nobody is in it any more"]
        if not self.inside.is_sure:
            return [f"{ns} may be another one since records were lost"]
        return []


def _tree(root: int, session: Session) -> Tree:
    """Begin with who is there now; who is born later, the stream tells."""
    procfs, table = session.world.procfs, session.table
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
    return Tree(root, processes | tids)


def _inside(place: Place, session: Session) -> Inside:
    assert session.table is not None
    inum = session.world.root_ns if place.ns is None else place.ns
    if inum not in session.table.namespaces:
        raise NotFound(f"pid:[{inum}] ended before the watch began")
    return Inside(inum, session.table)


Only = Optional[Mapping[str, Any]]


def only_json(args: argparse.Namespace, choice: Choice) -> Only:
    """Return how the stream is narrowed, for its first object; None: it is not."""
    types = args.type if not args.failed else FAILED
    cmd = args.command is not None and not args.all
    if choice.inside is None and choice.tree is None and types is None and not cmd:
        return None
    return {
        "ns": None if choice.inside is None else choice.inside.inum,
        "tree": None if choice.tree is None else choice.tree.root,
        "cmd": cmd,
        "types": None if types is None else sorted(types),
    }
