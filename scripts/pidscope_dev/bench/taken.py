"""Samples of several contenders, taken in turn, so that a busy moment hits all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

from pidscope_dev.bench.row import By, Goal, Row

REPETITIONS = 7

Take = Callable[[], float]
TakeFigures = Callable[[], "Mapping[str, float]"]  # several figures of one repetition, by name
Samples = Mapping[tuple[str, str], Sequence[float]]  # of a contender's figure


class Unable(Exception):
    """This host does not allow a measurement, or lacks what it needs; the message gives why."""


class Asked(NamedTuple):
    """A row to be made of samples: ours against a peer's, or against the goal itself."""

    what: str
    unit: str
    ours: str
    peer: str = ""
    goal: Goal | None = None
    by: By = By.RATIO
    figure: str = ""  # among those of a contender
    label: str = ""  # in place of the peer's name


class Taken:
    """The samples, and why some contenders have none."""

    def __init__(
        self,
        samples: Samples,
        unable: Mapping[str, str] | None = None,
        otherwise: str = "it was not measured",
    ) -> None:
        """``unable`` is why, by contender; ``otherwise``, of contenders that are in neither."""
        self._samples = samples
        self._unable = unable or {}
        self._otherwise = otherwise

    def samples(self, name: str, figure: str = "") -> tuple[float, ...]:
        """What the contender took; empty if it could not."""
        return tuple(self._samples.get((name, figure), ()))

    def why_not(self, name: str, figure: str = "") -> str:
        """Why the contender has no samples; empty if it has."""
        if self.samples(name, figure):
            return ""
        return self._unable.get(name, self._otherwise)

    def row(self, asked: Asked) -> Row:
        """The row that is asked for; without samples, why there are none."""
        what, unit, ours, peer, goal, by, figure, label = asked
        names = (ours, peer) if peer else (ours,)
        unable = next(filter(None, (self.why_not(name, figure) for name in names)), "")
        mine, theirs = (() if unable else self.samples(name, figure) for name in (ours, peer))
        return Row(what, unit, mine, theirs, label or peer, goal, by, unable)


def in_turn(contenders: Mapping[str, Take], repetitions: int = REPETITIONS) -> Taken:
    """Take a sample of each in turn, as `figures_in_turn` does."""
    return figures_in_turn({name: _single(take) for name, take in contenders.items()}, repetitions)


def _single(take: Take) -> TakeFigures:
    return lambda: {"": take()}


def figures_in_turn(contenders: Mapping[str, TakeFigures], repetitions: int = REPETITIONS) -> Taken:
    """Take the figures of each, then again, every second time the other way round.

    A steady rise or fall favours no contender. One that raises Unable is not asked again, and has
    no samples.
    """
    samples: dict[tuple[str, str], list[float]] = {}
    unable: dict[str, str] = {}
    for repetition in range(repetitions):
        for name in list(contenders) if repetition % 2 == 0 else reversed(list(contenders)):
            if name in unable:
                continue
            try:
                figures = contenders[name]()
            except Unable as error:
                unable[name] = str(error)
                continue
            for figure, value in figures.items():
                samples.setdefault((name, figure), []).append(value)
    whole = {key: values for key, values in samples.items() if key[0] not in unable}
    return Taken(whole, unable)
