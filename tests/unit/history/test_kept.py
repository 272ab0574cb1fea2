"""Recordings of every version of the format are read, a newer one is refused.

The files are in ``kept/``, made by `tests.unit.history.kept.make` when their version was the
current one. What they answer stands here, as it was true of the simulated kernel.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from pidscope import cli
from pidscope.errors import RecordingError
from pidscope.history import frames, older
from pidscope.history.export.read import Exported
from pidscope.history.frames import Through
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past
from pidscope.history.recording import Recording
from pidscope.history.ring import segment_name
from pidscope.history.ring_writer import LEAST_BYTES, Limits, RingWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.query.words import parse_where
from tests.unit.history import second_reader
from tests.unit.history.kept import KEPT, version_0
from tests.unit.history.lives import HOST, life, rows

BOOT = "2899dae4-4fa4-4eef-95b6-6bc95325f61a"
S = 1_000_000_000
VERSIONS = sorted(int(it.name) for it in KEPT.iterdir() if it.name.isdigit())
NEWER = frames.VERSION + 1


def test_each_version_is_kept() -> None:
    """A new version comes with its files, and with a reader for those before."""
    assert list(range(1, frames.VERSION + 1)) == VERSIONS
    assert sorted(older.READERS) == list(range(1, frames.VERSION))  # type: ignore[type-var]


def holders(path: Path, number: int, boottime_ns: int, where: str = "host") -> list[Any]:
    """The numbers, name, end and container of what had a number."""
    with Recording(str(path)) as recording:
        boot_id = BOOT.replace("-", "")
        past = Past(recording, Moment(Clock.BOOTTIME, boottime_ns, boottime_ns, boot_id))
        answer = past.holders(past.resolve(parse_where(where)), number)
        assert answer.gap is None
        found = []
        for it in answer.holders:
            container = past.container(it)
            name = None if container is None else container.name
            found.append((it.numbers, it.comm, it.exit_status, it.signal, name))
        return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("which", ["ring", "one.rec"])
def test_kept_recordings_answer_as_they_did(version: int, which: str) -> None:
    """A sealed file and one whose writer died, in a ring; and a file to share."""
    path = KEPT / str(version) / which
    assert holders(path, 3, 11 * S, "web") == [((6, 3), b"nginx", 3, 0, "web")]
    assert holders(path, 3, 13 * S, "web") == []
    assert holders(path, 2, 20 * S, "web") == [((5, 2), b"sidecar", None, 0, "web")]
    assert holders(path, 1, 21 * S, "pid:8") == [((8, 5, 1), b"sh", None, 0, "web")]
    assert holders(path, 9, 22 * S + 53_000) == [((9,), b"runc", 1, 0, None)]
    assert holders(path, 9, 23 * S) == []
    if which == "one.rec":  # the ring's last file ends before a second snapshot
        assert holders(path, 10, 25 * S) == [((10,), b"sleep", None, 9, None)]


LIVES = [
    # kind, numbers, start and end in us of the boot, exit status, signal, comm, container
    ("process", (6, 3), 2_000_027, 12_000_033, 3, None, "nginx", "web"),
    ("leader", (5, 2), 2_000_024, 17_000_042, None, None, "nginx", "web"),
    ("execed", (7, 4), None, 17_000_043, None, None, "nginx", "web"),
    ("process", (9,), 22_000_051, 22_000_056, 1, None, "runc", None),
    ("process", (10,), 23_000_059, 26_000_064, None, 9, "sleep", None),
    ("process", (1,), 2_000_001, None, None, None, "systemd", None),
    ("process", (2,), 2_000_004, None, None, None, "kthreadd", None),
    ("process", (3,), 2_000_010, None, None, None, "containerd-shim", None),
    ("process", (4, 1), 2_000_016, None, None, None, "nginx", "web"),
    ("process", (5, 2), 2_000_024, None, None, None, "sidecar", "web"),
    ("process", (8, 5, 1), 12_000_037, None, None, None, "sh", "web"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("which", ["ring", "one.rec"])
def test_all_of_a_kept_recording_is_there(version: int, which: str) -> None:
    with Recording(str(KEPT / str(version) / which)) as recording:
        exported = Exported(recording)
        found = list(exported.tasks())
    assert exported.gaps == []
    assert [
        (
            it.kind,
            tuple(number for _, number in it.levels),
            None if it.start is None else it.start.boottime_ns // 1_000,
            None if it.end is None else it.end.boottime_ns // 1_000,
            it.exit_status,
            it.signal,
            it.comm,
            it.containers[-1].name if it.containers else None,
        )
        for it in found
    ] == LIVES
    ended = {it.tid: it.end.realtime_ns for it in found if it.end is not None}
    hour = 3_600 * S  # the wall clock was set forward before 10 was born
    assert ended[9] == 1_764_500_000 * S + 22_000_056_000
    assert ended[10] == 1_764_500_000 * S + 26_000_064_000 + hour


def test_the_second_reader_finds_the_same_in_version_1() -> None:
    """It was written from docs/recording.md alone."""
    (sealed,) = (KEPT / "1" / "ring").glob("*.seg")
    (left,) = (KEPT / "1" / "ring").glob("*.open")
    for path, ends in (
        (sealed, [12_000_033_000, 17_000_042_000, 17_000_043_000, 22_000_056_000]),
        (left, [26_000_064_000]),
    ):
        objects, lives, alive = second_reader.read(path)
        assert [it[1] for it in lives] == ends
        assert alive and objects[0]["host"] == "kept"


# --- older versions --------------------------------------------------------------------------

HEAD = {"type": "head", "boot_id": BOOT, "threads": True, "from_ns": 0, "initial_ns": HOST}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of version 0, and its reader."""
    monkeypatch.setattr(older, "READERS", {0: version_0.read})
    clock = {"boottime_ns": S, "realtime_ns": 1_764_500_000 * S, "monotonic_ns": S}
    lived = rows(*[life((it,), start_ns=it * S, end_ns=(it + 1) * S) for it in range(2, 5_002)])
    path = tmp_path / "zero"
    through = Through(6_000 * S, 1_764_506_000 * S)
    path.write_bytes(version_0.write({**HEAD, "clock": clock}, through, lived))
    return path


def test_an_older_version_is_read_by_its_reader(planted: Path) -> None:
    with SegmentFile(str(planted)) as file:
        assert file.head["boot_id"] == BOOT and file.through.boottime_ns == 6_000 * S
        assert [it.numbers for it in file.having(HOST, 3_000)] == [(3_000,)]
        assert file.damaged == []
    with Recording(str(planted)) as recording:
        assert len(list(Exported(recording).tasks())) == 5_000


def test_an_older_file_that_is_damaged_is_refused(planted: Path) -> None:
    planted.write_bytes(planted.read_bytes()[:50])
    with pytest.raises(RecordingError, match="its head is no JSON"):
        SegmentFile(str(planted))


def test_a_new_writer_seals_what_an_older_one_left(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade: the open file of version 0 becomes a sealed one of this version."""
    ring = tmp_path / "ring"
    ring.mkdir(0o700)
    shutil.copy(planted, ring / segment_name(1, 1_764_500_000 * S))
    RingWriter(str(ring), Limits(LEAST_BYTES)).close()
    (sealed,) = ring.iterdir()
    monkeypatch.setattr(older, "READERS", {})
    with SegmentFile(str(sealed)) as file:
        assert file.contents is not None
        assert [it.numbers for it in file.having(HOST, 3_000)] == [(3_000,)]


def test_readers_are_chained(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader makes may be of an older version still."""

    def first(fd: int) -> Any:
        yield planted.read_bytes()

    monkeypatch.setattr(older, "READERS", {9: first, 0: version_0.read})
    path = planted.with_name("nine")
    path.write_bytes(_of_version(9))
    with SegmentFile(str(path)) as file:
        assert file.head["boot_id"] == BOOT


def _of_version(version: int) -> bytes:
    start = struct.pack("<8sHH", frames.MAGIC, version, 0)
    return (start + struct.pack("<I", zlib.crc32(start))).ljust(200, b"\0")


@pytest.mark.parametrize("version", [0, NEWER])
def test_another_version_is_refused_with_one_line(
    version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names both; a newer one also says what to do."""
    path = tmp_path / "other"
    path.write_bytes(_of_version(version))
    for words in (["export", "--ndjson"], ["lookup", "4", "--at", "-5m"]):
        assert cli.main([*words, "--source", str(path)]) == 3
        out, err = capsys.readouterr()
        first, *hint = err.splitlines()
        reads = f"this pidscope reads version {frames.VERSION}"
        assert (out, first) == ("", f"pidscope: {path}: a recording of version {version}; {reads}")
        assert hint == ["pidscope: read it with the pidscope that wrote it"] * (version == NEWER)


def test_a_newer_file_amid_a_ring_is_a_gap_with_that_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bad file never stops a look at the others."""
    ring = tmp_path / "ring"
    shutil.copytree(KEPT / "1" / "ring", ring)
    newer = ring / segment_name(3, 1_764_504_000 * S)
    newer.write_bytes(_of_version(NEWER))
    assert cli.main(["export", "--ndjson", "--source", str(ring)]) == 4
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [it["reason"] for it in found if it["type"] == "gap"] == [
        "a file is gone, or cannot be read"
    ]
    assert len([it for it in found if it["type"] == "life"]) == len(LIVES)
    text = " ".join(line.removeprefix("pidscope: ") for line in err.splitlines())
    assert f"version {NEWER}; this pidscope reads version {frames.VERSION}" in text
