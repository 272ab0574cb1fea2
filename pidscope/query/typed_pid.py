"""PIDs as they are typed."""

from __future__ import annotations

MAX_NUMBER = 4 << 20  # PID_MAX_LIMIT (include/linux/threads.h)


def parse_pid(text: str) -> int | None:
    """Return the number that a task can have by these digits; None: it is not such a one."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if 0 < number <= MAX_NUMBER else None
