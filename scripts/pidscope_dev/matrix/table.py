"""The table of kernels and modes: its rows, also as lines of JSON, and its place in a text."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.wire.hooks import WAYS

ITERATOR = "task iterator"
MODES = (*WAYS, ITERATOR)

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"
HEAD = ("kernel", *MODES, "bcc")

YES = "yes"
WRONG = "WRONG"
UNTRIED = "untried"

_TYPE = "modes"
_WORD = re.compile(r"[A-Z0-9]+")
_NUMBERS = re.compile(r"\d+")


class Row(NamedTuple):
    """What came of each mode on one kernel with one bcc: `YES`, `WRONG`, or why not, in a word."""

    kernel: str
    bcc: str
    cells: dict[str, str]

    @property
    def good(self) -> bool:
        """Whether every mode was tried, and none that the kernel allows was wrong."""
        return not {WRONG, UNTRIED} & {*self.cells.values()}


def refusal(detail: str) -> str:
    """Return the kernel's refusal in a word: its errno, if it gave one."""
    words = _WORD.findall(detail)
    return next((word for word in words if word in errno.errorcode.values()), "no")


def to_line(row: Row) -> str:
    """Return the row as a line of JSON."""
    return json.dumps({"type": _TYPE, **row._asdict()})


def from_lines(lines: Iterable[str]) -> Iterator[Row]:
    """Find the rows among all other lines."""
    for line in lines:
        if line.startswith(f'{{"type": "{_TYPE}"'):
            read = json.loads(line)
            yield Row(read["kernel"], read["bcc"], read["cells"])


def markdown(rows: Iterable[Row]) -> str:
    """Return the table, oldest kernel first.

    Raises ValueError for two rows of the same kernel and bcc: the other bcc was not the one found.
    """
    rising = sorted(rows, key=_order)
    for one, next_one in zip(rising, rising[1:]):
        if one[:2] == next_one[:2]:
            raise ValueError(f"two rows of {one.kernel} with bcc {one.bcc}")
    body = [(row.kernel, *(row.cells[mode] for mode in MODES), row.bcc) for row in rising]
    lines = [f"| {' | '.join(cells)} |\n" for cells in (HEAD, *body)]
    return "".join([lines[0], "|---" * len(HEAD) + "|\n", *lines[1:]])


def written(text: str, table: str) -> str:
    """Return the text with the table between its two marks. Raises ValueError without them."""
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the table: {BEGIN} and, further on, {END}")
    return f"{before}{begin}{table}{end}{after}"


def _order(row: Row) -> tuple[list[int], str, list[int]]:
    return _numbers(row.kernel)[:3], row.kernel, _numbers(row.bcc)


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in _NUMBERS.findall(version)]
