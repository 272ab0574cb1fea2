"""``pidscope export``: the tasks of a recording, in a form that other programs read."""

from __future__ import annotations

import argparse
import importlib
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pidscope.errors import HostError, NotKnown, UsageError
from pidscope.sources.options import RING, add_command
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.history.export.read import Exported
    from pidscope.history.moment import Moment, Now
    from pidscope.history.recording import Recording

_FORMS = {
    "ndjson": "a task a line, with all that is known of it",
    "ocsf": "a process a line: Process Activity of OCSF 1.8",
    "ecs": "a process a line: the Elastic Common Schema 9.4",
    "parquet": "columns, for DuckDB, pandas, ClickHouse",
    "arrow": "the same as an Arrow IPC file",
}
_COLUMNS = frozenset({"parquet", "arrow"})
_PROCESSES = frozenset({"ocsf", "ecs"})  # threads have no place there
_MOST_SHOWN = 10  # gaps
_EXAMPLES = f"""\
Each task that lived in that time is there once: with its numbers at every
level, start and end on both clocks, and what it was at its end. One of which
no end was recorded has none; it lived when its facts were read. What is not
known is null. Without --until, all is known up to the last snapshot.

examples:
  pidscope export --ndjson --since yesterday
  pidscope export --ndjson | jq 'select(.type == "life" and .facts.uid == 0)'
  pidscope export --parquet -o lives.parquet --source {RING}
  pidscope export --ocsf --since -1h --source web.rec

--parquet and --arrow need the Python package pyarrow (pidscope[export]).

exit status: 0 good; 2 wrong usage; 3 this host cannot do it, or no recording;
4 the recording has a gap then (it is printed, and in the output), or nothing
was recorded.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "export",
        help="a recording for other programs: JSON, Parquet, OCSF, ECS",
        description="Write the tasks of a recording in a form that other programs read.",
        epilog=_EXAMPLES,
    )
    forms = parser.add_mutually_exclusive_group(required=True)
    for name, text in _FORMS.items():
        forms.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.add_argument(
        "--source", metavar="SOURCE", help="a ring's directory, a recording's file, or armed"
    )
    parser.add_argument("--since", metavar="TIME", help="tasks that lived then or later")
    parser.add_argument("--until", metavar="TIME", help="tasks that lived then or before")
    parser.add_argument("-o", "--output", metavar="FILE", help="instead of standard output")


def run(args: argparse.Namespace) -> int:
    """Write the tasks; raise UsageError, NotKnown, HostError, RecordingError, OSError."""
    if args.form in _COLUMNS:
        if args.output is None:
            raise UsageError(f"--{args.form} is no text: give a file", f"--{args.form} -o FILE")
        _expect_pyarrow(args.form)
    from pidscope.commands.export_output import output_of
    from pidscope.history.export.read import Exported
    from pidscope.sources.recorded import open_recording

    with ExitStack() as stack:
        recording = stack.enter_context(open_recording(args.source))
        asked = _asked(args, recording)
        exported = Exported(recording, asked, args.form not in _PROCESSES)
        output = stack.enter_context(output_of(args.form, args.output, recording, asked))
        for task in exported.tasks():
            output.put(task)
        output.finish(exported)
        code = _warn(exported, recording, output.unplaced)
    return code


def _expect_pyarrow(form: str) -> None:
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise HostError(
            f"--{form} needs the Python package pyarrow",
            "install it: pip install 'pidscope[export]'",
        ) from None


def _asked(args: argparse.Namespace, recording: Recording) -> Moment:
    """Return the time that was asked for; raise UsageError."""
    from pidscope.history.export.read import ALL, FOREVER
    from pidscope.history.moment import Clock, Moment
    from pidscope.history.typed_time import parse_time
    from pidscope.sources.clocks import LocalZone, read_now
    from pidscope.sources.recorded import of_its_boot

    now, zone = read_now(), LocalZone()
    texts = (args.since, args.until)
    since, until = (None if it is None else parse_time(it, now, zone) for it in texts)
    if since is None and until is None:
        return ALL
    clocks = {it.clock for it in (since, until) if it is not None}
    # Time ago is of this boot, if that is all that is asked for.
    if len(clocks) > 1 or since is None or not recording.is_ring:
        since, until = _by_wall(since, now), _by_wall(until, now)
        clocks = {it.clock for it in (since, until) if it is not None}
    if len(clocks) > 1:
        raise UsageError("--since and --until are of different clocks", "give both in one form")
    clock = clocks.pop()
    first_ns = 0 if since is None else since.first_ns
    last_ns = FOREVER if until is None else until.last_ns
    if first_ns > last_ns:
        raise UsageError("--since is later than --until")
    return of_its_boot(Moment(Clock(clock), first_ns, last_ns), recording)


def _by_wall(moment: Moment | None, now: Now) -> Moment | None:
    """Return a time ago by the wall clock."""
    from pidscope.history.moment import Clock

    if moment is None or moment.clock is not Clock.BOOTTIME:
        return moment
    offset_ns = now.realtime_ns - now.boottime_ns
    first_ns, last_ns = moment.first_ns + offset_ns, moment.last_ns + offset_ns
    return moment._replace(clock=Clock.REALTIME, first_ns=first_ns, last_ns=last_ns)


def _warn(exported: Exported, recording: Recording, unplaced: int) -> int:
    """Print what there is and what is missing; return the exit code."""
    from pidscope.commands.export_output import gap_text, reach_text

    sys.stdout.flush()
    warn(f"lives {exported.ended:,}, alive {exported.alive:,}; {reach_text(exported)}")
    if exported.threads:
        warn(f"{exported.threads:,} threads are left out: this form has no place for them")
    if unplaced:
        warn(f"{unplaced:,} tasks are left out: their time or host is not known")
    for gap in exported.gaps[:_MOST_SHOWN]:
        warn(f"gap: {gap_text(gap)}")
    more = len(exported.gaps[_MOST_SHOWN:]) + exported.more_gaps
    if more:
        warn(f"{more} more gaps")
    for line in recording.refused:
        warn(line)
    return NotKnown.exit_code if exported.gaps or unplaced else 0
