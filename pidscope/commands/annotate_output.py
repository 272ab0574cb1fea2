"""How an annotated log is written: the lines as they were read, or an object a line."""

from __future__ import annotations

import json
import sys
from datetime import tzinfo
from typing import TYPE_CHECKING, BinaryIO, Callable

from pidscope.commands.annotate_lines import Piece, pieces
from pidscope.errors import NotKnown
from pidscope.escape import escape
from pidscope.history.annotate import EXIT_CODES, Found, find
from pidscope.history.annotation import MARK, NO_PID, Text
from pidscope.history.ask import Recorded
from pidscope.history.logs.line import NOTHING, Mention, Parsed, Parser
from pidscope.query.words import Where, parse_where

if TYPE_CHECKING:
    from pidscope.history.annotation_json import Objects

_MARK_BYTES = MARK.rstrip().encode("ascii")
Put = Callable[[Piece, Parsed, list[Found]], None]
Write = Callable[[bytes, str, bytes], None]  # a line, the annotation, the end of the line


def output_of(is_json: bool, recorded: Recorded, zone: tzinfo) -> Put:
    """Return what writes each piece of a log to standard output, with times in ``zone``."""
    if is_json:
        from pidscope.history.annotation_json import Objects  # text does without

        return JsonOutput(Objects(recorded, zone), _sink()).put
    return TextOutput(Text(recorded, zone), _sink()).put


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
        put: Put,
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
