"""``pidscope explain``: the kernel's structures of one task, drawn."""

from __future__ import annotations

import argparse

from pidscope.commands.one_task import see
from pidscope.gc_pause import gc_paused
from pidscope.query import explain as explaining
from pidscope.query.process import Outermost
from pidscope.sources.listing import Listed, listed
from pidscope.sources.options import SEE_SCENARIOS, add_option, add_proc
from pidscope.sources.where import EXPLAINED, add_in, warn_shared

_EXAMPLES = f"""\
What is drawn is what is there since Linux 4.19:
  task_struct    a thread; thread_pid is its own struct pid
  signal_struct  a process, which its threads share: pids[] are the struct pids
                 of its thread group, its process group and its session
  struct pid     an identity: numbers[] has one number (struct upid) for each
                 PID namespace from the initial one (level 0) to its own, and
                 tasks[] who has it for its own, as thread group, as process
                 group, as session; while one of these is not empty, its
                 numbers are not given out again
  nsproxy        pid_ns_for_children is where the children will be born, which
                 unshare and setns change, never where the task itself lives
A struct pid is called by its numbers, outermost first: 36/18 is 36 on the host
and 18 in the container. The members of a list stand by number, as /proc does
not tell their order; nothing is stopped while it is read. PID may be a thread.

{EXPLAINED}
examples:
  pidscope explain 4242
  pidscope explain 17 --in pid:4242   who is 17 where 4242 lives
  pidscope explain $$ --dot | dot -Tsvg > pid.svg
  pidscope explain 4242 -J | jq '.pids[] | {{nr, tasks}}'
  pidscope explain 36 --source simulated    on a kernel in Python

{SEE_SCENARIOS}

exit status: 0 drawn; 1 nobody has that number; 2 wrong usage; 3 this user may
not see who has.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "explain",
        help="the kernel structures of a task, drawn",
        description="Draw the kernel's structures of one task, and who shares them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pid", type=_number, metavar="PID", help="a process, or a thread")
    add_in(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("-J", "--json", action="store_true", help="a JSON document")
    form.add_argument("--dot", action="store_true", help="a graph for graphviz")
    add_proc(parser)
    add_option(parser, "proc")
    parser.set_defaults(func=run)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a PID")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Draw one task; raise UsageError, HostError, or NotFound if nobody has the number."""
    world = listed(args)
    with gc_paused():
        return _print(world, args)


def _print(world: Listed, args: argparse.Namespace) -> int:
    seen, proc = see(world, args), world.proc
    place = seen.place()
    task = seen.by_number(args.pid, place)
    it = explaining.explain(
        task,
        seen.everyone,
        Outermost(ns=world.mount.ns, initial=world.mount.initial),
        nobody_hidden=proc.sees_all(),
        all_read=seen.complete,
        children_ns=proc.children_ns(task["tid"]),
        ns_is_read=proc.pid_ns(task["tid"]) is not None,
    )
    if args.json:
        more = explaining.document(it)
        world.print_document("pids", explaining.pid_documents(it), it.all_seen, **more)
        return 0
    print(_drawn(it, args.dot))
    world.warn_outermost()
    warn_shared(place)
    return 0


def _drawn(it: explaining.Explained, as_graph: bool) -> str:
    if as_graph:
        from pidscope.render.dot import dot

        return dot(it)
    from pidscope.render.drawing import lines

    return "\n".join(lines(it))
