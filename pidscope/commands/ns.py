"""``pidscope ns``: the tree of PID namespaces, as /proc tells it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from pidscope.gc_pause import gc_paused
from pidscope.query import process as documents
from pidscope.query.process import Process
from pidscope.render import tables as views
from pidscope.render.text import WIDTH
from pidscope.sources.listing import Listed, add_options, listed
from pidscope.sources.options import SEE_SCENARIOS
from pidscope.sources.where import ROOT, containers_of, wants_containers
from pidscope.terminal import warn

_EXAMPLES = f"""\
columns (-o; a leading + adds to the default ones):
  NS       inum, as in pid:[INUM], indented below the parent namespace
  LEVEL    how deep, from the namespace of this /proc on
  PARENT   inum of the parent; 0: none that this /proc shows
  INIT     the process that is number 1 in it, as this /proc numbers it
  PROCS, THREADS, ZOMBIES
           how many have it as their innermost; a zombie is one of PROCS
  LAST     the last number given out in it; ? but for one's own, as any
           other tells only those inside
  COMM     the name of INIT
  CONTAINER
           the one that INIT is in, by its cgroup; or its service
  ? is what this user may not read.
In a container these are the namespaces inside it, which is then said on
standard error, and in JSON by "outermost"; --proc names another /proc.

examples:
  pidscope ns                       the tree
  pidscope ns -n -o INIT            the inits, for a script
  pidscope ns -J | jq '.namespaces[] | select(.zombies > 0)'
  pidscope ps --in ns:4026532146    who is in one of them
  pidscope ns --proc /host/proc     the host's, where that is mounted
  pidscope ns --source simulated    of a scenario, on a kernel in Python

{SEE_SCENARIOS}
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "ns",
        help="the tree of PID namespaces",
        description="The tree of PID namespaces, from /proc.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the namespaces; raise UsageError for a column, HostError for no /proc to read."""
    columns = list(views.NS_DEFAULT)
    if args.output is not None:
        known = [*views.NS_COLUMNS, "COMM"]
        columns = views.choose_columns(args.output, known, views.NS_DEFAULT)
    world = listed(args)
    with gc_paused():
        return _print(world, args, columns)


def _print(world: Listed, args: argparse.Namespace, columns: list[str]) -> int:
    proc = world.proc
    # Where there are any, they are shown unless other columns are chosen.
    named = args.output is None or wants_containers(args.json, columns)
    snapshot = proc.snapshot(starts=False, cgroups=named)
    containers = containers_of(world, snapshot, columns)
    everyone = world.processes(snapshot)
    tree = documents.namespaces(snapshot, _last_pids(world), *world.homes(everyone, containers))
    complete = documents.is_complete(everyone) and proc.sees_all()
    told = world.knows_containers()
    if args.json:
        world.print_document("namespaces", tree, complete, containers_known=told)
        return 0
    if args.output is None and any(entry["container"] or entry["shared"] for entry in tree):
        columns = [*columns, "CONTAINER"]
    comms = {process["tid"]: process["comm"] for process in everyone}
    width = None if args.output is not None else WIDTH
    text = views.namespace_tree(
        tree, comms, columns, headings=not args.noheadings, width=width, told=told
    )
    print(text)
    world.warn_outermost()
    if not complete:
        _tell_missing(everyone)
    return 0


def _tell_missing(everyone: Iterable[Process]) -> None:
    unread = sum(task["ns"] is None for task in everyone)
    if unread:
        warn(f"missing: the namespaces of {unread} tasks, which this user may not read")
    else:
        warn("this user may not see all processes")
    warn(ROOT)


def _last_pids(world: Listed) -> dict[int, int]:
    """The last number given out, by inum: the kernel tells it of the reader's own namespace."""
    last_pid = world.proc.last_pid()
    own = world.mount.ns if world.mount.inside is None else world.mount.inside
    return {} if last_pid is None or own is None else {own: last_pid}
