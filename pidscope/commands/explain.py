"""``pidscope explain``: the kernel's structures of one task, drawn."""

from __future__ import annotations

import argparse

from pidscope.commands.notes import print_text
from pidscope.gc_pause import gc_paused
from pidscope.query.explain import Explained, explain
from pidscope.query.lookup import task_of
from pidscope.query.typed_pid import expect_pid
from pidscope.render.json import explained_json, owners_json, pids_json
from pidscope.sources.list_options import add_source
from pidscope.sources.listed import listed
from pidscope.sources.listing import read
from pidscope.sources.options import SEE_SCENARIOS, add_command, add_json
from pidscope.sources.where import EXPLAINED, add_in

_EXAMPLES = f"""\
What is drawn is what is there since Linux 4.19:
  task_struct    a thread; thread_pid is its own struct pid
  signal_struct  a process, which its threads share: pids[] are the struct pids
                 of its thread group, its process group and its session
  struct pid     an identity: numbers[] has one number (struct upid) for each
                 PID namespace from the initial one (level 0) to its own, and
                 tasks[] the tasks that have it as their own, as thread group,
                 as process group, as session; while one of these is not
                 empty, its numbers are not given out again
  nsproxy        pid_ns_for_children is where the children will be born, which
                 unshare and setns change, never where the task itself lives
A struct pid is called by its numbers, outermost first: 36/18 is 36 on the host
and 18 in the container. The members of a list stand by number, as /proc does
not show their order; nothing is stopped while it is read. PID may be a thread.

{EXPLAINED}
examples:
  pidscope explain 4242
  pidscope explain 17 --in pid:4242   the task that 4242 calls 17
  pidscope explain $$ --dot | dot -Tsvg > pid.svg
  pidscope explain 4242 -J | jq '.pids[] | {{nr, tasks}}'
  pidscope explain 36 --source simulated    on a kernel in Python

{SEE_SCENARIOS}

exit status: 0 drawn; 1 no task has that number; 2 wrong usage; 3 this user may
not see the task that has it.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "explain",
        help="the kernel structures of a task, drawn",
        description="Draw the kernel's structures of one task, and the tasks that share them.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("pid", metavar="PID", help="a process, or a thread")
    add_in(parser)
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--dot", action="store_true", help="a graph for graphviz")
    add_source(parser)


@gc_paused()
def run(args: argparse.Namespace) -> int:
    """Draw one task; raise UsageError, HostError, or NotFound if no task has the number."""
    number, world = expect_pid(args.pid), listed(args)
    view = read(world, starts=args.json, containers=args.json, where=args.where)
    everyone, proc = view.processes(), world.proc
    complete = view.is_complete(everyone)
    task = task_of(number, everyone, view.place.ns, complete)
    it = explain(
        task,
        everyone,
        initial=bool(view.reading.mount.initial),
        nobody_hidden=view.has_every_task,
        all_read=complete,
        children_ns=proc.children_ns(task.tid),
        ns_is_read=proc.pid_ns(task.tid) is not None,
    )
    if args.json:
        homes = view.homes(everyone)
        more = explained_json(it, owners_json(homes.own))
        more["containers_known"] = world.knows_containers(view, everyone, homes)
        world.print_document(view, "pids", pids_json(it), it.all_seen, **more)
    else:
        print_text(_drawn(it, args.dot), view.notes)
    return 0


def _drawn(it: Explained, as_graph: bool) -> str:
    if as_graph:
        from pidscope.render.dot import dot

        return dot(it)
    from pidscope.render.drawing import lines

    return "\n".join(lines(it))
