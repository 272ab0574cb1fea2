"""What a watch learned of its world, in order: the entries of an events recording.

A session (`pidscope.session.session`) learns all that it knows through one protocol, the world: the
records of the ring, up to where the ring was filled, what a reading of /proc gave, what time it
was. All of that is kept in the order in which it was learned, so that the same session over what
was kept comes to the same table, events and verdicts. docs/recording.md has the bytes.

*Marks* divide what is kept: what was asked (a task's file, all tasks), a fence, the begin of a step
of the watch. Between two of them stand records and *values* (positions, times, losses), each as
often as it was asked for.

Pure: bytes in, values out. No size is believed that is above what a writer makes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from pidscope.errors import RecordingError

RECORDS, POSITION, NOW, LOST = 1, 2, 3, 4
FENCE, STEP, TASKS, REFUSED, ANSWER, JUDGE, END, NOTE, SAME_TASKS, CHANGED_TASKS = range(5, 15)
TABLE = 15
VALUES = frozenset({POSITION, NOW, LOST})
READINGS = frozenset({TASKS, SAME_TASKS, CHANGED_TASKS, REFUSED})
BARRIERS = frozenset({STEP, JUDGE, END})  # no question is answered from beyond
_KINDS = frozenset(range(1, 16))
_ENTRY = struct.Struct("<B3xI")  # kind, bytes of what follows, before it is filled up to 8
_WORD = struct.Struct("<Q")
MAX_JSON = 1 << 20
RING_HEADER = 8  # before each record: its length, and 4 bytes without a meaning
_LENGTH = struct.Struct("<I4x")


class Entry(NamedTuple):
    """One thing that was learned."""

    kind: int
    payload: memoryview

    @property
    def word(self) -> int:
        """The value that it is; raises RecordingError."""
        return unpack_word(self.payload)


def pack_entry(kind: int, payload: bytes | bytearray = b"") -> bytes:
    """Return the bytes of an entry."""
    return b"".join((_ENTRY.pack(kind, len(payload)), payload, bytes(-len(payload) % 8)))


def pack_word(value: int) -> bytes:
    """Return a value as it is kept."""
    return _WORD.pack(value)


def unpack_word(data: memoryview) -> int:
    """Return the same again; raises RecordingError."""
    if len(data) < _WORD.size:
        raise RecordingError("a value that is cut off")
    value: int = _WORD.unpack_from(data)[0]
    return value


def pack_json(value: Any) -> bytes:
    """Return what was asked, and answered, as it is kept."""
    return json.dumps(value, separators=(",", ":")).encode()


def unpack_json(data: memoryview) -> list[Any]:
    """Return the same again, a list that begins with a word; raises RecordingError."""
    try:
        value = json.loads(bytes(data)) if len(data) <= MAX_JSON else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise RecordingError("an answer that is no list in JSON, or too long")
    return value


def parse_entries(content: bytes) -> Iterator[Entry]:
    """Yield the entries of one frame; raises RecordingError."""
    view, at = memoryview(content), 0
    while at < len(view):
        if at + _ENTRY.size > len(view):
            raise RecordingError("an entry that is cut off")
        kind, size = _ENTRY.unpack_from(view, at)
        begin = at + _ENTRY.size
        at = begin + size + (-size % 8)
        if kind not in _KINDS or at > len(view):
            raise RecordingError(f"no entry of kind {kind} and {size} bytes")
        yield Entry(kind, view[begin : begin + size])


def pack_record(record: bytes | memoryview) -> bytes:
    """Return a record as it lies in a ring."""
    size = len(record)
    return b"".join((_LENGTH.pack(size), record, bytes(-size % 8)))


def parse_record(memory: memoryview, at: int) -> tuple[memoryview, int]:
    """Return the record at ``at``, and where the next one begins; raises RecordingError."""
    size = _LENGTH.unpack_from(memory, at)[0] if at + RING_HEADER <= len(memory) else len(memory)
    begin = at + RING_HEADER
    behind = begin + size + (-size % 8)
    if behind > len(memory):
        raise RecordingError("a record that is cut off")
    return memory[begin : begin + size], behind


def count_records(memory: memoryview) -> int:
    """Return how many records lie behind one another; raises RecordingError."""
    at = count = 0
    while at < len(memory):
        _, at = parse_record(memory, at)
        count += 1
    return count
