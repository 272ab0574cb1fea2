"""``pidscope limits``: what bounds forking somewhere, and which bound is reached first."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from pidscope.commands.one_task import see
from pidscope.containers.container import shorten_ids
from pidscope.errors import NotFound
from pidscope.gc_pause import gc_paused
from pidscope.host.proc import ProcFs
from pidscope.limits import bounds as limits
from pidscope.limits.bounds import Bound, Everyone, Facts
from pidscope.query.process import Process
from pidscope.query.where import bracketed
from pidscope.render import limits as limits_shown
from pidscope.render import tables as views
from pidscope.render.text import WIDTH
from pidscope.sources.listing import Listed, listed
from pidscope.sources.options import SEE_SCENARIOS, add_option, add_proc
from pidscope.sources.where import EXPLAINED, add_in, warn_shared
from pidscope.terminal import warn

_EXAMPLES = f"""\
The bound that is reached first stands first, and in a sentence above:
  RLIMIT_NPROC         tasks of the user, threads too; root is exempt, and who
                       has CAP_SYS_RESOURCE or CAP_SYS_ADMIN
  threads-max          tasks of the machine
  pid_max              numbers, in each PID namespace from the inside out
  number 1             once it has exited, its namespace takes nobody any more
  pids.max             tasks of the cgroup and of each above it
  MAX_PID_NS_LEVEL, max_pid_namespaces, pid_ns_for_children
                       of new namespaces or threads only: not in the sentence
ROOM is how often one can fork until then if nobody ends. ? is not known, and
then the answer says "at most". Then how often forks were refused, by cgroup.
With cgroup v1, and v2 before 6.11, pids.events counts what was refused to the
tasks of this very cgroup; since then what its limit, or one further in, has
refused, and LOCAL its own limit alone.

{EXPLAINED}It is one process that is looked at: N for pid:N, pidscope itself for self or
without --in, the first of a container, else the number 1 there. Others may be
in other cgroups.

examples:
  pidscope limits                     can I fork
  pidscope limits --in pid:4242       why can this process not
  pidscope limits --in ns:4026532146  this namespace's init
  pidscope limits -J | jq -r .next_fork.sentence
  pidscope limits --in pid:3 --source simulated:fork-bomb

{SEE_SCENARIOS}

exit status: 0 told, whatever it is; 1 no such process, or one that has exited;
2 wrong usage; 3 this user may not read who that is.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "limits",
        help="what bounds forking, and which bound is tight",
        description="What bounds forking somewhere, and which bound is reached first.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_in(parser)
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")
    add_proc(parser)
    add_option(parser, "proc")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the bounds; raise UsageError, HostError, or NotFound for no such process."""
    world = listed(args)
    with gc_paused():
        return _print(world, args)


def _print(world: Listed, args: argparse.Namespace) -> int:
    seen = see(world, args)
    process, place = seen.stands_for()
    hides_nobody = world.proc.sees_all()
    everyone = Everyone(seen.everyone, seen.snapshot.ns_parents, hides_nobody, seen.complete)
    facts = _facts(world, process["tid"], everyone)
    if facts is None:
        raise NotFound(f"process {process['tid']} has exited, and forks no more")
    found = limits.bounds(facts)
    if args.json:
        who = {"pid": process["tid"], "comm": process["comm"], "ns": facts.numbers[0].ns}
        more = {"process": who, "next_fork": limits_shown.next_fork(found)}
        ordered = limits_shown.bound_documents(limits.by_room(found))
        world.print_document("bounds", ordered, limits.is_certain(found), **more)
        return 0
    _print_text(process, found)
    world.warn_outermost()
    if place is not None:
        warn_shared(place)
    return 0


def _facts(world: Listed, number: int, everyone: Everyone) -> Facts | None:
    if isinstance(world.proc, ProcFs):
        from pidscope.limits.read import fork_facts

        return fork_facts(world.proc, number, everyone)
    from pidscope.simulated.procfs import SimulatedProcFs

    assert isinstance(world.proc, SimulatedProcFs)
    return world.proc.fork_facts(number)


def _print_text(process: Process, found: Sequence[Bound]) -> None:
    who = f"process {process['tid']} ({process['comm']}): {shorten_ids(limits.sentence(found))}"
    print(textwrap.fill(who, WIDTH, subsequent_indent="  "), end="\n\n")
    rows = limits_shown.bound_rows(limits.by_room(found))
    print(views.table(rows, limits_shown.BOUND_COLUMNS, width=WIDTH, give=1))
    counters = limits_shown.counter_rows(found)
    if counters:
        print()
        print(views.table(counters, limits_shown.COUNTER_COLUMNS, width=WIDTH, give=0))
    for hint in _hints(limits.unknown(found)):
        warn(f"not known: {hint}")


def _hints(unknown: Sequence[Bound]) -> list[str]:
    """Say what is not known, and who could tell."""
    hints = (f"{bound.name} of {shorten_ids(bound.of)}: {_hint(bound)}" for bound in unknown)
    return list(dict.fromkeys(hints))


def _hint(bound: Bound) -> str:
    if bound.of == bracketed(None):
        return "which namespace that is cannot be seen"
    if bound.name == "pid_max" and bound.limit is not None:
        return "numbers may be taken that root on the host sees"
    return _HINTS[bound.name]


_HINTS = {
    "RLIMIT_NPROC": "root on the host sees who else counts, but not inside user namespaces",
    "threads-max": "this /proc does not have it",
    "pid_max": "told inside it only",
    "number 1": "none is seen from here",
    "pids.max": "root sees it, outside all cgroup namespaces",
}
