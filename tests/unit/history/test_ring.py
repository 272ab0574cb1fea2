"""A ring: its files' names, what is removed, what a writer that died left, and a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pidscope.errors import NotKnown, UsageError
from pidscope.history import ring_writer
from pidscope.history.file_keeper import FileKeeper
from pidscope.history.frames import LIVES as LIVES_FRAME
from pidscope.history.frames import Through
from pidscope.history.ring import list_segments, segment_name
from pidscope.history.ring_writer import LEAST_BYTES, Limits, RingWriter
from pidscope.history.segment import SegmentWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES
from tests.unit.history.lives import life, rows

S = 1_000_000_000
WALL = 1_764_511_385 * S  # 2025-11-30T14:03:05Z
HEAD = {"type": "head", "boot_id": "b"}


def at(second: int) -> Through:
    return Through(second * S, WALL + second * S)


def names(ring: Path) -> list[str]:
    return sorted(it.name for it in ring.iterdir())


def lives_in(path: Path | str) -> int:
    with SegmentFile(str(path)) as file:
        return sum(about.rows for _, about in file.blocks(LIVES_FRAME))


def fill(ring: RingWriter, files: int, lives: int = 5) -> None:
    for number in range(files):
        file = ring.begin(HEAD, at(100 * number))
        for one in range(lives):
            file.add_rows(LIVES, rows(life((one + 1,))), 100 * number * S)
            file.reached(at(100 * number + one + 1))


def test_names_tell_order_and_times(tmp_path: Path) -> None:
    ring = RingWriter(str(tmp_path / "ring"), Limits(LEAST_BYTES))
    fill(ring, 2)
    assert names(tmp_path / "ring") == [
        "000000000001-20251130T140305.000Z-20251130T140310.000Z.seg",
        "000000000002-20251130T140445.000Z.open",
    ]
    ring.close()
    found = list_segments(str(tmp_path / "ring"))
    assert [(it.sequence, it.first_ns - WALL, it.last_ns) for it in found] == [
        (1, 0, WALL + 5 * S),
        (2, 100 * S, WALL + 105 * S),
    ]
    assert {lives_in(it.path) for it in found} == {5}


def test_a_time_is_within_its_names() -> None:
    name = segment_name(7, WALL + 1, WALL + 1)
    assert name == "000000000007-20251130T140305.000Z-20251130T140305.001Z.seg"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "000000000001-20251330T140305.000Z.open",
        "000000000001-20251130T140305.000Z.seg",
        "000000000001-20251130T140305.000Z-20251130T140305.000Z.open",
        "1-20251130T140305.000Z.open",
        "000000000002-20251130T140305.000Z-20251130T140305.000Z.seg.0123456789abcdef",
    ],
)
def test_other_files_are_none_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert list_segments(str(tmp_path)) == []


def test_there_is_no_ring(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="nothing was recording"):
        list_segments(str(tmp_path / "none"))


def test_the_oldest_are_removed_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_writer, "_size", lambda segment: 10 << 20)
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    fill(ring, 9)
    ring.close()
    # 64 MiB less the 24 of an open file: four of ten, and the one that was open
    assert [it.sequence for it in list_segments(str(tmp_path))] == [5, 6, 7, 8, 9]


def test_the_old_are_removed(tmp_path: Path) -> None:
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES, 250 * S))
    fill(ring, 6)
    ring.close()
    # the sixth began at 500; what had ended before 250 went then
    assert [it.sequence for it in list_segments(str(tmp_path))] == [4, 5, 6]


def test_what_a_dead_writer_left_is_sealed(tmp_path: Path) -> None:
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    fill(ring, 1)
    os.close(ring._fd)  # it died
    (left,) = list_segments(str(tmp_path))
    assert not left.sealed
    notes: list[str] = []
    again = RingWriter(str(tmp_path), Limits(LEAST_BYTES), notes.append)
    (sealed,) = list_segments(str(tmp_path))
    assert (sealed.sealed, sealed.last_ns, lives_in(sealed.path)) == (True, WALL + 5 * S, 5)
    fill(again, 1)
    again.close()
    assert [it.sequence for it in list_segments(str(tmp_path))] == [1, 2]
    assert notes == []


def test_one_bad_file_never_stops_a_start(tmp_path: Path) -> None:
    bad = tmp_path / segment_name(3, WALL)
    bad.write_bytes(b"\0" * 100)
    notes: list[str] = []
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES), notes.append)
    fill(ring, 1)
    ring.close()
    assert [it.sequence for it in list_segments(str(tmp_path))] == [3, 4]
    assert len(notes) == 1 and str(bad) in notes[0]


def test_there_is_one_writer(tmp_path: Path) -> None:
    first = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    with pytest.raises(UsageError, match="another process records into"):
        RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    first.close()
    RingWriter(str(tmp_path), Limits(LEAST_BYTES)).close()


def test_it_may_not_hold_more_than_the_disk(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than there is"):
        RingWriter(str(tmp_path), Limits(1 << 60))
    with pytest.raises(UsageError, match="64 MiB at least"):
        RingWriter(str(tmp_path / "new"), Limits(1 << 20))
    assert not (tmp_path / "new").exists()


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    RingWriter(str(tmp_path / "new"), Limits(LEAST_BYTES)).close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UsageError, match="others may write"):
        RingWriter(str(tmp_path / "open"), Limits(LEAST_BYTES))


class Disk:
    """A disk that is full while it is told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._pwrite = os.pwrite
        monkeypatch.setattr("os.pwrite", self._written)

    def _written(self, fd: int, data: Any, offset: int) -> int:
        if self.full and offset > 48:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._pwrite(fd, data, offset)


def test_a_full_disk_costs_the_oldest_files_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES), notes.append)
    fill(ring, 3)
    disk = Disk(monkeypatch)
    real, removed = ring_writer._remove, []

    def remove(path: str) -> None:
        removed.append(path)
        disk.full = len(removed) < 2
        real(path)

    monkeypatch.setattr(ring_writer, "_remove", remove)
    disk.full = True
    assert ring._file is not None
    ring._file.add_rows(LIVES, rows(life()), 900 * S)
    assert [Path(path).name[:12] for path in removed] == ["000000000001", "000000000002"]
    ring.close()
    (left,) = list_segments(str(tmp_path))
    assert lives_in(left.path) == 6
    assert len(notes) == 2


def test_what_has_no_room_waits_and_then_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_writer, "_WAITING_BYTES", 2 * LIVES.size)
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    file = ring.begin(HEAD, at(0))
    disk = Disk(monkeypatch)
    disk.full = True
    for second in range(1, 5):
        file.add_rows(LIVES, rows(life((second,))), second * S)
        file.reached(at(second))
    assert file.through == at(0)  # it does not claim what is not there
    disk.full = False
    file.add_rows(LIVES, rows(life((5,))), 5 * S)
    file.reached(at(5))
    ring.close()
    (segment,) = list_segments(str(tmp_path))
    with SegmentFile(segment.path) as found:
        assert found.through == at(5)
        (gap,) = [it for it in found.json() if it["type"] == "gap"]
        numbers = [
            block.life(row).numbers[0]
            for frame, _ in found.blocks(LIVES_FRAME)
            if (block := found.rows(frame))
            for row in range(block.count)
        ]
    assert numbers == [1, 2, 5]
    assert gap == {"type": "gap", "first_ns": 0, "reason": "the disk was full", "last_ns": 4 * S}


def test_a_file_that_exists_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "web.rec"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r" exists$"):
        FileKeeper(str(path))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r" exists$"):
        FileKeeper(str(tmp_path / "link"))


def test_one_file_keeps_what_the_clocks_showed_after_a_step(tmp_path: Path) -> None:
    clock: Mapping[str, Any] = {"clock": {"boottime_ns": 1}}
    keeper = FileKeeper(str(tmp_path / "web.rec"))
    first = keeper.begin({**HEAD, **clock}, at(0))
    assert keeper.begin({**HEAD, **clock}, at(5)) is first
    keeper.close()
    with SegmentFile(str(tmp_path / "web.rec")) as found:
        assert [it["type"] for it in found.json()] == ["head", "clock"]


class Full:
    """A disk without room: nothing is written, and no file is made longer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self._pwrite = os.pwrite
        monkeypatch.setattr("os.pwrite", self._written)

    def _written(self, fd: int, data: Any, offset: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._pwrite(fd, data, offset)


def test_where_no_file_can_be_begun_the_one_before_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    head = {**HEAD, "clock": {"boottime_ns": 0, "realtime_ns": WALL}}
    file = ring.begin(head, at(0))
    file.add_rows(LIVES, rows(life((1,))), S)
    disk = Full(monkeypatch)
    assert ring.begin(head, at(9)) is file
    assert (file.first, file.rows) == (at(9), 0)  # it is not full again at once
    assert len(names(tmp_path)) == 1  # and no empty file is left
    disk.full = False
    assert ring.begin(head, at(99)) is not file
    ring.close()
    assert [it.sequence for it in list_segments(str(tmp_path))] == [1, 2]


def test_what_had_no_room_when_its_file_ended_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files have room again, this one's blocks had not: what waited is gone with it."""
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    file = ring.begin(HEAD, at(0))
    monkeypatch.setattr(file, "_written", lambda write: False)
    file.add_rows(LIVES, rows(life((1,))), 3 * S)
    file.reached(at(3))
    ring.begin(HEAD, at(5)).reached(at(6))
    ring.close()
    before, after = list_segments(str(tmp_path))
    with SegmentFile(before.path) as found:
        assert found.through == at(0)
    with SegmentFile(after.path) as found:
        gaps = [it for it in found.json() if it["type"] == "gap"]
    assert [(it["first_ns"], it["last_ns"]) for it in gaps] == [(0, 5 * S)]


def test_what_a_writer_left_that_died_while_it_sealed_is_removed(tmp_path: Path) -> None:
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    fill(ring, 2)
    sealed, _ = list_segments(str(tmp_path))
    ring.close()
    twice = Path(sealed.path).name.split("-")
    (tmp_path / f"{twice[0]}-{twice[1]}.open").write_bytes(b"x")
    (tmp_path / f"{Path(sealed.path).name}.0123456789abcdef").write_bytes(b"x")
    (tmp_path / "notes.seg.0123456789abcdef").write_bytes(b"x")
    RingWriter(str(tmp_path), Limits(LEAST_BYTES)).close()
    kept = {it for it in names(tmp_path) if it.endswith(".seg")}
    assert set(names(tmp_path)) - kept == {"notes.seg.0123456789abcdef"}
    assert len(kept) == 2


def test_files_that_could_not_be_sealed_count_for_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_writer, "_size", lambda segment: 10 << 20)
    monkeypatch.setattr(SegmentWriter, "seal", _unsealable)
    ring = RingWriter(str(tmp_path), Limits(LEAST_BYTES))
    fill(ring, 9)
    ring.close()
    assert [it.sequence for it in list_segments(str(tmp_path))] == [5, 6, 7, 8, 9]


def _unsealable(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")
