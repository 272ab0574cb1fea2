"""Two records of the same cases: JSON and exit codes must be equal, other words are listed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

_SECONDS = re.compile(r"\b\d+\.\d+ s\b")  # measured, so they differ between two runs of one build
_DIGITS = re.compile(r"\d+")
_DATA = ("-J", "-q")  # with these, standard output is for programs


class Answer(NamedTuple):
    """One invocation and what came of it."""

    argv: list[str]
    stdin: str
    status: int
    stdout: str
    stderr: str

    @property
    def data(self) -> tuple[int, str]:
        """What may not differ: the exit code, and the output that programs read."""
        return self.status, self.stdout if set(_DATA) & set(self.argv) else ""

    @property
    def lines(self) -> list[str]:
        """All text, without the times that were measured."""
        return _SECONDS.sub("T s", self.stdout + self.stderr).splitlines()


class Comparison(NamedTuple):
    """How many answers are equal, which differ in data, and which kinds of lines have changed."""

    equal: int
    differing: list[tuple[Answer, Answer]]
    reworded: int
    kinds: Counter[tuple[str, str]]  # lines before and after, numbers as N


def compare(earlier: Iterable[Answer], present: Iterable[Answer]) -> Comparison:
    """Judge answers in the same order; raises ValueError: they are not to the same cases."""
    equal = reworded = 0
    differing: list[tuple[Answer, Answer]] = []
    kinds: Counter[tuple[str, str]] = Counter()
    for old, new in zip_longest(earlier, present):
        if old is None or new is None or old[:2] != new[:2]:
            raise ValueError("the records are not of the same cases")
        if old.data != new.data:
            differing.append((old, new))
        elif old.lines != new.lines:
            reworded += 1
            kinds.update(_changed(old.lines, new.lines))
        else:
            equal += 1
    return Comparison(equal, differing, reworded, kinds)


def _changed(old: list[str], new: list[str]) -> Iterable[tuple[str, str]]:
    for before, after in zip_longest(old, new, fillvalue=""):
        kind = _DIGITS.sub("N", before), _DIGITS.sub("N", after)
        if kind[0] != kind[1]:
            yield kind
        elif before != after:  # the same words about another number
            yield before, after
