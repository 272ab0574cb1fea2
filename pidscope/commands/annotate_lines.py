"""The lines of a stream, as they come, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_CHUNK = 64 << 10  # bytes
MAX_HELD = 1 << 20  # bytes of a line; a longer one comes in pieces


class Piece(NamedTuple):
    """A line with its end, or a part of one that is longer than `MAX_HELD`."""

    raw: bytes
    begins: bool = True
    ends: bool = True

    @property
    def text(self) -> bytes:
        """All but the newline, and the carriage return before it."""
        raw = self.raw
        if not self.ends or not raw.endswith(b"\n"):
            return raw
        return raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]


def pieces(stream: BinaryIO) -> Iterator[Piece]:
    """Yield all bytes of a stream in order; the last line may have no end."""
    rest, begins = b"", True
    while True:
        chunk = stream.read1(_CHUNK)  # type: ignore[attr-defined]
        if not chunk:
            break
        first, newline, others = chunk.partition(b"\n")
        rest += first + newline
        if newline:
            yield Piece(rest, begins)
            *lines, rest = others.split(b"\n")
            for line in lines:
                yield Piece(line + b"\n")
            begins = True
        if len(rest) > MAX_HELD:
            yield Piece(rest, begins, ends=False)
            rest, begins = b"", False
    if rest or not begins:
        yield Piece(rest, begins)
