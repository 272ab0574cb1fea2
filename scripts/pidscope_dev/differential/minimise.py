"""A shorter sequence that still differs: delta debugging over recorded steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from pidscope.simulated.steps import Step

StillDiffers = Callable[[Sequence[Step]], bool]


def minimise(steps: Sequence[Step], still_differs: StillDiffers) -> list[Step]:
    """Leave out whatever is not needed, first in large pieces, at last one by one (ddmin)."""
    kept = list(steps)
    size = max(1, len(kept) // 2)
    while True:
        shrunk = _without_pieces(kept, size, still_differs)
        if size == 1 and len(shrunk) == len(kept):
            return shrunk
        kept = shrunk
        size = max(1, min(size // 2, len(kept)))


def _without_pieces(steps: list[Step], size: int, still_differs: StillDiffers) -> list[Step]:
    """One pass from the end to the beginning, leaving out each piece of this size if possible."""
    end = len(steps)
    while end > 0:
        start = max(0, end - size)
        shorter = steps[:start] + steps[end:]
        if still_differs(shorter):
            steps = shorter
        end = start
    return steps
