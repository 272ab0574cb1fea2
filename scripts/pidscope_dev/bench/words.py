"""Figures and goals in words, as the table and the picture have them."""

from __future__ import annotations

from pidscope_dev.bench.row import By, Row

_NEAR = 0.95  # below it a ratio is easier to grasp as a fraction


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
