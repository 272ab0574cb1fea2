"""``pidscope watch``: what the kernel does to PIDs, as it happens."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pidscope.commands import watch_filters as chosen
from pidscope.commands.watch_filters import Choice, Named
from pidscope.commands.watch_output import Counted, CountedObject, Objects, Output, Text
from pidscope.events import Event, ForkFailed
from pidscope.limits.failure import Reason, reason
from pidscope.limits.fork_stage import Attempts
from pidscope.query.descendants import Tree
from pidscope.query.fork_counts import ByComm, ByNamespace
from pidscope.render.event_names import ALWAYS, word_of
from pidscope.render.watch_summary import Totals
from pidscope.session.session import Session
from pidscope.session.world import World
from pidscope.sources.command import Stop, seconds, spawned, tell_gaps, tell_head, tell_missing
from pidscope.sources.options import SEE_SCENARIOS, add_option, add_proc, procfs_of
from pidscope.sources.watch import Host, add_probes, watched_host
from pidscope.sources.where import tell_shared
from pidscope.terminal import forget_stdout, say
from pidscope.wire.hooks import FAILURES_TOLD_BY

_BY = ("where", "comm")
_EXAMPLES = f"""\
A number stands with its namespaces: 4242/17 is 4242 on the host and 17 in the
container. COMM is the name at birth, or at the last exec: a rename is a single
step, see -v. With CMD only what its processes do is shown (--all: everything),
until it ends; CMD's standard output goes to standard error. Without, until
Ctrl-C. A simulated kernel is watched until its scenario ends; --duration then
counts its own seconds.

TYPE is a word of the EVENT column:
  birth, thread  a process, or a thread, has its numbers (attach_pid)
  exec, exit     a new program; the end, and its status or signal
  release        no task has the number any more, but a group or session may
  freed          by tracepoints instead of release, and later: the task_struct
                 is gone; whether the number is free is not told
  fork-fail, no-number
                 a fork failed; alloc_pid gave it no number
  pgid, sid      it is in another process group, or session, now
  exchange       exec by a thread, which takes over its leader's number
  ns-new, ns-dying
                 a PID namespace was made; its number 1 exits, and all with it
with -v, or when named; others imply them, and most are recorded only then:
  alloc, free    numbers given out (alloc_pid), and free again (free_pid)
  created        copy_process succeeded: its clone flags and its cgroup
  transfer       after an exchange, thread group, group, session in turn
  rename, moved  comm has changed; another cgroup
  seen           its numbers, group and session as an exec by tracepoints finds

LOST: records could not be written. From there on numbers may be missing from
the lines, until REPAIRED: all was read anew, and is exact from there on. Both
are always shown.

WHERE is host, self, pid:N, ns:INUM, id:HEX, name:X, pod:NS/POD[/CONTAINER] or
service:UNIT (pidscope ps --help). It is looked up once, at the start: what is
shown then is of tasks that have a number in that PID namespace, inner ones
too, and failed forks into it. --tree begins with the living descendants; who
was orphaned before is not known to be one. Both together: what is of both. A
simulated kernel plays until WHERE or PID is there, and is watched from then.

--by where names the container whose own a namespace is, or was: of one that
ended meanwhile, if its number 1 was there for the tenth of a second between
two looks at the stream.

A failed fork is told with its errno and, below, why: what is certain as it
is, else "likely" or "not known". --failed shows failed forks only; who ends by
a signal, or badly, has not failed to fork. A fork that a signal makes begin
again (ERESTARTNOINTR) is shown, but counted as "made again". Tracepoint mode
sees none, and says so: FAILED is ? there, and --failed, or --type with nothing
that it sees, ends.

examples:
  pidscope watch                        everything on this host
  pidscope watch --duration 5 -J        five seconds of it, an object a line
  pidscope watch -v -- sh -c 'ls | wc'  each step: alloc_pid, attach_pid, …
  pidscope watch --in web --failed      why web cannot fork
  pidscope watch --tree 4242 --type exec,exit
  pidscope watch --by where --duration 60     which container forks most
  pidscope watch --by comm --in ns:4026532160
  pidscope watch --source simulated:fork-bomb --failed
  pidscope watch -J | jq -r 'select(.type == "ForkFailed").reason.text'

{SEE_SCENARIOS}

exit status: 0; 1 no such process or place; 2 wrong usage, a WHERE that is
several, or CMD could not be run; 3 this host cannot do it.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "watch",
        usage="pidscope watch [-h] [--in WHERE] [--tree PID] [--type TYPE[,TYPE]]\n"
        "                      [--failed] [--by where|comm] [-v] [-J] [-n]\n"
        "                      [--duration S] [--all] [--source SOURCE]\n"
        "                      [--probes WAY] [--proc PATH] [-- CMD…]",
        help="the kernel's acts on PIDs, as they happen",
        description="Show what the kernel does to PIDs, as it happens.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    chosen.add_options(parser)
    parser.add_argument(
        "--by",
        type=str.lower,
        choices=_BY,
        help="count births and failed forks by namespace or by comm, for the end",
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
    """Stream until CMD or the time ends, a signal comes, or nobody reads any more: all are 0.

    Raises UsageError, AmbiguousError, NotFound, HostError, ScenarioError.
    """
    chosen.expect_choice(args)
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
        self._words = chosen.words_of(args)
        self._steps = chosen.steps_of(args)
        self._attempts = Attempts(self._steps)
        self._host = watched_host(args)
        self._output: Output
        self._cmd: Tree | None = None
        self._choice: Choice | None = None  # until the head is printed
        self._totals: Totals

    def run(self) -> None:
        named = chosen.look_for(self._args, self._host)
        with self._host.open(self._show, judged=False, steps=self._steps) as session:
            chosen.expect_told(self._args, session.world.way)
            self._output = _output(self._args, self._host, session.world)
            self._totals = Totals(session.world.sees(FAILURES_TOLD_BY))
            choice = Choice(named, session)
            self._head(session, named, choice)
            self._choice = choice
            if self._args.command is None:
                self._follow(session, lambda: not session.world.ended)
            else:
                with spawned(self._args.command) as child:
                    self._cmd = Tree(procfs_of(self._args).number_of(child.pid))
                    self._follow(session, lambda: child.poll() is None)
            session.pump()
            session.look_for_skipped()
            self._output.end(session)
        sys.stdout.flush()
        tell_gaps(session)
        for line in (*choice.farewell(session), self._totals.text(session.stream.lost)):
            say(line)

    def _head(self, session: Session, named: Named, choice: Choice) -> None:
        tasks = tell_head(self._host.title(session.world.way), session)
        tell_missing(session)
        if named.place is not None:
            tell_shared(named.place)
        self._output.head(_watching(session, tasks, chosen.only_json(self._args, choice)))

    def _follow(self, session: Session, going_on: Callable[[], bool]) -> None:
        end_ns = math.inf
        if self._args.duration is not None:
            end_ns = session.world.now_ns() + self._args.duration * 1e9
        while going_on() and not self._stop.asked and session.world.now_ns() < end_ns:
            if session.suspect:
                session.repair()
            session.pump()
            sys.stdout.flush()
            self._host.wait()

    def _show(self, event: Event, session: Session) -> None:
        if self._choice is None:
            return  # what the start told of is among the tasks of the head
        word = word_of(event)
        included = self._is_of_choice(event, session, self._choice)
        shown = word in ALWAYS or (included and word in self._words)
        self._totals.add(event, included, shown)
        if shown:
            self._output.event(event, session, self._why(event, session))
        self._output.see(event, session)
        self._attempts.add(event)

    def _is_of_choice(self, event: Event, session: Session, choice: Choice) -> bool:
        # Trees have to see every event, shown or not.
        named = choice.includes(event, session)
        mine = self._cmd.includes(event) if self._cmd else self._args.command is None
        return named and (mine or self._args.all)

    def _why(self, event: Event, session: Session) -> Reason | None:
        if not isinstance(event, ForkFailed) or self._args.by or session.table is None:
            return None
        facts = self._attempts.facts(event, session.table)
        return reason(
            event,
            facts,
            lambda: self._host.counted(event.by),
            lambda: self._host.cgroups(event.cgroup_id, event.by),
        )


def _output(args: argparse.Namespace, host: Host, world: World) -> Output:
    if args.by is None:
        if args.json:
            return Objects()
        boot_s = world.boot_s()
        return Text(lambda ts_ns: datetime.fromtimestamp(boot_s + ts_ns / 1e9), not args.noheadings)

    kind, headings = (CountedObject if args.json else Counted), not args.noheadings
    if args.by == "comm":
        return kind(ByComm(), None, headings)
    from pidscope.commands.watch_owners import Owners  # most watches count nothing

    return kind(ByNamespace(), Owners(host), headings)


def _watching(session: Session, tasks: int, only: Mapping[str, Any] | None) -> dict[str, Any]:
    unseen = list(session.world.missing)
    return {
        "type": "watching",
        "probes": session.world.way,
        "complete": session.proves and not unseen,
        "unseen": unseen,
        "tasks": tasks,
        "only": only,
    }
