"""Searching what is in order, and has to be opened to be seen: as little as possible is. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Callable, Protocol, TypeVar

_Seen = TypeVar("_Seen")


class Named(Protocol):
    """What a file's name tells."""

    @property
    def first_ns(self) -> int:
        """When it begins, by the wall clock."""

    @property
    def last_ns(self) -> int | None:
        """When it ends; None: it goes on."""


class Overlaps:
    """Which files of a ring may have a time of the wall clock, by their names.

    The wall clock may have been set back, so neither begins nor ends need to be in order: but the
    latest end so far is, and the earliest begin from here on.
    """

    def __init__(self, named: Sequence[Named]) -> None:
        never = 1 << 64
        self._named = named
        ends = (never if it.last_ns is None else it.last_ns for it in named)
        self._ends = list(accumulate(ends, max))
        begins: Iterable[int] = (it.first_ns for it in reversed(named))
        self._begins = list(accumulate(begins, min))[::-1]

    def of(self, first_ns: int, last_ns: int) -> list[int]:
        """Return the places of those that have any of this time, in order."""
        low, high = bisect_left(self._ends, first_ns), bisect_right(self._begins, last_ns)
        return [at for at in range(low, high) if _has(self._named[at], first_ns, last_ns)]


def _has(named: Named, first_ns: int, last_ns: int) -> bool:
    return (named.last_ns is None or named.last_ns >= first_ns) and named.first_ns <= last_ns


def last_near(
    low: int, high: int, see: Callable[[int], _Seen | None], holds: Callable[[_Seen], bool]
) -> int:
    """Return what `last_that` does, in fewer steps if it is near ``low``."""
    step = 1
    while low + step < high:
        seen = see(low + step)
        if seen is None:
            break
        if not holds(seen):
            return last_that(low, low + step, see, holds)
        low += step
        step *= 2
    return last_that(low, high, see, holds)


def last_that(
    low: int, high: int, see: Callable[[int], _Seen | None], holds: Callable[[_Seen], bool]
) -> int:
    """Return the last place in between for which something holds, or ``low``.

    It holds up to some place, and behind that for none; ``see`` returns what is at a place, or
    None, if that cannot be seen. Such places are passed by.
    """
    while high - low > 1:
        middle = at = (low + high) // 2
        seen = see(at)
        while seen is None and at + 1 < high:
            at += 1
            seen = see(at)
        if seen is not None and holds(seen):
            low = at
        else:
            high = middle
    return low
