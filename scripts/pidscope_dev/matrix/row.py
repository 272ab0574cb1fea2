"""One row of the table of kernels and modes, and its way between two programs as a line of JSON."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pidscope.wire.hooks import WAYS

ITERATOR = "task iterator"
MODES = (*WAYS, ITERATOR)

YES = "yes"
WRONG = "WRONG"
UNTRIED = "untried"

_TYPE = "modes"
_WORD = re.compile(r"[A-Z0-9]+")


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
