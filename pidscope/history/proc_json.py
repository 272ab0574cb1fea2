"""What was read of /proc, as JSON and back: for events recordings.

Bytes that the kernel gave are text by Latin-1, which has a character for each. Pure.
"""

from __future__ import annotations

from typing import Any

from pidscope.errors import RecordingError
from pidscope.snapshot import Status, TaskReading, Zombie

_NUMBERS = 4  # lists of a status
_MAX_LEVELS = 33  # MAX_PID_NS_LEVEL + 1 (include/linux/pid_namespace.h)
_STATES = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def status_json(status: Status | None) -> list[Any] | None:
    """Return a status as a list of its fields."""
    return None if status is None else [status.name.decode("latin-1"), *status[1:]]


def status_of(value: Any) -> Status | None:
    """Return the same again; raises RecordingError."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(Status._fields):
        raise RecordingError("a status that is none")
    name, state, *numbers = value
    single, lists = numbers[:-_NUMBERS], numbers[-_NUMBERS:]
    if not isinstance(name, str) or state not in _STATES:
        raise RecordingError("a status without a name or a state")
    if not all(map(_is_number, single)) or not all(map(_are_numbers, lists)):
        raise RecordingError("a status whose numbers are none")
    if len({*map(len, lists)}) != 1 or not 1 <= len(lists[0]) <= _MAX_LEVELS:
        raise RecordingError("a status that is of no level")
    return Status(_bytes(name), state, *single, *map(tuple, lists))


def reading_json(task: TaskReading | None) -> list[Any] | None:
    """Return a task that was read as a list."""
    if task is None:
        return None
    zombie = None if task.zombie is None else list(task.zombie)
    return [task.number, status_json(task.status), task.start_ticks, task.ns, zombie]


def reading_of(value: Any) -> TaskReading | None:
    """Return the same again; raises RecordingError."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(TaskReading._fields):
        raise RecordingError("a task that is none")
    number, status, ticks, ns, zombie = value
    made = status_of(status)
    if made is None or not _is_number(number) or not all(map(_may_be_number, (ticks, ns))):
        raise RecordingError("a task whose numbers are none")
    return TaskReading(number, made, ticks, ns, _zombie(zombie))


def _zombie(value: Any) -> Zombie | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(Zombie._fields):
        raise RecordingError("a zombie that is none")
    if not all(map(_may_be_number, value)):
        raise RecordingError("a zombie whose numbers are none")
    return Zombie(*value)


def numbers_of(value: Any) -> list[int]:
    """Return a list of numbers; raises RecordingError."""
    if not _are_numbers(value):
        raise RecordingError("a list of numbers that is none")
    return list(value)


def pairs_of(value: Any) -> list[tuple[int, int]]:
    """Return a list of pairs of numbers; raises RecordingError."""
    if not isinstance(value, list) or not all(_are_numbers(it) and len(it) == 2 for it in value):
        raise RecordingError("a list of pairs that is none")
    return [(first, second) for first, second in value]


def number_of(value: Any) -> int | None:
    """Return a number, or None; raises RecordingError."""
    if not _may_be_number(value):
        raise RecordingError("a number that is none")
    found: int | None = value
    return found


def counts_of(value: Any) -> dict[str, int]:
    """Return counts by name; raises RecordingError."""
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        raise RecordingError("counts that are none")
    return dict(value)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _may_be_number(value: Any) -> bool:
    return value is None or _is_number(value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeError:
        raise RecordingError("text that is not of the kernel's bytes") from None
