"""What a target is: a check of one reader, and what is known of the form of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """One reader of bytes."""

    name: str
    check: Callable[[bytes], bool]
    """Read these bytes: True if they were accepted, False if refused with the documented error.

    Any other exception is a finding; an AssertionError says that the answer was not right.
    """
    seeds: tuple[bytes, ...]
    """Whole inputs, all accepted."""
    words: tuple[bytes, ...] = ()
    """What an input is made of."""
    repair: Callable[[bytes], bytes] = lambda data: data
    """Make lengths and types agree again after an edit, so that the reader goes on behind them."""
    max_bytes: int = 4096
