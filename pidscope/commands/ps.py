"""``pidscope ps``: every process with its number at every level, from /proc."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from pidscope.commands.notes import print_text, unread_notes
from pidscope.gc_pause import gc_paused
from pidscope.query.process import Process
from pidscope.render import tables
from pidscope.render.json import owners_json, process_json
from pidscope.sources.list_options import add_options, expect_one_form, width_of
from pidscope.sources.listed import Listed, listed
from pidscope.sources.listing import read
from pidscope.sources.options import SEE_SCENARIOS, add_command
from pidscope.sources.where import add_in

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
             the one that owns the namespace, at every level
  REAPER     the name of PPID, which has to wait for a zombie; (tracer): of the
             process that traces the zombie, and has to wait before PPID
  STAT       state letter; j: it, or its parent, joined from outside (nsenter,
             docker exec); Zl: the main thread has exited, others live
  ? is what this user may not read.
In a container these are its own processes in its own numbers; a note on
standard error reports that, and "outermost" in JSON. --proc names another
/proc.

--at: what was recorded (pidscope record, pidscope arm) of the processes that
lived at any moment of TIME, which is as wide as its last digit. --source names
a ring, a recording or armed. The columns are PID, TID, NSPID, NS, LEVEL, BORN,
ENDED (-: not, when that was last recorded) and READ-AT with READ-PPID,
READ-PGID, READ-SID, READ-UID, READ-CONTAINER, READ-COMM: what may have changed
is not of TIME, but as it was read at READ-AT. States are not recorded.

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
  pidscope ps --in web --at 14:03:05
                                which lived then, if it was recorded?
  pidscope ps --source simulated    two containers, on a kernel in Python

{SEE_SCENARIOS}

exit status: 0; 1 no such place; 2 wrong usage, a WHERE that is several, or
with --at a number that several had; 3 this user may not see it; 4 with --at:
the recording has a gap, and others may have lived then.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "ps",
        help="processes with their number at every level",
        description="Processes with their PID at every level of PID namespaces, from /proc.",
        epilog=_EXAMPLES,
    )
    add_in(parser)
    parser.add_argument("--exact", action="store_true", help="not the namespaces inside WHERE")
    parser.add_argument("--threads", action="store_true", help="one line a thread")
    parser.add_argument("--zombies", action="store_true", help="only those not waited for")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="those that lived then, from a recording: 14:03:05, -10m, yesterday 14:03, …",
    )
    add_options(parser)


def _columns(args: argparse.Namespace) -> list[str]:
    default = tables.PS_ZOMBIES if args.zombies else tables.PS_DEFAULT
    default = tables.PS_THREADS if args.threads else default
    if args.output is None:
        return list(default)
    return tables.choose_columns(args.output, [*tables.PS_COLUMNS, "REAPER"], default)


@gc_paused()
def run(args: argparse.Namespace) -> int:
    """Print the processes; raise UsageError, HostError, or NotFound for no such WHERE."""
    expect_one_form(args)
    if args.at is not None:
        from pidscope.commands import ps_at  # what is asked of now does without

        return ps_at.run(args)
    columns = _columns(args)
    shows_containers = not tables.CONTAINERS.isdisjoint(columns)
    world = listed(args)
    view = read(
        world,
        threads=args.threads,
        starts=args.json or not tables.PS_STARTS.isdisjoint(columns),
        containers=args.json or shows_containers,
        shows_containers=shows_containers,
        where=args.where,
    )
    everyone = view.processes()
    inum = None if args.where is None else view.place.ns
    chosen = [process for process in everyone if _is_chosen(process, inum, args)]
    homes = view.homes(everyone) if args.json or "NSCONTAINER" in columns else None
    if not view.may_all_be_read(everyone):
        view = view.with_notes(unread_notes(everyone))
    if args.json and homes is not None:
        owners, complete = owners_json(homes.own), view.is_complete(everyone)
        found = [process_json(it, owners) for it in chosen]
        known = world.knows_containers(view, everyone, homes)
        world.print_document(view, "processes", found, complete, containers_known=known)
        return 0
    comms = {process.tid: process.comm for process in everyone}
    text = tables.process_table(
        chosen,
        columns,
        comms,
        headings=not args.noheadings,
        width=width_of(args),
        containers=world.container_cells(view, everyone, homes),
        tracers=_tracers(world, chosen, comms) if "REAPER" in columns else {},
    )
    print_text(text, view.notes)
    return 0


def _tracers(world: Listed, chosen: Sequence[Process], comms: Mapping[int, str]) -> dict[int, str]:
    """Return the names of the tracers that have to wait first, by the zombie's number."""
    found = {}
    for it in chosen:
        if it.tracer and it.is_held_by_tracer:
            status = world.proc.read_status(it.tracer)  # of a thread maybe, which is not listed
            if status is None or status.tgid != it.levels[0].ppid:
                found[it.tid] = f"{comms.get(status.tgid if status else 0, '?')} (tracer)"
    return found


def _is_chosen(process: Process, inum: int | None, args: argparse.Namespace) -> bool:
    if args.zombies and (process.state != "Z" or (process.is_leader and process.ended is False)):
        return False
    if inum is None:
        return not args.exact or len(process.levels) == 1
    if args.exact:
        return process.ns == inum
    return any(level.ns == inum for level in process.levels)
