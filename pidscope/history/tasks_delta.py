"""A reading of all tasks as what has changed since the one before: most tasks stay as they are.

The task iterator writes a record of each task, by increasing number. Where it wrote one task twice,
which happens in an exchange, a reading is kept whole.
"""

from __future__ import annotations

import struct

from pidscope.errors import RecordingError, WireError
from pidscope.wire.batch import split_batch


def pack_changes(before: bytes, written: bytes) -> bytes | None:
    """Return what changes one reading into another; None: the other is to be kept whole.

    It is the count of the tasks that are gone (u32), their numbers, and the records of the tasks
    that are new or have changed.
    """
    old, new = _by_task(before), _by_task(written)
    if not old or not new:
        return None
    gone = [tid for tid in old if tid not in new]
    changed = [record for tid, record in new.items() if old.get(tid) != record]
    packed = struct.pack(f"<{1 + len(gone)}I", len(gone), *gone) + b"".join(changed)
    return packed if len(packed) < len(written) // 2 else None


def apply_changes(before: bytes, changes: bytes) -> bytes:
    """Return the reading that the changes make of the one before; raises RecordingError."""
    count = int.from_bytes(changes[:4], "little")
    end = 4 * (1 + count)
    old = _by_task(before)
    if len(changes) < max(4, end) or not old:
        raise RecordingError("changes of tasks that are cut off, or of none")
    for tid in struct.unpack_from(f"<{count}I", changes, 4):
        old.pop(tid, None)
    new = _by_task(changes[end:])
    if new is None:
        raise RecordingError("a reading of tasks that is damaged")
    old.update(new)
    return b"".join(old[tid] for tid in sorted(old))


def _by_task(written: bytes) -> dict[int, bytes] | None:
    """Return the records by task; None: they are not one for each, by increasing number."""
    try:
        tids, records = split_batch(written)
    except (WireError, IndexError, TypeError, ValueError):
        return None
    found = dict(zip(tids, records))
    return found if list(found) == sorted(found) and len(found) == len(tids) else None
