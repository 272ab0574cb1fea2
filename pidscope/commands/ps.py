"""``pidscope ps``: every process with its number at every level, as /proc tells it."""

from __future__ import annotations

import argparse
import re
import sys

from pidscope import documents, views
from pidscope.commands.listing import Listed, ListedProc, add_options, keeping_all, listed
from pidscope.commands.sources import SEE_SCENARIOS
from pidscope.documents import Process
from pidscope.errors import HostError, PidscopeError, UsageError
from pidscope.snapshot import Mount

_EXAMPLES = f"""\
columns (-o; a leading + adds to the default ones):
  PID, TID   thread group and thread, as this /proc numbers them
  NSPID      the task's number at every level, this /proc's first
  NSTGID     its thread group's
  NSPPID, NSPGID, NSSID
             parent, group and session at every level; 0: no number there
  NS, LEVEL  the innermost PID namespace, and how deep it is
  PPID, PGID, SID, START, ID, COMM
  STAT       state letter; j: joined from outside (nsenter, docker exec)
  ? is what this user may not read.
In a container these are its own processes in its own numbers, which is then
said on standard error, and in JSON by "outermost"; --proc names another /proc.

examples:
  pidscope ps                   everything, in the numbers of every level
  pidscope ps --in pid:4242     its namespace, and those inside that one
  pidscope ps --in ns:4026532146 -o PID,NSPID,NSPPID,COMM
  pidscope ps --proc /host/proc --in self
                                this container, in the host's numbers too
  pidscope ps --zombies         dead, not waited for; PPID does not wait
  pidscope ps -J | jq '.processes[] | select(.levels[-1].pid == 17) | .pid'
  pidscope ps --source simulated    two containers, on a kernel in Python

{SEE_SCENARIOS}
"""
_ROOT = "run as root to see all"
_WHERE = "host | self | pid:N | ns:INUM | pid:[INUM]"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "ps",
        help="processes with their number at every level",
        description="Processes with their PID at every level of PID namespaces, from /proc.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--in", dest="where", metavar="WHERE", help=_WHERE)
    parser.add_argument("--exact", action="store_true", help="not the namespaces inside WHERE")
    parser.add_argument("--threads", action="store_true", help="one line a thread")
    parser.add_argument("--zombies", action="store_true", help="only those not waited for")
    add_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the processes; raise UsageError, HostError, or PidscopeError for no such process."""
    default = views.PS_THREADS if args.threads else views.PS_DEFAULT
    columns: list[str] = list(default)
    if args.output is not None:
        columns = views.choose_columns(args.output, views.PS_COLUMNS, default)
    world = listed(args)
    with keeping_all():
        return _print(world, args, columns)


def _print(world: Listed, args: argparse.Namespace, columns: list[str]) -> int:
    proc = world.proc
    inum = None if args.where is None else namespace_at(args.where, proc, world.mount)
    starts = args.json or not views.PS_STARTS.isdisjoint(columns)
    everyone = world.processes(proc.snapshot(threads=args.threads, starts=starts))
    complete = documents.is_complete(everyone) and proc.sees_all()
    if inum is not None:
        _check_known(inum, everyone, complete)
    chosen = [process for process in everyone if _is_chosen(process, inum, args)]
    if args.json:
        world.print_document("processes", chosen, complete)
        return 0
    width = None if args.output is not None else views.WIDTH
    table = views.process_table(chosen, columns, headings=not args.noheadings, width=width)
    if table:
        print(table)
    world.tell_outermost()
    if not complete:
        print(f"pidscope: ? and what is missing may not be read; {_ROOT}", file=sys.stderr)
    return 0


def _is_chosen(process: Process, inum: int | None, args: argparse.Namespace) -> bool:
    if args.zombies and process["state"] != "Z":
        return False
    if inum is None:
        return not args.exact or len(process["levels"]) == 1
    if args.exact:
        return process["ns"] == inum
    return any(level["ns"] == inum for level in process["levels"])


def namespace_at(where: str, proc: ListedProc, mount: Mount) -> int | None:
    """Return the inum of the PID namespace that WHERE names, whether or not it is there.

    None: the mount's own, whose inum is not known. Raises UsageError for what is no WHERE,
    PidscopeError for a process that is not there, and HostError for one whose namespace this
    user may not read, and for a host that this /proc does not show.
    """
    if where == "self":
        return mount.ns if mount.inside is None else mount.inside
    if where == "host":
        return _of_host(mount)
    match = re.fullmatch(r"ns:([0-9]{1,10})|pid:\[([0-9]{1,10})\]|pid:([0-9]{1,10})", where)
    if match is None:
        raise UsageError(f"--in {where!r}: no such place", hint=f"WHERE is {_WHERE}")
    if match[3] is None:
        return int(match[1] or match[2])
    reading = proc.read(int(match[3]))
    if reading is None:
        raise PidscopeError(f"no process {match[3]}, or none that this user may see")
    if reading.ns is None and len(reading.status.ns_pid) > 1:
        raise HostError(f"this user may not read the namespace of process {match[3]}", hint=_ROOT)
    return mount.ns if reading.ns is None else reading.ns


def _of_host(mount: Mount) -> int | None:
    if mount.initial:
        return mount.ns
    inum = "?" if mount.ns is None else mount.ns
    raise HostError(
        f"this /proc shows pid:[{inum}], which is not known to be the host's namespace",
        hint="leave out --in host, or name the host's /proc where it is mounted (--proc PATH)",
    )


def _check_known(inum: int, everyone: list[Process], complete: bool) -> None:
    if any(level["ns"] == inum for process in everyone for level in process["levels"]):
        return
    if not complete:
        raise HostError(f"no pid:[{inum}] among the namespaces this user may read", hint=_ROOT)
    raise PidscopeError(f"no PID namespace pid:[{inum}]", hint="pidscope ns lists them")
