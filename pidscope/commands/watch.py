"""``pidscope watch``: what the kernel does to PIDs, as it happens."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pidscope import lines
from pidscope.commands.running import (
    Stop,
    seconds,
    spawned,
    tell_gaps,
    tell_head,
    tell_missing,
)
from pidscope.commands.sources import SEE_SCENARIOS, add_option, add_proc
from pidscope.commands.standard import forget_stdout
from pidscope.commands.worlds import add_probes, watched_world
from pidscope.documents import event_json
from pidscope.event import (
    Event,
    Lost,
    Repaired,
    TaskMoved,
    TaskSeen,
)
from pidscope.session import Session
from pidscope.tree import Tree

_EXAMPLES = f"""\
A number stands with its namespaces: 4242/17 is 4242 on the host and 17 in the
container. With CMD only what its processes do is shown (--all: everything),
until it ends; CMD's standard output goes to standard error. Without, until
Ctrl-C. A simulated kernel is watched until its scenario ends; --duration then
counts its own seconds.

Single steps (-v: numbers given out and taken back, renames, moves, each task
that copy_process returns) are not even recorded without it: others imply them.

LOST: records could not be written. From there on numbers may be missing from
the lines, until REPAIRED: all was read anew, and is exact from there on.

examples:
  pidscope watch                        everything on this host
  pidscope watch --duration 5 -J        five seconds of it, an object a line
  pidscope watch -v -- sh -c 'ls | wc'  each step: alloc_pid, attach_pid, …
  pidscope watch --source simulated     two containers, on a kernel in Python

{SEE_SCENARIOS}

exit status: 0, or CMD could not be run: 2; this host cannot do it: 3.
"""
_STEPS = (TaskMoved, TaskSeen)  # that are told anyway


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "watch",
        usage="pidscope watch [-h] [-v] [-J] [-n] [--duration S] [--all]\n"
        "                      [--source SOURCE] [--probes WAY] [--proc PATH] [-- CMD…]",
        help="the kernel's acts on PIDs, as they happen",
        description="Show what the kernel does to PIDs, as it happens.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="the single steps, too")
    parser.add_argument("-J", "--json", action="store_true", help="JSON, an object a line")
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("--duration", type=seconds, metavar="S", help="seconds, then end")
    parser.add_argument("--all", action="store_true", help="with CMD: everybody's, not just CMD's")
    add_option(parser, "live")
    add_probes(parser)
    add_proc(parser)
    parser.set_defaults(func=run, command=None)


def run(args: argparse.Namespace) -> int:
    """Stream until CMD or the time ends, a signal comes, or nobody reads any more: all are 0."""
    with Stop().listening() as stop:
        try:
            _Watch(args, stop).run()
        except BrokenPipeError:
            forget_stdout()
    return 0


class _Watch:
    """One run: what is shown, and until when."""

    def __init__(self, args: argparse.Namespace, stop: Stop) -> None:
        self._args = args
        self._stop = stop
        self._world = watched_world(args)
        self._tree: Tree | None = None
        self._boot_s = self._world.boot_s()
        self._begun = False

    def run(self) -> None:
        steps = self._args.verbose
        with self._world.open(self._show, judged=False, steps=steps) as session:
            self._head(session)
            if self._args.command is None:
                self._follow(session, self._world.goes_on)
            else:
                with spawned(self._args.command) as child:
                    self._tree = Tree(self._world.number_of(child.pid))
                    self._follow(session, lambda: child.poll() is None)
            session.pump()
            session.look_for_skipped()
        sys.stdout.flush()
        tell_gaps(session)
        stream = session.stream
        print(f"pidscope: {stream.events} events, {stream.lost} lost", file=sys.stderr)

    def _head(self, session: Session) -> None:
        tasks = tell_head(self._world.title(), session)
        tell_missing(session)
        if self._args.json:
            print(json.dumps(_watching(session, tasks)), flush=True)
        elif not self._args.noheadings:
            print(lines.HEADING, flush=True)
        self._begun = True

    def _follow(self, session: Session, going_on: Callable[[], bool]) -> None:
        end_ns = math.inf
        if self._args.duration is not None:
            end_ns = session.world.now_ns() + self._args.duration * 1e9
        while going_on() and not self._stop.asked and session.world.now_ns() < end_ns:
            if session.suspect:
                session.repair()
            session.pump()
            sys.stdout.flush()
            self._world.wait()

    def _show(self, event: Event, session: Session) -> None:
        if not self._begun or not self._wanted(event):
            return  # what the start told of is among the tasks of the head
        if self._args.json:
            print(json.dumps(event_json(event)))
        else:
            print(lines.event_line(event, self._clock, lambda tid: _numbers(session, tid)))

    def _wanted(self, event: Event) -> bool:
        # The tree has to see every event, shown or not.
        mine = self._tree.includes(event) if self._tree else self._args.command is None
        if isinstance(event, (Lost, Repaired)):
            return True
        return (mine or self._args.all) and (self._args.verbose or not isinstance(event, _STEPS))

    def _clock(self, ts_ns: int) -> datetime:
        return datetime.fromtimestamp(self._boot_s + ts_ns / 1e9)


def _watching(session: Session, tasks: int) -> dict[str, Any]:
    unseen = list(session.world.missing)
    return {
        "type": "watching",
        "probes": session.world.way,
        "complete": session.proves and not unseen,
        "unseen": unseen,
        "tasks": tasks,
    }


def _numbers(session: Session, tid: int) -> str:
    task = session.table.task(tid) if session.table is not None else None
    return str(tid) if task is None or task.pid is None else lines.of(task.pid.numbers)
