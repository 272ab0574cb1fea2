"""A version 0 that never was, and its reader: what a change of the format would leave behind.

Its file has the first 16 bytes that all versions have, the time up to which it is complete on both
clocks, one object of JSON behind its length, and plain rows of lives, and no frames.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from pidscope.errors import RecordingError
from pidscope.history import frames
from pidscope.history.blocks import summary
from pidscope.history.frames import Through, pack_frame, pack_head
from pidscope.history.segment import pack_json
from pidscope.wire.lives import LIVES

_ROWS = 1_000  # of a block that is made


def write(head: dict[str, Any], through: Through, rows: bytes) -> bytes:
    import json

    start = struct.pack("<8sHH", frames.MAGIC, 0, 0)
    said = json.dumps(head).encode()
    start += struct.pack("<I", zlib.crc32(start))
    return start + struct.pack("<QQI", *through, len(said)) + said + rows


def read(fd: int) -> Iterator[bytes]:
    """Yield the same as version 1."""
    import json

    boottime_ns, realtime_ns, size = struct.unpack("<QQI", os.pread(fd, 20, 16))
    said = os.pread(fd, min(size, 1 << 20), 36)
    try:
        head = json.loads(said)
    except ValueError:
        raise RecordingError("its head is no JSON") from None
    made = [pack_json(head)]
    at = 36 + size
    while rows := os.pread(fd, _ROWS * LIVES.size, at):
        rows = rows[: len(rows) // LIVES.size * LIVES.size]
        if not rows:
            break
        meta = summary(LIVES, rows, boottime_ns).pack()
        made.append(pack_frame(frames.LIVES, 0, meta, rows, len(rows)))
        at += len(rows)
    whole = frames.HEAD_SIZE + sum(map(len, made))
    yield pack_head(Through(boottime_ns, realtime_ns), whole)
    yield from made
