"""The rows as a table on a terminal."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Sequence

from pidscope_dev.bench import words
from pidscope_dev.bench.row import By, Row

WIDTH = 100
_HEAD = ("against", "ours", "theirs", "figure", "spread", "goal", "")
_FORMAT = "  {:29}{:>9} {:>9} {:>10} {:>16} {:>9} {}"


def shown(rows: Sequence[Row]) -> Iterator[str]:
    """The lines; what was measured on which kernel stands above what was measured against it."""
    yield _FORMAT.format(*_HEAD).rstrip()
    before = None
    for row in rows:
        title = row.what, row.section, row.kernel
        if title != before:
            yield f"{row.what}, in {row.unit} [{row.section}, {row.kernel or 'nowhere'}]"
            before = title
        yield from _line(row)


def _line(row: Row) -> Iterator[str]:
    against = row.label or "the goal itself"
    if row.unable:
        said = f"{against}: cannot run: {row.unable}"
        yield from textwrap.wrap(said, WIDTH, initial_indent="  ", subsequent_indent="    ")
        return
    theirs = words.number(statistics.median(row.theirs)) if row.theirs else ""
    ours, middle = statistics.median(row.ours), statistics.median(row.figures)
    told = "" if row.by is By.VALUE else words.figure(row, middle)
    yield _FORMAT.format(
        against,
        words.number(ours),
        theirs,
        told,
        words.spread(row),
        words.goal(row),
        words.verdict(row),
    ).rstrip()
