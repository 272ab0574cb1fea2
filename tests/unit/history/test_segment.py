"""One file of a recording: written, cut, damaged, sealed, and read by two independent readers."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from pidscope.errors import RecordingError
from pidscope.history import compression, frames
from pidscope.history.frames import Through
from pidscope.history.segment import SegmentWriter, pack_json
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES, LIVES_DEEP, Class, Life
from tests.unit.history import second_reader
from tests.unit.history.lives import HOST, life, rows

INSIDE = HOST + 77
BEGIN = Through(1_000, 1_700_000_000_000_001_000)
DEEP = life(range(100, 107), range(HOST, HOST + 7), 500, 5_000)


def writer(path: Path) -> SegmentWriter:
    return SegmentWriter(str(path), {"type": "head", "boot_id": "b"}, BEGIN)


def web(at: int) -> Life:
    return life((1_000 + at, 7 + at % 5), (HOST, INSIDE), 1_000 + at, 3_000 + 10 * at)


def write(path: Path, count: int, step: int = 23) -> SegmentWriter:
    """Write so many lives, ``step`` at a time, and one that is deeper."""
    made = writer(path)
    for at in range(0, count, step):
        some = [web(each) for each in range(at, min(at + step, count))]
        made.add_rows(LIVES, rows(*some), 4_000 + 10 * at)
        made.reached(Through(4_000 + 10 * at, 0))
    made.add_rows(LIVES_DEEP, rows(DEEP), 9_000_000)
    made.add_rows(LIVES, rows(web(count)), 9_000_000, alive=True)
    made.reached(made.through)
    return made


def lives_of(path: Path, cut: bool = False) -> list[Life]:
    with SegmentFile(str(path)) as file:
        found = []
        for frame, _ in file.blocks(frames.LIVES):
            block = file.rows(frame)
            assert block is not None
            found += [block.life(at) for at in range(block.count)]
        assert cut or not file.damaged
        return found


def words(life: Life, of: Class) -> tuple[int, ...]:
    """What the second reader gives of a life."""
    return second_reader.plain(struct.unpack(f"<{of.size // 4}I", rows(life)), of.levels)


@pytest.mark.parametrize("codec", [compression.ZLIB, compression.ZSTD])
@pytest.mark.parametrize("sealed", [False, True])
def test_two_readers_find_the_same(
    tmp_path: Path, sealed: bool, codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pidscope.history.segment.best", lambda: codec)
    path = tmp_path / "one"
    made = write(path, 10_007)
    if sealed:
        made.seal(str(tmp_path / "sealed"))
        assert not path.exists()
        path = tmp_path / "sealed"
    expected = [*map(web, range(10_007)), DEEP]
    assert lives_of(path) == expected
    objects, lives, alive = second_reader.read(path)
    assert objects == [{"type": "head", "boot_id": "b"}]
    assert lives == [words(it, LIVES if it is not DEEP else LIVES_DEEP) for it in expected]
    assert alive == [words(web(10_007), LIVES)]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_number_is_found_by_its_namespace(tmp_path: Path, sealed: bool) -> None:
    path = tmp_path / "one"
    made = write(path, 9_001)
    if sealed:
        made.seal(str(path))
    with SegmentFile(str(path)) as file:
        assert (file.contents is not None) == sealed
        assert list(file.having(HOST, 1_000 + 8_999)) == [web(8_999)]
        assert list(file.having(INSIDE, 9)) == [web(at) for at in range(2, 9_001, 5)]
        assert list(file.having(HOST + 6, 106)) == [DEEP]
        assert list(file.having(INSIDE, 1_000)) == []
        assert list(file.having(HOST, 9)) == []


def test_a_file_that_is_cut_anywhere_keeps_what_was_before(tmp_path: Path) -> None:
    """kill -9, or a power cut, amid a frame: each frame before it is whole."""
    path = tmp_path / "one"
    write(path, 12, step=3).close()
    data = path.read_bytes()
    with SegmentFile(str(path)) as file:
        ends = [frame.end for frame in file.frames if frame.kind == frames.LIVES]
    for size in range(frames.HEAD_SIZE, len(data)):
        path.write_bytes(data[:size])
        whole = [*(4 * [3]), 1][: sum(end <= size for end in ends)]
        assert len(lives_of(path, cut=True)) == sum(whole)


def test_a_damaged_block_costs_that_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "one"
    write(path, 12, step=3).close()
    data = path.read_bytes()
    with SegmentFile(str(path)) as file:
        blocks = [frame for frame in file.frames if frame.kind == frames.LIVES]
    for at in range(blocks[1].offset, blocks[1].end):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        with SegmentFile(str(path)) as file:
            found = [block for frame, _ in file.blocks(frames.LIVES) if (block := file.rows(frame))]
            assert [block.life(0) for block in found] == [web(0), web(6), web(9), DEEP]
            (damage,) = file.damaged
            assert damage.offset == blocks[1].offset
            if at >= blocks[1].data_offset:
                assert damage.about is not None
                assert (damage.about.rows, damage.about.first_end_ns) == (3, 3_000 + 30)


def test_a_sealed_file_without_its_end_is_read_from_the_front(tmp_path: Path) -> None:
    path = tmp_path / "one"
    write(path, 500).seal(str(path))
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 30, len(data) - 200):
        path.write_bytes(data[:size])
        assert len(lives_of(path, cut=True)) == 501


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        (b"", "not a recording"),
        (b"#!/bin/sh\n" * 9, "not a recording"),
        (struct.pack("<8sHH", b"pidscope", 2, 0), "version 2; this pidscope reads version 1"),
        (struct.pack("<8sHH", b"pidevent", 1, 0), "it holds events"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, head: bytes, refusal: str) -> None:
    path = tmp_path / "one"
    crc = zlib.crc32(head).to_bytes(4, "little")
    path.write_bytes((head + crc).ljust(frames.HEAD_SIZE, b"\0") if len(head) == 12 else head)
    with pytest.raises(RecordingError, match=refusal) as raised:
        SegmentFile(str(path))
    assert str(path) in str(raised.value)


def test_a_block_that_expands_beyond_its_size_is_damaged(tmp_path: Path) -> None:
    """A compression bomb: no more is allocated than the frame says, and that has a limit."""
    path = tmp_path / "one"
    made = write(path, 23)
    made.close()
    for codec in (compression.ZLIB, compression.ZSTD):
        bomb = compression.compress(codec, bytes(1 << 20))
        frame = frames.pack_frame(frames.JSON, codec, b"", bomb, 128)
        data = path.read_bytes()
        path.write_bytes(data + frame)
        with SegmentFile(str(path)) as file:
            assert [it["type"] for it in file.json()] == ["head"]
            assert len(file.damaged) == 1
        path.write_bytes(data)


def test_a_frame_with_a_size_beyond_the_limit_is_none() -> None:
    for stored, raw in ((frames.MAX_STORED + 1, 1), (1, frames.MAX_RAW + 1)):
        frame = bytearray(frames.pack_frame(1, 0, b"", b"x", raw))
        struct.pack_into("<I", frame, 8, stored)
        struct.pack_into("<I", frame, 20, zlib.crc32(bytes(frame[:20])))
        assert frames.parse_frame(bytes(frame), 0) is None


def test_a_full_disk_leaves_no_half_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one"
    made = write(path, 23)
    size, real = path.stat().st_size, os.pwrite

    def half(fd: int, data: Any, offset: int) -> int:
        if offset > size:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:100], offset)

    monkeypatch.setattr("os.pwrite", half)
    with pytest.raises(OSError, match="No space"):
        made.add_rows(LIVES, rows(web(1), web(2)), 5)
    assert path.stat().st_size == size
    monkeypatch.undo()
    made.add_rows(LIVES, rows(web(1), web(2)), 5)
    assert len(lives_of(path)) == 26


def test_a_files_head_says_up_to_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "one"
    made = write(path, 23)
    made.reached(Through(8_000, 9))
    with SegmentFile(str(path)) as file:
        assert file.through == Through(8_000, 9)
    data = bytearray(path.read_bytes())
    data[17] ^= 1  # torn
    path.write_bytes(data)
    with SegmentFile(str(path)) as file:
        assert file.through.boottime_ns == 9_000_000  # its last block's
    made.seal(str(path))
    with SegmentFile(str(path)) as file:
        assert file.through == Through(8_000, 9)


def test_files_are_their_owners_alone_and_never_another(tmp_path: Path) -> None:
    made = writer(tmp_path / "one")
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    made.seal(str(tmp_path / "two"))
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for taken in ("two", "link"):
        with pytest.raises(FileExistsError):
            writer(tmp_path / taken)


def test_long_json_is_compressed() -> None:
    assert len(pack_json({"type": "names", "names": ["web"] * 1_000})) < 200
