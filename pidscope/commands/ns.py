"""``pidscope ns``: the tree of PID namespaces, as /proc tells it."""

from __future__ import annotations

import argparse
import sys

from pidscope import documents, views
from pidscope.commands.listing import add_options, listed
from pidscope.commands.sources import SEE_SCENARIOS

_EXAMPLES = f"""\
columns (-o; a leading + adds to the default ones):
  NS       inum, as in pid:[INUM], indented below the parent namespace
  LEVEL    how deep, from the namespace of this /proc on
  PARENT   inum of the parent; 0: none that can be seen
  INIT     the process that is number 1 in it, as this /proc numbers it
  PROCS, THREADS, ZOMBIES
           how many have it as their innermost; a zombie is one of PROCS
  LAST     the last number given out in it; ? where only it could tell
  COMM     the name of INIT
  ? is what this user may not read.

examples:
  pidscope ns                       the tree
  pidscope ns -n -o INIT            the inits, for a script
  pidscope ns -J | jq '.namespaces[] | select(.zombies > 0)'
  pidscope ps --in ns:4026532146    who is in one of them
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
    """Print the namespaces; raise UsageError for a column, HostError for what is no /proc."""
    columns = list(views.NS_DEFAULT)
    if args.output is not None:
        known = [*views.NS_COLUMNS, "COMM"]
        columns = views.choose_columns(args.output, known, views.NS_DEFAULT)
    world = listed(args)
    proc = world.proc
    mount = proc.mount()
    snapshot = proc.snapshot()
    last_pid = proc.last_pid()
    tree = documents.namespaces(snapshot, {} if last_pid is None else {mount.ns: last_pid})
    everyone = world.processes(snapshot)
    complete = documents.is_complete(everyone) and proc.sees_all()
    if args.json:
        world.print_document("namespaces", tree, complete)
        return 0
    comms = {process["tid"]: process["comm"] for process in everyone}
    width = None if args.output is not None else views.WIDTH
    print(views.namespace_tree(tree, comms, columns, headings=not args.noheadings, width=width))
    if not complete:
        print("pidscope: this user may not read all; run as root for the rest", file=sys.stderr)
    return 0
