"""Rings of any size, made: one sealed file of 131,072 lives, again and again at a later time.

Its lives are of 3,500 a second, of which six in ten are in a container. Each number comes again in
each file, as on a host whose pid_max is small.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pidscope.history import frames
from pidscope.history.blocks import pack_rows, parse_summary, summary
from pidscope.history.compression import compress
from pidscope.history.frames import Frame, Through, pack_frame, pack_head
from pidscope.history.keys import Contents
from pidscope.history.ring import segment_name
from pidscope.history.ring_writer import Limits, RingWriter
from pidscope.history.segment import TRAILER, pack_json, read_content
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES, Life, LifeKind, pack_life

LIVES_A_FILE = 131_072
FIRST_PID = 300
BEGIN_NS = 10**12  # CLOCK_BOOTTIME
EPOCH_NS = 1_764_500_000 * 10**9  # the wall clock at that time
HOST, FIRST_INSIDE = 4_026_531_836, 4_026_532_200
_CONTAINER = 2_000  # lives of each
_DAEMONS = 299
_BEFORE_NS = 10**10  # a line of a log may be true up to five seconds before it was written
_COMMS = (b"sh", b"sleep", b"git", b"cc1")


class Made(NamedTuple):
    """A ring, and the lives of each of its files: a number, from when to when, in ns."""

    path: Path
    files: int
    span_ns: int  # of each file
    lives: list[tuple[int, int, int]]  # CLOCK_BOOTTIME, in the first file

    def wall_ns(self, file: int, boottime_ns: int) -> int:
        """Return a time of the first file as the wall clock showed it in another one."""
        return boottime_ns - BEGIN_NS + EPOCH_NS + file * self.span_ns


def rows_of_lives(count: int = LIVES_A_FILE) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Return rows in the order of their ends, and the number, start and end of each."""
    chance, rows, lives = random.Random(1), bytearray(), []
    end = BEGIN_NS + 10**7
    for at in range(count):
        end += chance.randrange(200_000, 380_000)
        start, number = end - chance.randrange(500_000, 5_000_000), FIRST_PID + at
        group = at // _CONTAINER
        is_inside = chance.random() < 0.6
        numbers = (number, 2 + at % 30_000) if is_inside else (number,)
        inums = (HOST, FIRST_INSIDE + group) if is_inside else (HOST,)
        facts = (900 + at // 50, 10**11, 900, 900, chance.choice(_COMMS), 0, 0, 7_000 + group)
        life = Life(LifeKind.PROCESS, numbers, inums, start, end, number, start, *facts, False)
        rows += pack_life(life)[1]
        lives.append((number, start, end))
    return bytes(rows), lives


def made_ring(path: Path, files: int) -> Made:
    """Make a ring of so many files in a directory that is not there yet."""
    rows, lives = rows_of_lives()
    span_ns = lives[-1][2] + 10**6 - BEGIN_NS
    ring = RingWriter(str(path), Limits(64 << 20))
    file = ring.begin(_head(0), _through(0))
    file.add_rows(LIVES, _alive(BEGIN_NS), BEGIN_NS, True)
    for at in range(0, LIVES_A_FILE, 8_192):
        file.add_rows(LIVES, rows[at * LIVES.size : (at + 8_192) * LIVES.size], BEGIN_NS + span_ns)
    file.reached(_through(span_ns))
    ring.close()
    (first,) = path.iterdir()
    for number in range(1, files):
        _write_later(path, number, first, span_ns)
    return Made(path, files, span_ns, lives)


def _write_later(ring: Path, number: int, first: Path, span_ns: int) -> None:
    """Write the ring's first file again, as it were so many files later."""
    begin, end = _through(number * span_ns), _through((number + 1) * span_ns)
    name = segment_name(number + 1, begin.realtime_ns, end.realtime_ns)
    with (ring / name).open("wb") as file:
        file.writelines(_later(first, number * span_ns, span_ns))


def _later(first: Path, by_ns: int, span_ns: int) -> Iterator[bytes]:
    fd = os.open(first, os.O_RDONLY)
    with SegmentFile(str(first)) as file:
        assert file.contents is not None
        firsts, pages = list(file.contents.firsts), list(file.contents.pages)
        made = [_frame_later(fd, frame, by_ns) for frame in file.frames]
    shift = frames.HEAD_SIZE + sum(map(len, made)) - pages[0]
    with os.fdopen(fd, "rb") as old:
        old.seek(pages[0])
        index = old.read()
    index = index[: int.from_bytes(index[-24:-16], "little") - pages[0]]
    yield pack_head(_through(by_ns + span_ns), frames.SEALED)
    offsets, at = [], frames.HEAD_SIZE
    for frame in made:
        offsets.append(at)
        at += len(frame)
        yield frame
    yield index
    contents = Contents(offsets, firsts, [page + shift for page in pages]).pack()
    yield pack_frame(frames.END, 0, b"", contents, len(contents))
    yield (at + len(index)).to_bytes(8, "little") + TRAILER


def _frame_later(fd: int, frame: Frame, by_ns: int) -> bytes:
    if frame.kind == frames.JSON:
        return pack_json(_head(by_ns))
    if frame.kind == frames.ALIVE:
        rows = _alive(BEGIN_NS + by_ns)
        meta = summary(LIVES, rows, BEGIN_NS + by_ns).pack()
        packed = pack_rows(LIVES, rows)
        return pack_frame(
            frames.ALIVE, frame.codec, meta, compress(frame.codec, packed), len(packed)
        )
    # The first row's end is the only time that is no difference: words 4 and 5, the columns 2, 3.
    about, content = parse_summary(frame.meta), bytearray(read_content(fd, frame))
    words = memoryview(content).cast("I")
    end = (words[2 * about.rows] | words[3 * about.rows] << 32) + by_ns
    words[2 * about.rows], words[3 * about.rows] = end & 0xFFFFFFFF, end >> 32
    times = {name: getattr(about, name) + by_ns for name in _TIMES}
    meta = about._replace(**times).pack()
    kept = compress(frame.codec, bytes(content))
    return pack_frame(frames.LIVES, frame.codec, meta, kept, len(content))


_TIMES = ("first_start_ns", "first_end_ns", "last_end_ns", "taken_ns")


def _alive(taken_ns: int) -> bytes:
    """Return rows of tasks that live all the time."""
    rows = bytearray()
    for pid in range(1, _DAEMONS + 1):
        facts = (1, 1, 1, 1, b"daemon", 0, 0, 1, False)
        start = 10**9 + pid
        rows += pack_life(
            Life(LifeKind.PROCESS, (pid,), (HOST,), start, taken_ns, pid, start, *facts)
        )[1]
    return bytes(rows)


def _through(by_ns: int) -> Through:
    return Through(BEGIN_NS + by_ns, EPOCH_NS + by_ns)


def _head(by_ns: int) -> dict[str, object]:
    through = _through(by_ns)
    clock = {"boottime_ns": through.boottime_ns, "realtime_ns": through.realtime_ns}
    return {
        **{"type": "head", "boot_id": "made", "from_ns": BEGIN_NS - _BEFORE_NS, "threads": True},
        **{"initial_ns": HOST, "clock": {**clock, "monotonic_ns": through.boottime_ns}},
    }
