"""PIDs as they are typed."""

from __future__ import annotations

from pidscope.errors import UsageError
from pidscope.escape import printable

MAX_NUMBER = 4 << 20  # PID_MAX_LIMIT (include/linux/threads.h)
_ZERO = "0 stands for a task that has no number there, such as a parent outside the namespace"
_RANGE = f"a PID is a number from 1 to {MAX_NUMBER}"


def parse_pid(text: str) -> int | None:
    """Return the number that a task can have by these digits; None: it is not such a one."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if 0 < number <= MAX_NUMBER else None


def expect_pid(text: str) -> int:
    """Return the number as `parse_pid` does; raise UsageError for what is none."""
    number = parse_pid(text)
    if number is not None:
        return number
    zero = text and not text.strip("0")
    raise UsageError(f"not a PID: '{printable(text)}'", _ZERO if zero else _RANGE)
