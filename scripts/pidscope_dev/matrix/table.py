"""The rows as a Markdown table, and its place in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pidscope_dev.matrix.row import MODES, Row

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"
HEAD = ("kernel", *MODES, "bcc")

_NUMBERS = re.compile(r"\d+")


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
