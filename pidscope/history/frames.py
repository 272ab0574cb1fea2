"""The frames of a recording's file: each with its length, what it is, and two checksums.

A file is a head of 48 bytes and frames (docs/recording.md has all of it, byte by byte). Nothing in
a file changes once it is written, but the time up to which it is complete, in its head. So a reader
needs no lock: a frame that is not whole yet is the end, for now.

Bytes in, values out. Nothing is believed of a file before its checksum was right, and no size
above what a writer makes.
"""

import os
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple, Optional

from pidscope.errors import RecordingError

VERSION = 1
MAGIC = b"pidscope"
EVENTS_VERSION = 1
EVENTS_MAGIC = b"pidevent"
_VERSIONS = {MAGIC: VERSION, EVENTS_MAGIC: EVENTS_VERSION}
HEAD_SIZE = 48
FRAME_SIZE = 24
MAX_META = 64
MAX_STORED = 16 << 20
MAX_RAW = 16 << 20
JSON, LIVES, ALIVE, KEYS, END, EVENTS = 1, 2, 3, 4, 5, 6  # kinds of frames

_HEAD = struct.Struct("<8sHHI")  # magic, version, zero, CRC-32 of those
_THROUGH = struct.Struct("<QQQI")  # boottime ns, realtime ns, size, CRC-32 of those
SEALED = (1 << 64) - 1  # instead of a size
_THROUGH_AT = 16
_FRAME_MAGIC = 0x7246DCC7  # its first byte begins no UTF-8 text: none in a name or a path
_FRAME = struct.Struct("<IBBHIII")  # and behind it the CRC-32 of these and the meta


class Through(NamedTuple):
    """Up to when a file has everything, on two clocks."""

    boottime_ns: int
    realtime_ns: int


class Frame(NamedTuple):
    """The head of a frame, whose own checksum is right."""

    offset: int  # in the file
    kind: int
    codec: int  # `pidscope.history.compression`
    meta: bytes  # read without what is stored
    stored: int  # bytes
    raw: int  # bytes once they are expanded
    crc: int  # CRC-32 of what is stored

    @property
    def data_offset(self) -> int:
        """Where in the file that begins."""
        return self.offset + FRAME_SIZE + len(self.meta)

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return self.data_offset + self.stored


def pack_head(through: Through, size: int, magic: bytes = MAGIC) -> bytes:
    """Return the head of a file; ``size`` as for `pack_through`."""
    start = struct.pack("<8sHH", magic, _VERSIONS[magic], 0)
    head = start + struct.pack("<I", zlib.crc32(start)) + pack_through(through, size)[1]
    return head.ljust(HEAD_SIZE, b"\0")


def pack_through(through: Through, size: int) -> tuple[int, bytes]:
    """Return the offset and the bytes by which a file says up to when it is complete.

    ``size`` is how many bytes it needs for that, or SEALED: then it needs its trailer.
    """
    words = struct.pack("<QQQ", *through, size)
    return _THROUGH_AT, words + struct.pack("<I", zlib.crc32(words))


def version_of(head: bytes) -> Optional[int]:
    """Return the version that a file's head states; None: it is none, or damaged."""
    if len(head) < _HEAD.size or head[:8] != MAGIC:
        return None
    version, _, crc = _HEAD.unpack_from(head)[1:]
    return int(version) if crc == zlib.crc32(head[:12]) else None


def parse_head(head: bytes, wanted: bytes = MAGIC) -> Optional[tuple[Through, int]]:
    """Return up to when a file is complete, and the size that it needs for that.

    ``wanted``: the magic of a file of lives, or of events.

    None: that is damaged. Raises RecordingError.
    """
    if len(head) < HEAD_SIZE or head[:8] not in _VERSIONS:
        raise RecordingError("not a recording of pidscope")
    _, version, _, crc = _HEAD.unpack_from(head)
    if crc != zlib.crc32(head[:12]):
        raise RecordingError("the head of the recording is damaged")
    if head[:8] != wanted:
        raise _other_kind(wanted)
    reads = _VERSIONS[wanted]
    if version != reads:
        raise RecordingError(
            f"a recording of version {version}; this pidscope reads version {reads}",
            "read it with the pidscope that wrote it" if version > reads else "",
        )
    boottime_ns, realtime_ns, size, crc = _THROUGH.unpack_from(head, _THROUGH_AT)
    if crc != zlib.crc32(head[_THROUGH_AT : _THROUGH_AT + _THROUGH.size - 4]):
        return None
    return Through(boottime_ns, realtime_ns), size


def is_of_events(path: str) -> bool:
    """Whether a file is one of events; a file that cannot be read is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        head = os.pread(fd, _HEAD.size, 0)
    except OSError:  # a directory, a pipe
        return False
    finally:
        os.close(fd)
    return head[:8] == EVENTS_MAGIC


def _other_kind(wanted: bytes) -> RecordingError:
    """Return why a recording that is of the other kind than the wanted one is refused."""
    if wanted == MAGIC:
        return RecordingError(
            "it holds events (record --events), not lives",
            "name it with --source to watch, ps, ns, lookup [--at TIME], explain and verify",
        )
    return RecordingError(
        "it holds lives, not events, and cannot be played back",
        "ask it with lookup --at TIME or annotate; record --events FILE makes one to play back",
    )


def pack_frame(kind: int, codec: int, meta: bytes, data: bytes, raw: int) -> bytes:
    """Return a frame of data that is compressed already, from ``raw`` bytes."""
    start = _FRAME.pack(_FRAME_MAGIC, kind, codec, len(meta), len(data), raw, zlib.crc32(data))
    return b"".join((start, struct.pack("<I", zlib.crc32(meta, zlib.crc32(start))), meta, data))


def parse_frame(data: bytes, offset: int) -> Optional[Frame]:
    """Return the frame at the start of ``data``, which is at ``offset`` of a file.

    None: there is none, or it is damaged or not whole up to its meta.
    """
    if len(data) < FRAME_SIZE:
        return None
    magic, kind, codec, meta_size, stored, raw, data_crc = _FRAME.unpack_from(data)
    if magic != _FRAME_MAGIC or meta_size > MAX_META or len(data) < FRAME_SIZE + meta_size:
        return None
    meta = data[FRAME_SIZE : FRAME_SIZE + meta_size]
    crc = zlib.crc32(meta, zlib.crc32(data[: FRAME_SIZE - 4]))
    if data[FRAME_SIZE - 4 : FRAME_SIZE] != crc.to_bytes(4, "little"):
        return None
    if stored > MAX_STORED or raw > MAX_RAW:
        return None
    return Frame(offset, kind, codec, meta, stored, raw, data_crc)


def next_frame(data: bytes, start: int, offset: int) -> Optional[Frame]:
    """Return the first undamaged frame in ``data`` from ``start`` on; ``data`` is at ``offset``."""
    magic = _FRAME_MAGIC.to_bytes(4, "little")
    at = data.find(magic, start)
    while at >= 0:
        frame = parse_frame(data[at : at + FRAME_SIZE + MAX_META], offset + at)
        if frame is not None:
            return frame
        at = data.find(magic, at + 1)
    return None


def content(frame: Frame, stored: bytes, expand: Callable[[int, bytes, int], bytes]) -> bytes:
    """Return what a frame holds, from its stored bytes; raises RecordingError."""
    if len(stored) != frame.stored or zlib.crc32(stored) != frame.crc:
        raise RecordingError("its checksum is wrong")
    return expand(frame.codec, stored, frame.raw)
