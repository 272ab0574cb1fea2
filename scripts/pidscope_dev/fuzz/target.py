"""What a target is: a check of one reader, and what is known of the form of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """One reader of bytes."""

    name: str
    check: Callable[[bytes], bool]
    """Read these bytes: True if they were accepted, False if refused with the documented error.

    Any other exception is a finding; an AssertionError means that the answer was not right.
    """
    seeds: tuple[bytes, ...]
    """Whole inputs, all accepted."""
    words: tuple[bytes, ...] = ()
    """What an input is made of."""
    repair: Callable[[bytes], bytes] = lambda data: data
    """Make lengths and types agree again after an edit, so that the reader goes on behind them."""
    max_bytes: int = 4096


def agrees(
    read: Callable[[], object],
    expected: object,
    refusal: type[Exception],
    lines: int | None = None,
) -> bool:
    """Whether a reader accepts its bytes: it must, with this value, unless None is expected.

    ``lines``: the refusal names one of so many.
    """
    try:
        value = read()
    except refusal as error:
        assert expected is None, f"refused: {error}"
        assert lines is None or 1 <= getattr(error, "line_number", 0) <= lines
        return False
    assert value == expected
    return True
