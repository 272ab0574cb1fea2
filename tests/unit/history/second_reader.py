"""A reader of recordings written from docs/recording.md alone: no code of pidscope's reads here.

It reads a file from front to back, index or none, and gives each life as a tuple of plain numbers.
"""

from __future__ import annotations

import ctypes
import json
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

HEAD, FRAME = 48, 24
MASK = (1 << 64) - 1
# Class: bytes of a row, levels.
CLASSES = {0: (128, 4), 1: (384, 33)}


def read(path: Path) -> tuple[list[dict[str, Any]], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the objects, the lives and the tasks of snapshots, each in the file's order."""
    data = path.read_bytes()
    assert data[:8] == b"pidscope"
    assert struct.unpack_from("<HHI", data, 8) == (1, 0, zlib.crc32(data[:12]))
    objects, lives, alive = [], [], []
    at = HEAD
    while at + FRAME <= len(data):
        magic, kind, codec, meta_size, stored, raw, crc, own = struct.unpack_from(
            "<IBBHIIII", data, at
        )
        if magic != 0x7246DCC7:
            break  # the trailer, or a frame that was cut
        meta = data[at + FRAME : at + FRAME + meta_size]
        begin = at + FRAME + meta_size
        kept = data[begin : begin + stored]
        if zlib.crc32(data[at : at + 20] + meta) != own or len(kept) < stored:
            break
        assert zlib.crc32(kept) == crc
        at = begin + stored
        if kind == 1:
            objects.append(json.loads(expand(codec, kept, raw)))
        elif kind in (2, 3):
            found = lives if kind == 2 else alive
            found += rows(meta, codec, expand(codec, kept, raw))
    return objects, lives, alive


def expand(codec: int, kept: bytes, raw: int) -> bytes:
    if codec == 0:
        return kept
    if codec == 1:
        return zlib.decompress(kept)
    room = ctypes.create_string_buffer(raw)
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    sizes = ctypes.c_size_t(raw), ctypes.c_size_t(len(kept))
    assert zstd.ZSTD_decompress(room, sizes[0], kept, sizes[1]) == raw
    return room.raw


def rows(meta: bytes, codec: int, content: bytes) -> list[tuple[int, ...]]:
    """Return of each row start, end, leader's start, all its other words, in their order."""
    of, count = meta[0], struct.unpack_from("<I", meta, 4)[0]
    size, levels = CLASSES[of]
    if codec == 0:
        words = [struct.unpack_from(f"<{size // 4}I", content, at * size) for at in range(count)]
        return [plain(row, levels) for row in words]
    kept = [*range(2, 23), *range(24, 24 + 2 * levels)]
    columns = {
        word: struct.unpack_from(f"<{count}I", content, 4 * count * place)
        for place, word in enumerate(kept)
    }
    found, end = [], 0
    for at in range(count):
        row = [columns[word][at] if word in columns else 0 for word in range(size // 4)]
        end = (end + long(row, 4)) & MASK
        start = (end - long(row, 2)) & MASK
        leader = (start + long(row, 6)) & MASK
        found.append((start, end, leader, *plain(row, levels)[3:]))
    return found


def plain(row: Any, levels: int) -> tuple[int, ...]:
    others = [*row[8:23], *row[24 : 24 + 2 * levels]]
    return (long(row, 2), long(row, 4), long(row, 6), *others)


def long(row: Any, word: int) -> int:
    return int(row[word] | row[word + 1] << 32)


class Events(NamedTuple):
    """What is in an events recording."""

    head: dict[str, Any]
    records: list[tuple[int, int]]  # the type of each, and its position
    tasks: list[int]  # bytes of each reading of all tasks
    steps: list[int]  # CLOCK_BOOTTIME of each
    listings: set[str]
    ended: bool


def read_events(path: Path) -> Events:
    """Return the records of an events recording, in their order, and what is beside them."""
    data = path.read_bytes()
    assert data[:8] == b"pidevent"
    assert struct.unpack_from("<HHI", data, 8) == (1, 0, zlib.crc32(data[:12]))
    found = Events({}, [], [], [], set(), False)
    at, place, before = HEAD, 0, 0
    while at + FRAME <= len(data):
        _, kind, codec, meta_size, stored, raw, crc, own = struct.unpack_from("<IBBHIIII", data, at)
        begin = at + FRAME + meta_size
        meta, kept = data[at + FRAME : begin], data[begin : begin + stored]
        assert zlib.crc32(data[at : at + 20] + meta) == own and zlib.crc32(kept) == crc
        at = begin + stored
        content = expand(codec, kept, raw)
        if kind == 1:
            value = json.loads(content)
            if value["type"] == "head":
                found.head.update(value)
            elif value.get("part") == "common":
                found.listings.add(value["at"])
        else:
            assert kind == 6
            assert struct.unpack_from("<QQ", meta) == (place, before)
            place, before = place + 1, before + struct.unpack_from("<I", meta, 16)[0]
            found = entries(content, found)
    assert before == len(found.records)
    return found


def entries(content: bytes, found: Events) -> Events:
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("<B3xI", content, at)
        payload = content[at + 8 : at + 8 + size]
        at += 8 + size + -size % 8
        if kind == 1:
            position, place = struct.unpack_from("<Q", payload)[0], 8
            while place < size:
                (length,) = struct.unpack_from("<I", payload, place)
                found.records.append((payload[place + 8], position + place - 8))
                place += 8 + length + -length % 8
        elif kind == 6:
            found.steps.append(long(struct.unpack("<2I", payload), 0))
        elif kind == 7:
            found.tasks.append(size)
        elif kind == 11:
            found = found._replace(ended=True)
    return found
