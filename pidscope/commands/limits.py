"""``pidscope limits``: what bounds forking somewhere, and which bound is reached first."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from pidscope.commands.notes import print_text
from pidscope.containers.container import shorten_ids
from pidscope.errors import NotFound
from pidscope.gc_pause import gc_paused
from pidscope.limits.bounds import Bound, Everyone, bounds, by_room, is_certain, sentence, unknown
from pidscope.limits.tasks_limit import RLIMIT_NPROC
from pidscope.query.lookup import task_of
from pidscope.query.place import bracketed, no_process
from pidscope.query.process import Process, oldest
from pidscope.query.view import View
from pidscope.query.words import Kind
from pidscope.render import limits as rendered
from pidscope.render import tables
from pidscope.render.text import WIDTH
from pidscope.sources.list_options import add_source
from pidscope.sources.listed import listed
from pidscope.sources.listing import read
from pidscope.sources.options import SEE_SCENARIOS, add_command, add_json
from pidscope.sources.where import EXPLAINED, add_in
from pidscope.terminal import table_width

_EXAMPLES = f"""\
The bound that is reached first stands first, and in a sentence above:
  RLIMIT_NPROC         tasks of the user, threads too; exempt are root, and
                       tasks with CAP_SYS_RESOURCE or CAP_SYS_ADMIN. Tasks in
                       user namespaces count for those who made these, too
  threads-max          tasks of the machine
  pid_max              numbers, in each PID namespace from the inside out
  number 1             once it has exited, its namespace takes no more tasks
  pids.max             tasks of the cgroup and of each above it
  MAX_PID_NS_LEVEL, max_pid_namespaces, pid_ns_for_children
                       of new namespaces or threads only: not in the sentence
ROOM is how often one can fork until then if no task ends. ? is not known, and
then the answer has "at most"; where more may be USED than can be read, that
has >=. Then how often forks were refused, by cgroup.
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

exit status: 0 answered; 1 no such process, or one that has exited; 2 wrong
usage; 3 this user may not read which process it is.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "limits",
        help="what bounds forking, and which bound is tight",
        description="What bounds forking somewhere, and which bound is reached first.",
        epilog=_EXAMPLES,
    )
    add_in(parser)
    add_json(parser)
    add_source(parser)


@gc_paused()
def run(args: argparse.Namespace) -> int:
    """Print the bounds; raise UsageError, HostError, or NotFound for no such process."""
    where = args.where
    one = where is not None and where.kind in (Kind.PID, Kind.SELF)  # a process, not a place
    world = listed(args)
    # A container may be called self, too; a process that has gone is found to have, below.
    placed = None if where is None or where.kind is Kind.PID else where
    view = read(world, starts=args.json, where=placed)
    number = world.proc.own_number() if one or where is None else None
    number = where.number if one and where.kind is Kind.PID else number
    found, reading = view.processes(), view.reading
    complete = view.is_complete(found)
    process = _process(view, number, found, complete)
    everyone = Everyone(found, reading.snapshot.ns_parents, view.has_every_task, complete)
    forker = _forker(process, found)
    facts = world.fork_facts(forker.tid, everyone)
    if facts is None:
        raise NotFound(f"process {process.tid} has exited, and forks no more")
    limits = bounds(facts)
    hints = (f"not known: {hint}" for hint in _hints(unknown(limits)))
    view = view._replace(notes=[*hints, *view.notes])
    if args.json:
        who = {"pid": process.tid, "tid": forker.tid, "comm": process.comm}
        who["ns"] = facts.numbers[0].ns
        more = {"process": who, "next_fork": rendered.next_fork(limits)}
        ordered = rendered.bound_documents(by_room(limits))
        world.print_document(view, "bounds", ordered, is_certain(limits), **more)
        return 0
    _print_text(_called(process, forker), limits)
    print_text("", view.notes)
    return 0


def _process(view: View, number: int | None, found: Sequence[Process], complete: bool) -> Process:
    """Return the process of this number in the mount's namespace, or that a place stands for.

    That is the first process of a container, else the number 1 there.
    """
    place = view.place
    if number is None and not place.container:
        return task_of(1, found, place.ns, complete)
    if number is None:
        number = oldest(view.reading.snapshot, view.containers or {}, place.container, place.ns)
    for task in found:
        if task.tid == number:
            return task
    raise NotFound(no_process(number, view.reading.sees_all))


def _forker(process: Process, found: Sequence[Process]) -> Process:
    """Return the task that would fork: the process's leader, unless that alone has exited."""
    if process.state in "ZX" and process.is_leader:
        threads = (it for it in found if it.pid == process.pid and it.state not in "ZX")
        return next(threads, process)
    return process


def _called(process: Process, forker: Process) -> str:
    name = f"process {process.tid} ({process.comm})"
    return name if forker is process else f"{name}, main thread exited, by thread {forker.tid}"


def _print_text(who: str, found: Sequence[Bound]) -> None:
    print(
        textwrap.fill(f"{who}: {shorten_ids(sentence(found))}", WIDTH, subsequent_indent="  "),
        end="\n\n",
    )
    rows = rendered.bound_rows(by_room(found))
    print(tables.table(rows, rendered.BOUND_COLUMNS, width=table_width(), give=1))
    counters = rendered.counter_rows(found)
    if counters:
        print()
        print(tables.table(counters, rendered.COUNTER_COLUMNS, width=table_width(), give=0))


def _hints(unknown: Sequence[Bound]) -> list[str]:
    """Return what is not known, and how it could be."""
    hints = (f"{bound.name} of {shorten_ids(bound.of)}: {_hint(bound)}" for bound in unknown)
    return list(dict.fromkeys(hints))


def _hint(bound: Bound) -> str:
    if bound.of == bracketed(None):
        return "which namespace that is cannot be read"
    if bound.name == "pid_max" and bound.limit is not None:
        return "tasks that only root on the host sees may have numbers"
    if bound.name == RLIMIT_NPROC and bound.limit is None and bound.used is not None:
        return "no file shows the limit that holds outside its user namespace"
    return _HINTS[bound.name]


_HINTS = {
    "RLIMIT_NPROC": "root in the initial user namespace sees which other tasks count",
    "threads-max": "this /proc does not have it",
    "pid_max": "it can be read inside that namespace only",
    "number 1": "none is visible; it may have exited, or may be yet to be born",
    "pids.max": "root can read it, outside all cgroup namespaces",
}
