"""``pidscope verify``: watch, rebuild, compare with /proc, and print the verdict."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from typing import Any

from pidscope.commands.verification import judge_finally, summary
from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.events import Event, Repaired
from pidscope.query.descendants import TreeCounts
from pidscope.render.events import accounts_agree, disagreement, gap_line, verification
from pidscope.render.json import event_json
from pidscope.session.session import Session
from pidscope.sources.command import (
    Stop,
    seconds,
    spawned,
    status,
    warn_gaps,
    warn_head,
    warn_missing,
)
from pidscope.sources.options import (
    SEE_SCENARIOS,
    HelpFormatter,
    add_option,
    add_proc,
    is_recording,
    procfs_of,
)
from pidscope.sources.watch import Host, add_probes, watched_host
from pidscope.terminal import warn
from pidscope.verify.verdicts import Judgement, Tally
from pidscope.wire.hooks import COUNTED_BY_TRACEPOINTS

_EXAMPLES = f"""\
verify compares every number of the host again and again while CMD runs (or for
the given time), and once more after CMD has ended. CMD's standard output goes
to standard error. On a simulated kernel, verify starts in the middle of the
scenario and ends with it; --duration counts seconds of that kernel.

After a loss of records, verify judges nothing until it has read all tasks
again. A line REPAIRED then shows how long that took and how many records were
lost.

examples:
  pidscope verify                       ten seconds
  pidscope verify --duration 60
  pidscope verify -J -- make -j8 | tail -1
  pidscope verify --source simulated:random   anywhere, without root
  pidscope verify --source all.rec   judge what record --events compared

{SEE_SCENARIOS}

exit status: 0 every comparison agreed and the last one was complete; 1 a
disagreement, or the last comparison was not complete (in tracepoint mode it
never is); 2 wrong arguments; 3 this host cannot do it; 4 the FILE of --source
has no comparison.
"""
_MAX_UNREAD = 5


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "verify",
        usage="pidscope verify [-h] [--duration S] [-J]\n"
        "                       [--source SOURCE] [--probes WAY] [--no-cache]\n"
        "                       [--proc PATH] [-- CMD…]",
        help="watch, rebuild, and compare with /proc",
        description="Rebuild every PID from kernel events and compare with /proc/*/status.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--duration", type=seconds, metavar="S", help="seconds (default: 10, or until CMD ends)"
    )
    parser.add_argument("-J", "--json", action="store_true", help="JSON, an object a line")
    add_option(parser, "live")
    add_probes(parser)
    add_proc(parser)
    parser.set_defaults(func=run, command=None)


def run(args: argparse.Namespace) -> int:
    """Verify; 0 if all agreed and the proof is complete, else 1."""
    if args.duration is not None and is_recording(args.source):
        raise UsageError("--duration does not go with a recording, which was judged at its end")
    with Stop().listening() as stop:
        return _Verification(args, watched_host(args), stop).run(args.command, args.duration)


class _Verification:
    """One run: what was judged, and what was printed of it."""

    def __init__(self, args: argparse.Namespace, host: Host, stop: Stop) -> None:
        self._args = args
        self._host = host
        self._json = args.json
        self._stop = stop
        self._tally = Tally()
        self._counts: TreeCounts | None = None

    def run(self, command: list[str] | None, duration: float | None) -> int:
        with self._host.open(self._listen, judged=True, steps=True) as session:
            self._stop.begin()
            session.tells_all = command is not None  # whose events are counted
            warn_head(self._host.title(session.world.way), session)
            warn_missing(session.world.missing)
            begun_ns = self._host.now_ns(session)
            if duration is None:
                duration = self._host.duration_s if command is None else math.inf
            end_ns = begun_ns + duration * 1e9
            of_command = {}
            if self._host.is_played_back:
                self._host.play(session)
            elif command is None:
                self._judge_while(session, lambda: not session.world.ended, end_ns)
            else:
                of_command = self._judge_command(session, command, end_ns)
            session.world.rest()
            judge_finally(session, self._tally, self._report)
            summed = {
                **summary(session, self._tally),
                **of_command,
                "elapsed_s": round((self._host.now_ns(session) - begun_ns) / 1e9, 3),
            }
        warn_gaps(session)
        _warn_unread(session)
        print(json.dumps(summed) if self._json else verification(summed), flush=True)
        whole = not session.broken and not session.ungrammatical
        good = self._tally.good and whole and accounts_agree(summed)
        return 0 if good else 1

    def _listen(self, event: Event, session: Session) -> None:
        if isinstance(event, Repaired):
            line = json.dumps(event_json(event)) if self._json else gap_line(event)
            print(line, flush=True)
        if self._counts is not None:
            self._counts.add(event)

    def _judge_command(self, session: Session, command: list[str], end_ns: float) -> dict[str, Any]:
        with spawned(command) as child:
            self._counts = TreeCounts(procfs_of(self._args).number_of(child.pid))
            self._judge_while(session, lambda: child.poll() is None, end_ns)
        session.pump()
        return {
            "cmd_status": status(child.returncode),
            "cmd_counts": _observable(session, self._counts.result()),
        }

    def _judge_while(self, session: Session, going_on: Callable[[], bool], end_ns: float) -> None:
        while going_on() and not self._stop.asked and self._host.now_ns(session) < end_ns:
            session.check_all(self._tally)
            self._report()

    def _report(self) -> None:
        for bug in self._tally.take_bugs():
            line = json.dumps(_disagreement(bug)) if self._json else disagreement(bug)
            print(line, flush=True)


def _warn_unread(session: Session) -> None:
    """Print on standard error which files kept the last snapshot from being complete."""
    for number, reason in [*session.unread.items()][:_MAX_UNREAD]:
        warn(f"not judged: {number}: {printable(reason)}")
    if len(session.unread) > _MAX_UNREAD:
        warn(f"… and {len(session.unread) - _MAX_UNREAD} more that cannot be read")


def _observable(session: Session, counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that this probe mode can know."""
    if session.proves:
        return counts
    return {name: counts[name] for name in COUNTED_BY_TRACEPOINTS}


def _disagreement(bug: Judgement) -> dict[str, Any]:
    return {
        "type": "disagreement",
        "verdict": bug.verdict.value,
        "tid": bug.number,
        "reason": bug.reason,
        "expected": bug.expected,
        "seen": bug.seen,
    }
