"""Edits that keep most of an input's form: what bytes alone would hardly ever come to.

`choose(n)` gives a number from 0 to n - 1: a fuzzer's random one, or one that hypothesis draws.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pidscope_dev.fuzz.target import Target

Choose = Callable[[int], int]

_NUMBER = re.compile(rb"[0-9]+")
_NUMBERS = (b"", b"0", b"-1", b"007", b"255", b"2147483648", b"9" * 10, b"1" * 20, b"8" * 5000)
_WORDS = (b"\0\0\0\0", b"\1\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x21\0\0\0")
_EDITS_MAX = 4
_TIMES = (2, 3, 10, 200)


def mutated(target: Target, data: bytes, choose: Choose) -> bytes:
    """Return ``data`` after a few edits, mostly repaired; never longer than the target takes."""
    for _ in range(1 + choose(1 + choose(_EDITS_MAX))):
        data = _EDITS[choose(len(_EDITS))](target, data, choose)[: target.max_bytes]
    return target.repair(data)[: target.max_bytes] if choose(4) else data


def _flip(target: Target, data: bytes, choose: Choose) -> bytes:
    at = choose(len(data) or 1)
    return data[:at] + bytes(byte ^ 1 << choose(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _byte(target: Target, data: bytes, choose: Choose) -> bytes:
    at = choose(len(data) + 1)
    return data[:at] + bytes([choose(256)]) + data[at + 1 :]


def _aligned(target: Target, data: bytes, choose: Choose) -> bytes:
    """Another 32-bit word at the place of one."""
    at = 4 * choose(len(data) // 4 + 1)
    word = bytes([choose(64), 0, 0, 0]) if choose(2) else _WORDS[choose(len(_WORDS))]
    return data[:at] + word + data[at + 4 :]


def _cut(target: Target, data: bytes, choose: Choose) -> bytes:
    start, end = _slice(data, choose)
    return data[:start] + data[end:]


def _shorten(target: Target, data: bytes, choose: Choose) -> bytes:
    return data[: choose(len(data) + 1)]


def _splice(target: Target, data: bytes, choose: Choose) -> bytes:
    """A piece of a seed, put between or in place of as much."""
    seed = target.seeds[choose(len(target.seeds))]
    start, end = _slice(seed, choose)
    at = choose(len(data) + 1)
    return data[:at] + seed[start:end] + data[at + choose(2) * (end - start) :]


def _repeat(target: Target, data: bytes, choose: Choose) -> bytes:
    start, end = _slice(data, choose)
    return data[:start] + data[start:end] * _TIMES[choose(len(_TIMES))] + data[end:]


def _word(target: Target, data: bytes, choose: Choose) -> bytes:
    at = choose(len(data) + 1)
    word = target.words[choose(len(target.words))] if target.words else b"\0"
    return data[:at] + word + data[at:]


def _number(target: Target, data: bytes, choose: Choose) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    match = found[choose(len(found))]
    return data[: match.start()] + _NUMBERS[choose(len(_NUMBERS))] + data[match.end() :]


def _slice(data: bytes, choose: Choose) -> tuple[int, int]:
    start = choose(len(data) + 1)
    return start, start + choose(min(len(data) - start, 64) + 1)


_EDITS: Sequence[Callable[[Target, bytes, Choose], bytes]] = (
    _flip,
    _byte,
    _aligned,
    _cut,
    _shorten,
    _splice,
    _repeat,
    _word,
    _number,
)
