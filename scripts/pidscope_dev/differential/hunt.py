"""The hunt: random steps on both sides, in one world after another, until something differs."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Callable

from pidscope.errors import ScenarioError
from pidscope.model.features import Features
from pidscope.simulated.random_workload import random_steps
from pidscope.simulated.scenario import parse_step
from pidscope.simulated.steps import Step
from pidscope_dev.differential.chaos import Chaos
from pidscope_dev.differential.duel import FIRST, Difference, Duel
from pidscope_dev.differential.theatre import Theatre

CALLS_PER_WORLD = 300
QUICK_SECONDS = 0.1
"""The patience while a sequence is made shorter; the result is tried once more with all of it."""


@dataclass
class Score:
    """What was done, and what was found."""

    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    worlds: int = 0
    disturbed: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """How many system calls."""
        return sum(self.calls.values())


@dataclass(frozen=True)
class Finding:
    """A difference: what it is, the seed of its world, and the steps that lead there."""

    seed: str
    what: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        release = os.uname().release
        lines = [f"# seed {self.seed} on {release}", *map(str, (FIRST, *self.steps))]
        return "\n".join([*lines, *(f"# {line}" for line in self.what.splitlines())])


def hunt(
    theatre: Theatre,
    features: Features,
    seed: str,
    calls: int,
    seconds: float = float("inf"),
    short: bool = True,
) -> tuple[Score, Finding | None]:
    """Play worlds of this seed until so many calls are made, or a difference is found."""
    score = Score()
    start = time.monotonic()
    finding = None
    while finding is None and score.total < calls and time.monotonic() - start < seconds:
        world_seed = f"{seed}.{score.worlds}"
        score.worlds += 1
        finding = play_random(theatre, features, world_seed, score, short)
    score.seconds = time.monotonic() - start
    return score, finding


def play_random(
    theatre: Theatre, features: Features, seed: str, score: Score, short: bool = True
) -> Finding | None:
    """One world of random steps; a difference is made as short as it can be, if wanted."""
    made: list[Step] = []
    with theatre.new_world() as world:
        duel = Duel(world, features)
        steps = _first(_random_steps(duel, seed), CALLS_PER_WORLD, made)
        what = _play(duel, steps, score)
    if what is None:
        return None
    if not theatre.exact and replay(theatre, features, made) != what:
        score.disturbed += 1
        return None
    if not short:
        return Finding(seed, what, tuple(made))

    def still_differs(shorter: Sequence[Step]) -> bool:
        return replay(theatre, features, shorter, patience=QUICK_SECONDS) is not None

    fewest = minimise(made, still_differs)
    again = replay(theatre, features, fewest)
    if again is None:
        return Finding(seed, f"{what}\n(observed once: it did not come again)", tuple(made))
    return Finding(seed, again, tuple(fewest))


def minimise(steps: Sequence[Step], still_differs: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """Leave out whatever is not needed, first in large pieces, at last one by one (ddmin)."""
    kept = list(steps)
    size = max(1, len(kept) // 2)
    while True:
        shrunk = _without_pieces(kept, size, still_differs)
        if size == 1 and len(shrunk) == len(kept):
            return shrunk
        kept = shrunk
        size = max(1, min(size // 2, len(kept)))


def _without_pieces(
    steps: list[Step], size: int, still_differs: Callable[[Sequence[Step]], bool]
) -> list[Step]:
    """One pass from the end to the beginning, leaving out each piece of this size if possible."""
    end = len(steps)
    while end > 0:
        start = max(0, end - size)
        shorter = steps[:start] + steps[end:]
        if still_differs(shorter):
            steps = shorter
        end = start
    return steps


def replay(
    theatre: Theatre,
    features: Features,
    steps: Iterable[Step],
    patience: float | None = None,
    score: Score | None = None,
) -> str | None:
    """Play recorded steps, those that mean nothing left out; the difference, or None."""
    with theatre.new_world() as world:
        if patience is not None:
            world.patience = patience
        return _play(Duel(world, features), steps, score or Score())


def parse_steps(text: str) -> list[Step]:
    """Steps as `Finding` prints them: FIRST is implied, a line may be unknown names only."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    steps = [parse_step(line, number) for number, line in enumerate(lines, 1) if line]
    return [step for step in steps if step._replace(line=FIRST.line) != FIRST]


def _play(duel: Duel, steps: Iterable[Step], score: Score) -> str | None:
    for step in steps:
        try:
            played = duel.step(step)
        except ScenarioError:
            played = None
        except Difference as difference:
            return f"{step}\n{difference}"
        if played is None:
            score.skipped += 1
        else:
            score.calls[played.call] += 1
            score.errors[played.error or "success"] += 1
    return None


def _random_steps(duel: Duel, seed: str) -> Iterator[Step]:
    """By turns those that look for trouble, and those that make a simulated world lively."""
    rng = random.Random(seed)
    if rng.random() < 0.6:
        return iter(Chaos(duel.play, rng))
    steps = random_steps(duel.play, rng)
    next(steps)  # FIRST, which has been made
    return steps


def _first(steps: Iterable[Step], count: int, made: list[Step]) -> Iterator[Step]:
    """So many steps, which are noted."""
    for step, _ in zip(steps, range(count)):
        made.append(step)
        yield step
