"""``pidscope record --events``: keep every event, to be played back."""

from __future__ import annotations

import argparse
import contextlib
import math
from typing import Any

from pidscope.commands.verification import judge_finally, summary
from pidscope.errors import UsageError
from pidscope.render.events import accounts_agree
from pidscope.session.session import Session
from pidscope.sources.command import Stop, spawned, status, warn_gaps, warn_head, warn_missing
from pidscope.sources.events_recorder import EventsRecorder, follow
from pidscope.sources.options import is_recording
from pidscope.sources.watch import Host, watched_host
from pidscope.terminal import warn
from pidscope.verify.verdicts import Tally


def run(args: argparse.Namespace) -> int:
    """Record until CMD, the time, the scenario or the user ends it; raises as `watch` does."""
    others = [
        ("--max-bytes and --max-age are", args.max_bytes is not None or args.max_age is not None),
        ("--no-threads is", args.no_threads),
    ]
    for option, given in others:
        if given:
            raise UsageError(f"{option} for the life stream, not for --events")
    if is_recording(args.source):
        raise UsageError("--events records a kernel: a recording is recorded already")
    with Stop().listening() as stop:
        return _record(args, watched_host(args), stop)


def _record(args: argparse.Namespace, host: Host, stop: Stop) -> int:
    recorder = EventsRecorder(args.events, host)
    with recorder.open() as session:
        stop.begin()
        warn_head(f"recording all events, {host.title(session.world.way)}", session)
        warn_missing(session.world.missing)
        _go_on(args, recorder, session, host, stop)
        recorder.list_end()
        found = _judge(recorder, session)
        recorder.end()
    warn_gaps(session)
    lost = f", {session.stream.lost} lost" if session.stream.lost else ""
    warn(f"{recorder.records} records{lost} in {args.events}; {found}")
    return 0


def _go_on(
    args: argparse.Namespace, recorder: EventsRecorder, session: Session, host: Host, stop: Stop
) -> None:
    duration_s = math.inf if args.duration is None else args.duration
    with contextlib.ExitStack() as stack:
        child = None if args.command is None else stack.enter_context(spawned(args.command))

        def goes_on() -> bool:
            return child.poll() is None if child is not None else not session.world.ended

        follow(recorder, session, host, stop, goes_on, duration_s)
    if child is not None and child.returncode:
        warn(f"the command ended with {status(child.returncode)}")


def _judge(recorder: EventsRecorder, session: Session) -> str:
    """Compare with /proc, as `verify` does once it has ended; return in words what was found."""
    found: dict[str, Any] = {}

    def finish(judged: Session, tally: Tally) -> None:
        judge_finally(judged, tally, lambda: None)
        found.update(summary(judged, tally))

    tally = recorder.judge(session, finish)
    if tally is None:
        return "not compared with /proc, which hides processes"
    compared = f"{tally.compared} tasks compared with /proc"
    if tally.disagreed or not accounts_agree(found):
        return f"{compared}, which disagrees: pidscope verify --source FILE"
    return f"{compared}, all agree" + ("" if tally.complete else ", not complete")
