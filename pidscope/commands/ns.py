"""``pidscope ns``: the tree of PID namespaces, from /proc."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from pidscope.commands.notes import print_text
from pidscope.gc_pause import gc_paused
from pidscope.query.place import ROOT
from pidscope.query.process import Namespace, Process, namespaces
from pidscope.query.view import View
from pidscope.render import tables
from pidscope.render.json import namespace_json
from pidscope.snapshot import Mount, is_ending
from pidscope.sources.list_options import add_options, expect_one_form, width_of
from pidscope.sources.listed import Listed, listed
from pidscope.sources.listing import Kept, read
from pidscope.sources.options import SEE_SCENARIOS, add_command
from pidscope.sources.privilege import own_hint

_EXAMPLES = f"""\
columns (-o; a leading + adds to the default ones):
  NS       inum, as in pid:[INUM], indented below the parent namespace
  LEVEL    how deep, from the namespace of this /proc on
  PARENT   inum of the parent; 0: none that this /proc shows
  INIT     the process that is number 1 in it, as this /proc numbers it
  PROCS, THREADS, ZOMBIES
           how many have it as their innermost; a zombie is one of PROCS
  LAST     the last number given out in it; ? except for your own: the kernel
           shows it inside the namespace only
  COMM     the name of INIT; <dying>: it is exiting, and no process can be
           forked here any more
  CONTAINER
           the one that INIT is in, by its cgroup; or its service; ? if it is
           not certain that the namespace is the container's
  ? is also what this user may not read.
A namespace without processes is listed if it is bind-mounted where pidscope
runs, or kept by a descriptor of a process, or by one whose children would be
born there: before 6.19 (listns) as far as the first 1000 descriptors show it.
In a container these are the namespaces inside it; a note on standard error
reports that, and "outermost" in JSON. --proc names another /proc.

--at: what was recorded of the namespaces in which a task lived at any moment
of TIME (pidscope ps --help). BORN and ENDED are those of INIT; READ-CONTAINER
and READ-COMM are as they were read at READ-AT. INIT is ? if it had ended
before, or is not known. An inum that was given out again within TIME is
several namespaces.

examples:
  pidscope ns                       the tree
  pidscope ns -n -o INIT            the inits, for a script
  pidscope ns -J | jq '.namespaces[] | select(.zombies > 0)'
  pidscope ps --in ns:4026532146    the processes in one of them
  pidscope ns --proc /host/proc     the host's, where that is mounted
  pidscope ns --at 14:03:05         those of then, if it was recorded
  pidscope ns --source simulated    of a scenario, on a kernel in Python

{SEE_SCENARIOS}

exit status: 0; 2 wrong usage, or with --at an inum that several namespaces
had; 3 this /proc cannot be read; 4 with --at: the recording has a gap, and
there may have been others.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "ns",
        help="the tree of PID namespaces",
        description="The tree of PID namespaces, from /proc.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--kept", action="store_true", help="look at all descriptors for what keeps a namespace"
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="those in which tasks lived then, from a recording: 14:03:05, -10m, …",
    )
    add_options(parser)


@gc_paused()
def run(args: argparse.Namespace) -> int:
    """Print the namespaces; raise UsageError for a column, HostError for no /proc to read."""
    expect_one_form(args)
    if args.at is not None:
        from pidscope.commands import ns_at  # what is asked of now does without

        return ns_at.run(args)
    columns = list(tables.NS_DEFAULT)
    if args.output is not None:
        every = [*tables.NS_COLUMNS, "COMM"]
        columns = tables.choose_columns(args.output, every, tables.NS_DEFAULT)
    shown = not tables.CONTAINERS.isdisjoint(columns)
    # Where there are any, they are shown unless other columns are chosen.
    named, world = args.output is None or args.json or shown, listed(args)
    kept = Kept.ALL if args.kept else Kept.FEW
    view = read(world, containers=named, shows_containers=shown, kept=kept)
    everyone, last_pids = view.processes(), _last_pids(world, view.reading.mount)
    homes = view.homes(everyone)
    tree = namespaces(view.reading.snapshot, last_pids, homes.own, homes.shared)
    tree = [it._replace(dying=_is_dying(world, it)) for it in tree]
    view = view.with_notes(_missing(view, everyone))
    if args.json:
        known = world.knows_containers(view, everyone, homes)
        more = {"containers_known": known, "kept_known": view.kept_known}
        found = list(map(namespace_json, tree))
        world.print_document(view, "namespaces", found, view.is_complete(everyone), **more)
        return 0
    if args.output is None and any(entry.container or entry.shared for entry in tree):
        columns = [*columns, "CONTAINER"]
    text = tables.namespace_tree(
        tree,
        {process.tid: process.comm for process in everyone},
        columns,
        headings=not args.noheadings,
        width=width_of(args),
        containers=world.container_cells(view, everyone, homes),
    )
    print_text(text, view.notes)
    return 0


def _is_dying(world: Listed, it: Namespace) -> bool | None:
    """Return whether its number 1 is exiting; None: it has none that can be read."""
    return None if it.init is None else is_ending(world.proc, it.init)


def _missing(view: View, everyone: Sequence[Process]) -> Iterator[str]:
    if not view.kept_known:
        yield "a namespace that only a descriptor keeps may be missing (--kept)"
    if view.may_all_be_read(everyone):
        return
    unread = sum(task.ns is None for task in everyone)
    if unread:
        yield f"missing: the namespaces of {unread} tasks, which this user may not read"
    else:
        yield "this user may not see all processes"
    yield own_hint(ROOT)


def _last_pids(world: Listed, mount: Mount) -> dict[int, int]:
    """Return the last number given out, by inum: the kernel has it for the reader's namespace."""
    last_pid, own = world.proc.last_pid(), mount.ns if mount.inside is None else mount.inside
    return {} if last_pid is None or own is None else {own: last_pid}
