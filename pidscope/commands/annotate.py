"""``pidscope annotate``: a log on standard input, with each PID in it translated."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pidscope.errors import UsageError
from pidscope.history.logs.formats import EXPRESSION, FORMATS, JSON_LINES, Format, parser_of
from pidscope.query.words import parse_where
from pidscope.sources.options import add_command
from pidscope.sources.where import EXPLAINED, add_in
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.history.logs.line import Parser
    from pidscope.history.logs.stamps import Stamps

_EXAMPLES = f"""\
Each line comes out as it went in, at once and in order, and behind it what had
its PIDs when it was written:

  … Killed process 4242 (nginx) … [pidscope: 4242 (17 inside), at its end nginx
  in container web, born 14:02:59, ended 14:03:05 SIGKILL]

A comm and a container are those of the process's end. The last [pidscope: of a
line is pidscope's, whatever the log says. To a terminal, bytes that are not
printable are written as \\xNN; a pipe or a file gets them as they are.

FORMAT is one of these; the PIDs are of that PID namespace unless --in says of
which they are:
{"".join(f"  {name:13}{it.about} ({it.numbers_of})" + chr(10) for name, it in FORMATS.items())}
What programs wrote in their own words is left alone.

{EXPLAINED}
examples:
  pidscope annotate audit < /var/log/audit/audit.log
  journalctl -o json -u docker | pidscope annotate journal-json -J
  dmesg | pidscope annotate dmesg | grep -a Killed
  pidscope annotate --field pid --time-field ts --in web < web.log
  pidscope annotate --regex '^(?P<time>\\S+) \\w+\\[(?P<pid>[0-9]+)\\]' < log

exit status: 0 each PID was one process's; 1 one was no process's; 2 wrong
usage, or one is ambiguous: several had it within the time that the line gives;
4 one is not known, or nothing was recorded. The highest counts.
"""

_NAMES = ", ".join(FORMATS)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = add_command(
        subparsers,
        run,
        "annotate",
        help="a log, with what had the PIDs in it",
        description="Write a log from standard input with each PID in it translated.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("format", nargs="?", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--field", metavar="NAME", help="of JSON lines: the PID's field (a.b)")
    parser.add_argument("--time-field", metavar="NAME", help="of JSON lines: that of the time")
    parser.add_argument(
        "--regex", metavar="RE", help="of other lines, with (?P<pid>…) or (?P<tid>…), (?P<time>…)"
    )
    add_in(parser)
    parser.add_argument(
        "--source", metavar="SOURCE", help="a ring's directory, a recording's file, or armed"
    )
    parser.add_argument("-J", "--json", action="store_true", help="an object a line")


def run(args: argparse.Namespace) -> int:
    """Annotate standard input; raise UsageError, NotKnown."""
    if sys.stdin is None:
        raise UsageError("there is no standard input")
    # What all commands load for the help of one does without these.
    from pidscope.commands.annotate_output import Annotated, Recordings, output_of
    from pidscope.history.logs.stamps import Stamps
    from pidscope.sources import recorded
    from pidscope.sources.clocks import LocalZone, read_now

    zone = LocalZone()
    form, parse = _chosen(args, Stamps(zone, lambda: read_now().realtime_ns))
    where = args.where or parse_where(form.numbers_of)
    source = () if args.source is None else (args.source,)
    recordings = Recordings(where, lambda where: recorded.open_recorded(where, *source))
    with ExitStack() as stack:
        if args.regex is not None:
            from pidscope.commands.annotate_guard import Guard  # the other parsers need no limit

            parse = stack.enter_context(Guard(parse))
        put = output_of(args.json, recordings.own, zone)
        annotated = Annotated(parse, form.searched, recordings.of, put)
        code = annotated.all_of(sys.stdin.buffer)
    if annotated.lines and not annotated.numbers:
        warn(f"no line has a PID in the form of {form.about}")
    return code


def _chosen(args: argparse.Namespace, stamps: Stamps) -> tuple[Format, Parser]:
    """Return the one log that was asked for."""
    given = [it for it in (args.format, args.field, args.regex) if it is not None]
    if len(given) != 1:
        raise UsageError("one of FORMAT, --field and --regex is needed", f"FORMAT: {_NAMES}")
    if args.time_field is not None and args.field is None:
        raise UsageError("--time-field goes with --field")
    if args.format is not None:
        if args.format not in FORMATS:
            raise UsageError(f"not a format: {args.format!r}", f"it is one of {_NAMES}")
        return FORMATS[args.format], parser_of(args.format, stamps)
    from pidscope.history.logs.chosen import Expression, JsonLines  # loads json's decoder

    if args.field is not None:
        return JSON_LINES, JsonLines(args.field, args.time_field, stamps)
    return EXPRESSION, Expression(args.regex, stamps)
