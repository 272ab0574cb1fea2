"""``pidscope ps``: every process with its number at every level, as /proc tells it."""

from __future__ import annotations

import argparse

from pidscope.gc_pause import gc_paused
from pidscope.query import process as documents
from pidscope.query.process import Process
from pidscope.render import tables as views
from pidscope.render.text import WIDTH
from pidscope.sources.listing import Listed, add_options, listed
from pidscope.sources.options import SEE_SCENARIOS
from pidscope.sources.where import (
    add_in,
    containers_of,
    place_of,
    wants_containers,
    warn_shared,
    warn_unread,
)

_EXAMPLES = f"""\
columns (-o; a leading + adds to the default ones):
  PID, TID   thread group and thread, as this /proc numbers them
  NSPID      the task's number at every level, this /proc's first
  NSTGID     its thread group's
  NSPPID, NSPGID, NSSID
             parent, group and session at every level; 0: no number there
  NS, LEVEL  the innermost PID namespace, and how deep it is
  PPID, PGID, SID, START, ID, COMM
  CONTAINER  the innermost that it is in by its cgroup, or its service
  NSCONTAINER
             whose own the namespace is, at every level
  REAPER     the name of PPID, which has to wait for a zombie
  STAT       state letter; j: joined from outside (nsenter, docker exec)
  ? is what this user may not read.
In a container these are its own processes in its own numbers, which is then
said on standard error, and in JSON by "outermost"; --proc names another /proc.

examples:
  pidscope ps                   everything, in the numbers of every level
  pidscope ps --in pid:4242     its namespace, and those inside that one
  pidscope ps --in ns:4026532146 -o PID,NSPID,NSPGID,NSSID,COMM
                                with groups and sessions at every level
  pidscope ps --proc /host/proc --in self
                                this container, in the host's numbers too
  pidscope ps --in name:web     a container's; see pidscope lookup --help
  pidscope ps --zombies         dead, not waited for; REAPER does not wait
  pidscope ps -J | jq '.processes[] | select(.levels[-1].pid == 17) | .pid'
  pidscope ps --source simulated    two containers, on a kernel in Python

{SEE_SCENARIOS}
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "ps",
        help="processes with their number at every level",
        description="Processes with their PID at every level of PID namespaces, from /proc.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_in(parser)
    parser.add_argument("--exact", action="store_true", help="not the namespaces inside WHERE")
    parser.add_argument("--threads", action="store_true", help="one line a thread")
    parser.add_argument("--zombies", action="store_true", help="only those not waited for")
    add_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the processes; raise UsageError, HostError, or NotFound for no such WHERE."""
    default = views.PS_ZOMBIES if args.zombies else views.PS_DEFAULT
    default = views.PS_THREADS if args.threads else default
    columns: list[str] = list(default)
    if args.output is not None:
        known = [*views.PS_COLUMNS, "REAPER"]
        columns = views.choose_columns(args.output, known, default)
    world = listed(args)
    with gc_paused():
        return _print(world, args, columns)


def _print(world: Listed, args: argparse.Namespace, columns: list[str]) -> int:
    proc, where = world.proc, args.where
    placed = where is not None and where.needs_containers
    starts = args.json or placed or not views.PS_STARTS.isdisjoint(columns)
    named = wants_containers(args.json, columns, where)
    snapshot = proc.snapshot(threads=args.threads, starts=starts, cgroups=named)
    containers = containers_of(world, snapshot, columns)
    place = None if where is None else place_of(where, world, snapshot, containers)
    everyone = world.processes(snapshot, containers)
    complete = documents.is_complete(everyone) and proc.sees_all()
    inum = None if place is None else place.ns
    chosen = [process for process in everyone if _is_chosen(process, inum, args)]
    told = world.knows_containers()
    if args.json or "NSCONTAINER" in columns:
        documents.tell_levels(chosen, world.homes(everyone, containers).own)
    if args.json:
        world.print_document("processes", chosen, complete, containers_known=told)
        return 0
    width = None if args.output is not None else WIDTH
    comms = {process["tid"]: process["comm"] for process in everyone}
    table = views.process_table(
        chosen, columns, comms, headings=not args.noheadings, width=width, told=told
    )
    if table:
        print(table)
    world.warn_outermost()
    if place is not None:
        warn_shared(place)
    if not complete:
        warn_unread(everyone)
    return 0


def _is_chosen(process: Process, inum: int | None, args: argparse.Namespace) -> bool:
    if args.zombies and process["state"] != "Z":
        return False
    if inum is None:
        return not args.exact or len(process["levels"]) == 1
    if args.exact:
        return process["ns"] == inum
    return any(level["ns"] == inum for level in process["levels"])
