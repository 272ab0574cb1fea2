"""``pidscope watch``: what the kernel does to PIDs, as it happens."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pidscope.commands import watch_filters
from pidscope.commands.watch_filters import Targets, WatchFilter
from pidscope.commands.watch_output import Counted, CountedObject, Objects, Output, Text
from pidscope.errors import NotKnown, UsageError
from pidscope.events import Event, ForkFailed
from pidscope.limits.failure import Reason, reason
from pidscope.limits.fork_stage import Attempts
from pidscope.query.descendants import TreeFilter
from pidscope.query.fork_counts import ByComm, ByNamespace
from pidscope.render.event_names import ALWAYS, event_name
from pidscope.render.watch_summary import WatchSummary
from pidscope.session.session import Session
from pidscope.session.world import World
from pidscope.sources.command import Stop, seconds, spawned, warn_gaps, warn_head, warn_missing
from pidscope.sources.options import SEE_SCENARIOS, HelpFormatter, add_option, add_proc, procfs_of
from pidscope.sources.watch import Host, LiveHost, add_probes, watched_host
from pidscope.sources.where import warn_shared
from pidscope.terminal import forget_stdout, warn
from pidscope.wire.hooks import FAILURES_TOLD_BY

if TYPE_CHECKING:
    from pidscope.commands.watch_counts import CountingWatch
    from pidscope.snapshot import ProcFiles

_BY = ("where", "comm")
_EXAMPLES = f"""\
The PID column shows a number at every level: 4242/17 is 4242 on the host and
17 in the container. COMM is the name at birth or at the last exec; a rename is
an intermediate event, see -v. With CMD, watch shows what the processes of CMD
do (--all: everything) and ends with CMD; CMD's standard output goes to
standard error. Without CMD, watch ends at Ctrl-C. On a simulated kernel, watch
ends with the scenario, and --duration counts seconds of that kernel.

TYPE is a word of the EVENT column:
  birth, thread  a process, or a thread, has its numbers (attach_pid)
  exec, exit     a new program; the end, with its status or signal. "main
                 thread only": other threads of the process live; "ends N":
                 the last one, with which process N ends
  release        no task has the number any more; a group or session may
                 still have it
  freed          in tracepoint mode instead of release, and later: the kernel
                 freed the task_struct; the number may be in use or free
  fork-fail, no-number
                 a fork failed; alloc_pid gave it no number
  pgid, sid      the process moved to another process group, or session
  exchange       a thread calls exec and takes over its leader's number
  ns-new, ns-dying
                 a PID namespace was made; its number 1 exits, and all with it
shown with -v or if named; other events imply them, and most are recorded only
then:
  alloc, free    a number was given out (alloc_pid), or is free (free_pid)
  created        copy_process succeeded: its clone flags and the cgroup
  transfer       after an exchange: thread group, group and session in turn
  rename, moved  comm has changed; the process is in another cgroup
  seen           numbers, group and session of a task, read at its exec
                 (tracepoint mode)

LOST: records could not be written, and later lines may lack numbers. REPAIRED:
watch has read all tasks again; the lines are exact from there on. Every choice
of TYPE includes both.

WHERE is host, self, pid:N, ns:INUM, id:HEX, name:X, pod:NS/POD[/CONTAINER] or
service:UNIT (pidscope ps --help). watch resolves it once, at the start, and
shows the tasks that have a number in that PID namespace, inner namespaces
included, and the forks into it that failed. --tree starts with the living
descendants; it does not know earlier orphans. --in and --tree together show
what is in both. A simulated kernel plays until WHERE or PID exists; watch
starts there.

--by counts births, and failed forks, in the kernel: no event reaches watch, so
that it may run for days. What narrows the counts (--in, --tree, --type,
--failed, -v, or a CMD without --all) needs each event; they are then counted
from the stream, and JSON has "counted": "stream". The rows are the same, but
for failed forks: in the kernel they count by the name at that moment, in the
stream by the name at birth or at the last exec. There are at most 16,384 rows;
what is new after that, and runs that the kernel skipped, is reported.

--by where prints the container that owns each namespace, or owned it: watch
knows a container that ended meanwhile if its number 1 lived for a tenth of a
second, and its name if it was running for another half second.

For each failed fork, watch prints the errno and the cause. The cause is
certain if the errno and the stage determine it, "likely" if limits read
afterwards support it, otherwise "not known". --failed shows failed forks only,
not exits by a signal or with a bad status. A fork that the kernel restarts
after a signal (ERESTARTNOINTR) is shown, but counted as "restarted".
Tracepoint mode reports no failed fork: FAILED is ? there, and --failed, or a
--type that it never reports, is refused.

--since prints what was recorded (pidscope record, pidscope arm): a line for
each task that ended from then on, at the time of its end, with its birth, and
comm and container as they were then. What it did in between is not recorded.
GAP: from here on something is not known, and the exit status will be 4. With a
container's name --in shows the tasks that were in it, by their cgroup at the
end. Without --until it goes as far as is recorded. --by counts the tasks that
were born then, by namespace, or by the comm at their end (READ-COMM), and no
failed forks; without --until it counts up to the last snapshot, which is at
most a minute old.

examples:
  pidscope watch                        everything on this host
  pidscope watch --duration 5 -J        five seconds of it, an object a line
  pidscope watch -v -- sh -c 'ls | wc'  every event: alloc_pid, attach_pid, …
  pidscope watch --in web --failed      why web cannot fork
  pidscope watch --tree 4242 --type exec,exit
  pidscope watch --by where --duration 60     which container forks most
  pidscope watch --by comm --in ns:4026532160
  pidscope watch --since 14:03 --until 14:05 --in web
  pidscope watch --by where --since -1h
  pidscope watch --source simulated:fork-bomb --failed
  pidscope watch --source all.rec --in web    play back a record --events
  pidscope watch -J | jq -r 'select(.type == "ForkFailed").reason.text'

{SEE_SCENARIOS}

exit status: 0; 1 no such process or place; 2 wrong usage, a WHERE that names
several places, or a CMD that could not be run; 3 this host cannot do it; 4 a
part of a recording is missing (--since, or --source FILE).
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "watch",
        usage="pidscope watch [-h] [--in WHERE] [--tree PID] [--type TYPE[,TYPE]]\n"
        "                      [--failed] [--by where|comm] [-v] [-J] [-n]\n"
        "                      [--duration S] [--all] [--source SOURCE]\n"
        "                      [--probes WAY] [--no-cache] [--proc PATH] [-- CMD…]\n"
        "       pidscope watch --since TIME [--until TIME] [--in WHERE]\n"
        "                      [--by where|comm] [-J] [-n] [--source RING|FILE|armed]",
        help="what the kernel does to PIDs, as it happens",
        description="Show what the kernel does to PIDs, as it happens.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    watch_filters.add_options(parser)
    parser.add_argument(
        "--by",
        type=str.lower,
        choices=_BY,
        help="print only counts, at the end: births and failed forks by namespace or by comm",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="intermediate events too")
    parser.add_argument("-J", "--json", action="store_true", help="JSON, an object a line")
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("--duration", type=seconds, metavar="S", help="seconds, then end")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="the past, from a recording: 14:03, -10m, yesterday 14:03, …",
    )
    parser.add_argument("--until", metavar="TIME", help="with --since: up to then")
    parser.add_argument(
        "--all", action="store_true", help="with CMD: all processes, not just those of CMD"
    )
    add_option(parser, "live")
    add_probes(parser)
    add_proc(parser)
    parser.set_defaults(func=run, command=None)


def run(args: argparse.Namespace) -> int:
    """Stream until CMD or the time ends, a signal comes, or the reader closes the pipe: all are 0.

    4: a part of a recording is missing.

    Raises UsageError, AmbiguousError, NotFound, NotKnown, HostError, ScenarioError, RecordingError.
    """
    if args.since is not None:
        from pidscope.commands import watch_since  # what is live does without

        return watch_since.run(args)
    if args.until is not None:
        raise UsageError("--until goes with --since")
    watch_filters.expect_choice(args)
    with Stop().listening() as stop:
        try:
            return _watch(args, stop).run() or 0
        except BrokenPipeError:
            forget_stdout()
    return 0


def _watch(args: argparse.Namespace, stop: Stop) -> _Watch | CountingWatch:
    host = watched_host(args)
    if args.by is not None and isinstance(host, LiveHost):
        from pidscope.commands.watch_counts import CountingWatch, counts_in_kernel

        if counts_in_kernel(args):
            return CountingWatch(args, stop, host)
    if args.by == "where" and host.is_played_back:
        host.expect_no_owners()
    return _Watch(args, stop, host)


class _Watch:
    """One run: what is shown, and until when."""

    def __init__(self, args: argparse.Namespace, stop: Stop, host: Host) -> None:
        self._args = args
        self._stop = stop
        self._names = watch_filters.event_names_of(args)
        self._steps = watch_filters.steps_of(args)
        self._attempts = Attempts(self._steps)
        self._host = host
        self._output: Output
        self._cmd: TreeFilter | None = None
        self._filter: WatchFilter | None = None  # until the head is printed
        self._summary: WatchSummary

    def run(self) -> int:
        targets = watch_filters.look_for(self._args, self._host)
        with self._host.open(self._show, judged=False, steps=self._steps) as session:
            self._stop.begin()
            watch_filters.expect_told(self._args, session.world.way)
            self._output = _output(self._args, self._host, session.world)
            self._summary = WatchSummary(session.world.sees(FAILURES_TOLD_BY))
            narrowed = WatchFilter(targets, session, self._procfs(targets))
            self._head(session, targets, narrowed)
            self._filter = narrowed
            if self._args.command is None:
                self._follow(session, lambda: not session.world.ended)
            else:
                with spawned(self._args.command) as child:
                    self._cmd = TreeFilter(procfs_of(self._args).number_of(child.pid))
                    self._follow(session, lambda: child.poll() is None)
            session.pump()
            session.look_for_skipped()
            self._output.end(session)
        sys.stdout.flush()
        warn_gaps(session)
        for line in (*narrowed.farewell(session), self._summary.text(session.stream.lost)):
            warn(line)
        return self._warn_missing(session)

    def _warn_missing(self, session: Session) -> int:
        """Print what of a recording is missing, and return the exit status."""
        if not self._host.is_played_back:
            return 0
        missing = self._host.missing(session)
        for line in missing:
            warn(line)
        return NotKnown.exit_code if missing else 0

    def _procfs(self, targets: Targets) -> ProcFiles | None:
        """Return the /proc that shows the descendants of a target; None: that of the session."""
        asked = self._host.is_played_back and targets.root is not None
        return self._host.listed().proc if asked else None

    def _head(self, session: Session, targets: Targets, narrowed: WatchFilter) -> None:
        tasks = warn_head(self._host.title(session.world.way), session)
        warn_missing(session.world.missing)
        if targets.place is not None:
            warn_shared(targets.place)
        self._output.head(_watching(session, tasks, watch_filters.only_json(self._args, narrowed)))

    def _follow(self, session: Session, going_on: Callable[[], bool]) -> None:
        end_ns = math.inf
        if self._args.duration is not None:
            end_ns = self._host.now_ns(session) + self._args.duration * 1e9
        while going_on() and not self._stop.asked and self._host.now_ns(session) < end_ns:
            if session.suspect:
                session.repair()
            session.pump()
            sys.stdout.flush()
            rest_ns = end_ns - self._host.now_ns(session)
            self._host.wait(session, self._stop, rest_ns / 1e9)

    def _show(self, event: Event, session: Session) -> None:
        if self._filter is None:
            return  # the tasks of the head include what the start reported
        name = event_name(event)
        included = self._includes(event, session, self._filter)
        shown = name in ALWAYS or (included and name in self._names)
        self._summary.add(event, included, shown)
        if shown:
            self._output.event(event, session, self._why(event, session))
        self._output.observe(event, session)
        self._attempts.add(event)

    def _includes(self, event: Event, session: Session, narrowed: WatchFilter) -> bool:
        # Both filters need every event, shown or not.
        named = narrowed.includes(event, session)
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
    from pidscope.commands.watch_names import ContainerNames  # most watches count nothing
    from pidscope.commands.watch_owners import NamespaceOwners

    owners = NamespaceOwners(host, ContainerNames(host.names))
    return kind(ByNamespace(), owners, headings)


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
