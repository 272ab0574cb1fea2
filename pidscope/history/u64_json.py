"""A number of 64 bits in JSON."""

from __future__ import annotations

_MAX_SAFE = 2**53  # beyond it a JSON reader may round an integer


def u64(number: int) -> int | str:
    """Return it, as a string beyond 2^53."""
    return number if number <= _MAX_SAFE else str(number)
