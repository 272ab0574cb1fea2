"""The numbers of one command: its arguments, and for ``-`` the lines of standard input.

Lines are handed on as they come, so that a log that is still being written is answered; a line
with a word that is no number costs that line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from pidscope.errors import UsageError
from pidscope.query.typed_pid import expect_pid
from pidscope.terminal import warn

_CHUNK = 64 << 10  # bytes
_MAX_LINE = 1 << 20  # bytes


class TypedNumbers:
    """Numbers in the order in which they were given.

    Args:
        given: the arguments; None stands for standard input.
        stdin: None: there is none.
    """

    def __init__(self, given: Sequence[int | None], stdin: BinaryIO | None) -> None:
        self._given = given
        self._stdin = stdin
        self.refused: list[str] = []  # why a line was no answer, as printed

    def batches(self) -> Iterator[Sequence[int]]:
        """Yield numbers that are there at the same time; raise UsageError if there is none."""
        batch: list[int] = []
        for number in self._given:
            if number is not None:
                batch.append(number)
                continue
            if batch:
                yield batch
            batch = []
            yield from self._of_stdin()
        if batch:
            yield batch

    def _of_stdin(self) -> Iterator[Sequence[int]]:
        empty = True
        for lines in self._lines():
            empty = empty and not any(map(bytes.strip, lines))
            numbers = [number for line in lines for number in self._numbers(line)]
            if numbers:
                yield numbers
        if empty:
            raise UsageError("-: there is no number on standard input")

    def _lines(self) -> Iterator[list[bytes]]:
        if self._stdin is None:
            raise UsageError("-: there is no standard input")
        rest = b""
        while True:
            chunk = self._stdin.read1(_CHUNK)  # type: ignore[attr-defined]
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            yield lines
            if len(rest) > _MAX_LINE:
                raise UsageError("-: a line of more than 1 MiB")
        yield [rest]

    def _numbers(self, line: bytes) -> list[int]:
        words = [word.decode("utf-8", "surrogateescape") for word in line.split()]
        try:
            return [expect_pid(word) for word in words]
        except UsageError as error:
            self.refused.append(str(error))
            warn(str(error))
            return []
