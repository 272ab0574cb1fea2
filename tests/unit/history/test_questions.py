"""What a recording answers about a time, held against all that was true of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from pidscope.history.answer import Answer
from pidscope.history.frames import Through
from pidscope.history.questions import Window
from pidscope.history.segment import SegmentWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.history.span import Stretch
from pidscope.wire.lives import LIVES, Life
from tests.unit.history.lives import HOST, life, rows

BOOT = "b"
INSIDE = (HOST + 1, HOST + 2)


class Truth(NamedTuple):
    """A random history: lives, of which some last, and where the files and snapshots are."""

    lives: list[Life]  # those that last beyond the end, too
    snapshots: list[int]
    cuts: list[int]  # where a file ends and the next begins
    end_ns: int

    def at(self, first_ns: int, last_ns: int) -> list[Life]:
        return [it for it in self.lives if it.start_ns <= last_ns and it.end_ns >= first_ns]  # type: ignore[operator]


def make(rng: random.Random, size: int = 60) -> Truth:
    """Numbers are given out again and again, in three namespaces."""
    end_ns, busy = 10_000, {}
    made = [life((1,), (HOST,), 1, 50_000)]
    for _ in range(size):
        start = rng.randrange(end_ns)
        finish = start + rng.choice((1, 20, 500, 4_000, 30_000)) + rng.randrange(9)
        spaces = (HOST, *([rng.choice(INSIDE)] if rng.random() < 0.6 else []))
        numbers = []
        for space in spaces:
            free = [
                number
                for number in range(2, 40)
                if all(b < start or a > finish for a, b in busy.get((space, number), []))
            ]
            numbers.append(rng.choice(free[:6]))
            busy.setdefault((space, numbers[-1]), []).append((start, finish))
        made.append(life(numbers, spaces, start + 1, finish))
    points = sorted(rng.sample(range(1, end_ns), rng.randrange(7)))
    kinds = [rng.random() < 0.7 for _ in points]
    snapshots = [at for at, is_snapshot in zip(points, kinds) if is_snapshot]
    cuts = [at for at, is_snapshot in zip(points, kinds) if not is_snapshot]
    return Truth(made, snapshots, cuts, end_ns)


def record(truth: Truth, place: Path, rng: random.Random) -> list[Path]:
    """Write the files as a recorder would: each begins with a snapshot; some are sealed."""
    paths, begin = [], 0
    for finish in [*truth.cuts, truth.end_ns]:
        path = place / f"{begin}"
        head = {"type": "head", "boot_id": BOOT, "from_ns": 0, "threads": True}
        made = SegmentWriter(str(path), head, Through(begin, begin))
        previous = begin
        inner = [at for at in truth.snapshots if begin < at < finish]
        for at in [begin, *inner, finish]:
            ended = [it for it in truth.lives if previous <= it.end_ns < at]
            ended.sort(key=lambda it: it.end_ns)
            if ended:
                made.add_rows(LIVES, rows(*ended), at)
            made.reached(Through(at, at))
            alive = [it for it in truth.lives if it.start_ns <= at <= it.end_ns]  # type: ignore[operator]
            if alive and at < finish:
                made.add_rows(LIVES, rows(*[it._replace(end_ns=at) for it in alive]), at, True)
            previous = at
        if rng.random() < 0.5:
            made.seal(str(path))
        made.close()
        paths.append(path)
        begin = finish
    return paths


def ask(paths: list[Path], first_ns: int, last_ns: int, ns: int, number: int) -> Answer:
    files = [SegmentFile(str(path)) for path in paths]
    try:
        of_stretch = [it for it in files if it.through.boottime_ns >= first_ns] or files[-1:]
        return Window(of_stretch, Stretch(BOOT, first_ns, last_ns)).holders(ns, number)
    finally:
        for file in files:
            file.close()


@pytest.mark.parametrize("seed", range(60))
def test_an_answer_is_true_or_not_known(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    truth = make(rng)
    paths = record(truth, tmp_path, rng)
    ends = {(it.numbers, it.start_ns): it.end_ns for it in truth.lives}
    for _ in range(60):
        first = rng.randrange(truth.end_ns)
        last = first + rng.choice((0, 0, 7, 300))
        ns, number = rng.choice((HOST, *INSIDE)), rng.randrange(1, 12)
        answer = ask(paths, first, last, ns, number)
        expected = {
            (it.numbers, it.start_ns)
            for it in truth.at(first, last)
            if (ns, number) in zip(it.inums, it.numbers)
        }
        found = {(it.numbers, it.start_ns) for it in answer.holders}
        assert found <= expected, (first, last, ns, number)
        behind = any(at >= last for at in (*truth.snapshots, *truth.cuts))
        # Nothing else has a number while one has it: what lasted all the time is the answer.
        lasted = any(
            it.start_ns <= first and ends[it.numbers, it.start_ns] >= last  # type: ignore[operator]
            for it in answer.holders
        )
        assert answer.gap is None if behind else (answer.gap is not None or lasted)
        if answer.gap is None:
            assert found == expected, (first, last, ns, number)
        for it in answer.holders:
            assert it.end_ns in (None, ends[it.numbers, it.start_ns])
