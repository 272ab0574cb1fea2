"""``pidscope annotate``: a log on standard input, with each PID in it translated."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from datetime import tzinfo
from typing import TYPE_CHECKING, BinaryIO, Callable

from pidscope.commands.annotate_lines import Piece, pieces
from pidscope.errors import NotKnown, UsageError
from pidscope.escape import escape
from pidscope.history.annotate import EXIT_CODES, Found, find
from pidscope.history.annotation import MARK, NO_PID, Text
from pidscope.history.ask import Recorded
from pidscope.history.logs.formats import EXPRESSION, FORMATS, JSON_LINES, Format, parser_of
from pidscope.history.logs.line import NOTHING, Mention, Parsed, Parser
from pidscope.history.logs.stamps import Stamps
from pidscope.query.words import Where, parse_where
from pidscope.sources.clocks import LocalZone, read_now
from pidscope.sources.options import add_command
from pidscope.sources.recorded import open_recorded
from pidscope.sources.where import EXPLAINED, add_in
from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.history.annotation_json import Objects

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
Write = Callable[[bytes, str, bytes], None]  # a line, the annotation, the end of the line
_MARK_BYTES = MARK.rstrip().encode("ascii")


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
    parser.add_argument("-J", "--json", action="store_true", help="an object a line")


def run(args: argparse.Namespace) -> int:
    """Annotate standard input; raise UsageError, NotKnown."""
    if sys.stdin is None:
        raise UsageError("there is no standard input")
    zone = LocalZone()
    form, parse = _chosen(args, Stamps(zone, lambda: read_now().realtime_ns))
    recordings = Recordings(args.where or parse_where(form.numbers_of), open_recorded)
    with ExitStack() as stack:
        if args.regex is not None:
            from pidscope.commands.annotate_guard import Guard  # the other parsers need no limit

            parse = stack.enter_context(Guard(parse))
        put = _output(args.json, recordings.own, zone)
        annotated = Annotated(parse, form.searched, recordings.of, put)
        code = annotated.all_of(sys.stdin.buffer)
    if annotated.lines and not annotated.numbers:
        warn(f"no line has a PID in the form of {form.about}")
    return code


def _output(
    is_json: bool, recorded: Recorded, zone: tzinfo
) -> Callable[[Piece, Parsed, list[Found]], None]:
    if is_json:
        from pidscope.history.annotation_json import Objects  # text does without

        return JsonOutput(Objects(recorded, zone), _sink()).put
    return TextOutput(Text(recorded, zone), _sink()).put


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


def _sink() -> Write:
    """Return what writes a line: its bytes, the annotation, its end.

    A terminal obeys what it is sent, so it gets a line escaped. A pipe gets the log's own bytes:
    the next program reads the log that it would have read without pidscope.
    """
    text, raw = sys.stdout, sys.stdout.buffer
    if not text.isatty():

        def write(line: bytes, annotation: str, end: bytes) -> None:
            if annotation:
                line += annotation.encode(text.encoding, text.errors or "strict")
            raw.write(line + end)
            raw.flush()

        return write

    def show(line: bytes, annotation: str, end: bytes) -> None:
        shown = "\t".join(escape(part) for part in line.split(b"\t"))
        print(f"{shown}{annotation}", end=end.decode("ascii"), flush=True)

    return show


class Annotated:
    """A log on its way; counts what it had."""

    def __init__(
        self,
        parse: Parser,
        searched: int,
        recorded_of: Callable[[Mention], Recorded],
        put: Callable[[Piece, Parsed, list[Found]], None],
    ) -> None:
        self._parse = parse
        self._searched = searched
        self._recorded_of = recorded_of
        self._put = put
        self.lines = 0
        self.numbers = 0
        self._code = 0

    def all_of(self, stream: BinaryIO) -> int:
        """Annotate all lines of a stream; return the exit code."""
        for piece in pieces(stream):
            parsed, found = self._find(piece) if piece.begins else (NOTHING, [])
            self._put(piece, parsed, found)
        return self._code

    def _find(self, piece: Piece) -> tuple[Parsed, list[Found]]:
        parsed = self._parse(piece.text[: self._searched])
        found = find(parsed, self._recorded_of) if parsed.mentions else []
        self.lines += 1
        self.numbers += len(found)
        for it in found:
            self._code = max(self._code, EXIT_CODES[it.known])
        if parsed.reason and not found:
            self._code = max(self._code, NotKnown.exit_code)
        return parsed, found


class TextOutput:
    """Writes each line with its annotation behind it."""

    def __init__(self, text: Text, write: Write) -> None:
        self._text = text
        self._write = write
        self._pending = ""  # behind a line that comes in pieces

    def put(self, piece: Piece, parsed: Parsed, found: list[Found]) -> None:
        """Write a piece, and behind the last one the annotation."""
        if piece.begins:
            self._pending = self._text.of(parsed, found)
        # The log's own text may have the mark, also at the edge of two pieces: pidscope's is last.
        if not self._pending and (_MARK_BYTES in piece.raw or not piece.ends):
            self._pending = f" {MARK}{NO_PID}]"
        line = piece.text
        self._write(line, self._pending if piece.ends else "", piece.raw[len(line) :])


class JsonOutput:
    """Writes an object a line."""

    def __init__(self, objects: Objects, write: Write) -> None:
        self._objects = objects
        self._write = write

    def put(self, piece: Piece, parsed: Parsed, found: list[Found]) -> None:
        """Write a piece as an object of its own."""
        document = self._objects.of(piece.text, parsed, found)
        document["continues"] = not piece.begins
        self._write(b"", json.dumps(document), b"\n")


class Recordings:
    """Opens the recording for the numbers of the log, and for those of the initial namespace."""

    def __init__(self, where: Where, open_: Callable[[Where], Recorded]) -> None:
        self._host = parse_where("host")
        self._open = open_
        self.own = open_(where)
        self._initial = self.own if where == self._host else None

    def of(self, mention: Mention) -> Recorded:
        """Return what knows of a number."""
        if not mention.is_initial:
            return self.own
        if self._initial is None:
            self._initial = self._open(self._host)
        return self._initial
