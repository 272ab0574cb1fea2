"""One comparison: samples of two contenders, what was to be reached, and whether it was."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

_NEVER = 1e-9  # a score without a bound would have no place on any scale


class By(enum.Enum):
    """What of ours is judged: divided by the peer's, less the peer's, or as it is."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    VALUE = "value"


class Goal(NamedTuple):
    """The figure to be reached."""

    limit: float
    at_least: bool = False

    def score(self, figure: float) -> float:
        """How many times better than the goal: 1 has just reached it."""
        if self.at_least:
            return max(figure, _NEVER) / self.limit
        return self.limit / max(figure, _NEVER * self.limit)


class Row(NamedTuple):
    """What one contender took in each repetition, and the other; ``unable``: why there is none.

    A figure of the n-th repetition compares the n-th samples, which were taken one after the other.
    """

    what: str
    unit: str
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    label: str = ""  # whose theirs are
    goal: Goal | None = None
    by: By = By.RATIO
    unable: str = ""
    section: str = ""
    kernel: str = ""

    @property
    def figures(self) -> list[float]:
        """One figure a repetition."""
        if self.by is By.VALUE:
            return list(self.ours)
        pairs = zip(self.ours, self.theirs)
        if self.by is By.DIFFERENCE:
            return [ours - theirs for ours, theirs in pairs]
        return [ours / theirs for ours, theirs in pairs]

    @property
    def figure(self) -> float | None:
        """The median; None: it could not be measured."""
        return statistics.median(self.figures) if self.figures else None

    @property
    def score(self) -> float | None:
        """How many times better than the goal; None: there is no goal, or no figure."""
        if self.goal is None or self.figure is None:
            return None
        return self.goal.score(self.figure)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None as `score`."""
        return None if self.score is None else self.score >= 1


def to_json(row: Row) -> dict[str, Any]:
    """Every sample, and what follows from them."""
    figures = row.figures
    return {
        **row._asdict(),
        "goal": row.goal and row.goal._asdict(),
        "by": row.by.value,
        "figure": row.figure,
        "spread": [min(figures), max(figures)] if figures else None,
        "reached": row.reached,
    }


def from_json(made: Mapping[str, Any]) -> Row:
    """The row of which `to_json` made this."""
    fields = {name: made[name] for name in Row._fields}
    fields.update(ours=tuple(made["ours"]), theirs=tuple(made["theirs"]), by=By(made["by"]))
    return Row(**{**fields, "goal": made["goal"] and Goal(**made["goal"])})
