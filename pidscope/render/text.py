"""Pieces of text that every table and drawing is made of: what is not known, and what is too wide.

Pure. ``?`` stands for what is not known, ``…`` where something was cut.
"""

from __future__ import annotations

WIDTH = 79  # of a line of prose, a drawing, or a stream
COMM_WIDTH = 15  # TASK_COMM_LEN - 1


def known(value: object) -> str:
    """Return a number or a name as text; ``?`` for None."""
    return "?" if value is None else str(value)


def cut(text: str, room: int) -> str:
    """Return at most ``room`` characters of the start of ``text``."""
    return text if len(text) <= room else text[: room - 1] + "…"


def cut_front(text: str, room: int) -> str:
    """Return at most ``room`` characters of the end of ``text``: it distinguishes cgroups."""
    return text if len(text) <= room else "…" + text[1 - room :]


def cut_inside(text: str, room: int) -> str:
    """Return at most ``room`` characters, the start and the end of ``text``."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def cut_middle(numbers: str, room: int, joint: str = " ") -> str:
    """Leave out inner levels, but never the outermost, the innermost, or a part of a number."""
    if len(numbers) <= room:
        return numbers
    first, *inner = numbers.split(joint)
    while len(inner) > 1:
        del inner[0]
        numbers = joint.join((first, "…", *inner))
        if len(numbers) <= room:
            break
    return numbers
