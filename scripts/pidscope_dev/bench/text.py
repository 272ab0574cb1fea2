"""The rows as a table on a terminal; figures and goals in words, as the picture has them, too."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Sequence

from pidscope_dev.bench.row import By, Row

WIDTH = 100
_HEAD = ("against", "ours", "theirs", "figure", "spread", "goal", "")
_FORMAT = "  {:29}{:>9} {:>9} {:>10} {:>16} {:>9} {}"
_NEAR = 0.95  # below it a ratio is easier to grasp as a fraction


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
        reason = f"{against}: cannot run: {row.unable}"
        yield from textwrap.wrap(reason, WIDTH, initial_indent="  ", subsequent_indent="    ")
        return
    theirs = number(statistics.median(row.theirs)) if row.theirs else ""
    ours, middle = statistics.median(row.ours), statistics.median(row.figures)
    compared = "" if row.by is By.VALUE else figure(row, middle)
    yield _FORMAT.format(
        against,
        number(ours),
        theirs,
        compared,
        spread(row),
        goal(row),
        verdict(row),
    ).rstrip()


def number(value: float) -> str:
    """Three digits or so."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def ratio(value: float) -> str:
    """How many times as much: ``1/12`` for less."""
    if 0 < value < _NEAR:
        return f"1/{number(1 / value)}"
    return f"{value:.2f}" if value < 100 else number(value)


def figure(row: Row, value: float) -> str:
    """A figure, or a limit of one, in the way that the row is judged."""
    if row.by is By.RATIO:
        return ratio(value)
    sign = "+" if row.by is By.DIFFERENCE and value >= 0 else ""
    unit = "" if row.unit.endswith("/s") else f" {row.unit}"
    return f"{sign}{number(value)}{unit}"


def goal(row: Row) -> str:
    """What was to be reached."""
    if row.goal is None:
        return ""
    return f"{'≥' if row.goal.at_least else '≤'} {figure(row, row.goal.limit)}"


def spread(row: Row) -> str:
    """The least and the greatest of the repetitions."""
    figures = row.figures
    if row.by is By.RATIO:
        return f"{ratio(min(figures))} … {ratio(max(figures))}"
    return f"{number(min(figures))} … {number(max(figures))}"


def verdict(row: Row) -> str:
    """In a word."""
    if row.unable:
        return "cannot run"
    return {None: "", True: "reached", False: "NOT reached"}[row.reached]
