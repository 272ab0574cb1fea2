"""What is found in order by opening little, held against a walk through all."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from pidscope.history.ordered import Overlaps, last_near, last_that


class Named(NamedTuple):
    first_ns: int
    last_ns: int | None


@pytest.mark.parametrize("seed", range(20))
def test_the_files_of_a_time_are_found_though_the_clock_was_set_back(seed: int) -> None:
    chance = random.Random(seed)
    named, now = [], 0
    for _ in range(chance.randrange(1, 40)):
        now = max(0, now + chance.choice((0, 0, 0, 500, -90)))
        named.append(Named(now, now + chance.randrange(50)))
        now += 50
    if chance.random() < 0.5:
        named[-1] = named[-1]._replace(last_ns=None)
    overlaps = Overlaps(named)
    for _ in range(200):
        first = chance.randrange(-10, now + 100)
        last = first + chance.choice((0, 30, 400))
        expected = [
            at
            for at, it in enumerate(named)
            if it.first_ns <= last and (it.last_ns is None or it.last_ns >= first)
        ]
        assert overlaps.of(first, last) == expected


@pytest.mark.parametrize("seed", range(20))
def test_the_last_that_holds_is_found_past_what_cannot_be_seen(seed: int) -> None:
    chance = random.Random(seed)
    size = chance.randrange(1, 200)
    hidden = {at for at in range(size) if chance.random() < 0.2}
    for border in range(-1, size):
        opened: set[int] = set()

        def see(at: int, opened: set[int] = opened) -> int | None:
            opened.add(at)
            return None if at in hidden else at

        expected = max((at for at in range(border + 1) if at not in hidden), default=-1)
        assert last_that(-1, size, see, lambda at, border=border: at <= border) == expected
        if not hidden:
            assert len(opened) <= size.bit_length()
        low = chance.randrange(size)
        if low not in hidden and low <= border:
            assert last_near(low, size, see, lambda at, border=border: at <= border) == expected
