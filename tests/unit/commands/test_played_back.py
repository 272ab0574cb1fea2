"""``record --events``, and what each command answers from such a file: as the live run did."""

from __future__ import annotations

import errno
import gc
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidscope import cli
from pidscope.errors import RecordingError
from pidscope.history import compression, frames
from pidscope.history.event_file import About, EventFile
from pidscope.history.frames import EVENTS, Frame, Through, pack_frame, pack_head
from pidscope.history.segment import SegmentWriter, read_content, walk
from pidscope.history.segment_file import SegmentFile
from pidscope.sources.command import Stop
from pidscope.sources.events_recorder import EventsRecorder, follow
from pidscope.sources.watch import SimulatedHost
from tests.unit.commands.asked import objects, valid
from tests.unit.history import second_reader
from tests.unit.history.lives import life, rows

SCENARIOS = ("containers", "nested", "session", "reuse", "exec-thread", "fork-bomb", "dying-init")
ASKED = {
    "containers": "17",
    "nested": "1",
    "session": "6",
    "reuse": "2",
    "exec-thread": "3",
    "fork-bomb": "2",
    "dying-init": "11",
    "random:5": "30",
}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A recording of each scenario, by its name."""
    made = {}
    for scenario in (*SCENARIOS, "random:5"):
        path = tmp_path_factory.mktemp("events") / "one.rec"
        source = f"simulated:{scenario}"
        assert cli.main(["record", "--events", str(path), "--source", source]) == 0
        made[scenario] = str(path)
    return made


@pytest.mark.parametrize("scenario", [*SCENARIOS, "random:5"])
@pytest.mark.parametrize("options", [[], ["-v"], ["-J"], ["-J", "-v"], ["--by", "comm"]])
def test_a_watch_prints_what_the_live_one_printed(
    capsys: pytest.CaptureFixture[str],
    recordings: dict[str, str],
    scenario: str,
    options: list[str],
) -> None:
    """Byte for byte: lines, objects, counts and, behind the first line, the summary.

    fork-bomb and dying-init have failed forks, whose causes were read while they failed.
    """
    live = run(capsys, "watch", *options, "--source", f"simulated:{scenario}")
    played = run(capsys, "watch", *options, "--source", recordings[scenario])
    assert live[0] == played[0] == 0
    assert played[1] == live[1]
    if "-J" in options:
        objects("\n".join(played[1].splitlines()[::50]))
    first, *others = played[2].splitlines()
    assert first.startswith(f"pidscope: simulated ({scenario}), played back, from 2 tasks on")
    assert others == live[2].splitlines()[1:]


@pytest.mark.parametrize(
    "options",
    [
        ["--failed"],
        ["--by", "where"],
        ["--type", "exec,exit"],
        ["--tree", "1"],
        ["--in", "host", "-n"],
        ["--duration", "3"],
    ],
)
def test_what_narrows_a_watch_narrows_what_is_played(
    capsys: pytest.CaptureFixture[str], recordings: dict[str, str], options: list[str]
) -> None:
    live = run(capsys, "watch", *options, "--source", "simulated:fork-bomb")
    played = run(capsys, "watch", *options, "--source", recordings["fork-bomb"])
    assert (live[0], live[1]) == (played[0], played[1])
    assert live[1]


@pytest.mark.parametrize("scenario", [*SCENARIOS, "random:5"])
@pytest.mark.parametrize(
    "command",
    [
        ["ps"],
        ["ps", "--threads", "-o", "+NSPPID,NSPGID,NSSID,START,ID,STAT"],
        ["ps", "--zombies"],
        ["ns"],
        ["ns", "--kept"],
        ["lookup"],
        ["lookup", "-q"],
        ["explain"],
    ],
)
def test_tables_are_those_of_the_end(
    capsys: pytest.CaptureFixture[str],
    recordings: dict[str, str],
    scenario: str,
    command: list[str],
) -> None:
    """Also what ended before: `lookup` names the tasks that had the number."""
    asked = [ASKED[scenario]] if command[0] in ("lookup", "explain") else []
    live = run(capsys, *command, *asked, "--source", f"simulated:{scenario}")
    assert run(capsys, *command, *asked, "--source", recordings[scenario]) == live


@pytest.mark.parametrize("command", [["ps"], ["ns"], ["lookup", "17"], ["explain", "36"]])
def test_documents_are_those_of_the_end(
    capsys: pytest.CaptureFixture[str], recordings: dict[str, str], command: list[str]
) -> None:
    """All but ``source`` and ``mode``, which name the recording."""
    live = valid(run(capsys, *command, "-J", "--source", "simulated:containers")[1])
    played = valid(run(capsys, *command, "-J", "--source", recordings["containers"])[1])
    assert played.pop("source") == recordings["containers"]
    assert played.pop("mode") == "recording"
    del live["source"], live["mode"]
    assert played == live


@pytest.mark.parametrize("scenario", [*SCENARIOS, "random:5"])
def test_verify_judges_what_was_read_then(
    capsys: pytest.CaptureFixture[str], recordings: dict[str, str], scenario: str
) -> None:
    code, out, _err = run(capsys, "verify", "-J", "--source", recordings[scenario])
    (verdict,) = objects(out)
    assert code == 0 and verdict["complete"] and verdict["snapshots"] == 1
    assert verdict["agree"] == verdict["compared"] > 0
    assert verdict["births"]["told"] == verdict["births"]["proc_stat"]
    assert verdict["hooks_at_rest"]


def test_a_watch_of_it_needs_no_root_and_says_what_is_not_recorded(
    capsys: pytest.CaptureFixture[str], recordings: dict[str, str]
) -> None:
    """Limits are of the host's files at that moment: one line, exit status 4, not a guess."""
    path = recordings["containers"]
    code, out, err = run(capsys, "limits", "--source", path)
    assert (code, out) == (4, "") and "the limits of forks were not recorded" in err
    for option in (["--probes", "fentry"], ["--no-cache"], ["--proc", "/proc"]):
        code, _, err = run(capsys, "watch", "--source", path, *option)
        assert code == 2 and "does not go with a recording" in err
    code, _, err = run(capsys, "watch", "--source", path, "--", "true")
    assert code == 2 and "a recording runs no CMD" in err
    code, _, err = run(capsys, "verify", "--source", path, "--duration", "3")
    assert code == 2 and "--duration does not go with a recording" in err


# Another kind of file


def write_lives(path: Path) -> str:
    from pidscope.wire.lives import LIVES

    made = SegmentWriter(str(path), {"type": "head", "boot_id": "x"}, Through(1, 1))
    made.add_rows(LIVES, rows(life()), 3_000)
    made.close()
    return str(path)


@pytest.mark.parametrize(
    "command", [["watch"], ["verify"], ["ps"], ["ns"], ["lookup", "17"], ["explain", "1"]]
)
def test_a_recording_of_lives_cannot_be_played(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    code, out, err = run(capsys, *command, "--source", write_lives(tmp_path / "lives.rec"))
    assert (code, out) == (3, "")
    assert "it holds lives, not events, and cannot be played back" in " ".join(err.split())
    assert "lookup --at TIME" in err
    code, out, err = run(capsys, *command, "--source", str(tmp_path))
    assert (code, out) == (2, "") and "a ring holds lives" in " ".join(err.split())
    code, out, err = run(capsys, *command, "--source", str(tmp_path / "none"))
    assert (code, out) == (4, "") and "there is no" in err
    (tmp_path / "other").write_bytes(b"#!/bin/sh\n" * 9)
    code, out, err = run(capsys, *command, "--source", str(tmp_path / "other"))
    assert (code, out) == (3, "") and "not a recording" in err


def test_a_recording_of_events_has_no_lives(
    capsys: pytest.CaptureFixture[str], recordings: dict[str, str]
) -> None:
    """What reads lives refuses it, and names the commands that read it."""
    path = recordings["reuse"]
    for words in (["annotate", "strace"], ["export", "--ndjson"]):
        code, out, err = run(capsys, *words, "--source", path)
        assert (code, out) == (3, "") and "it holds events" in " ".join(err.split())
    with pytest.raises(RecordingError, match="it holds events") as raised:
        SegmentFile(path)
    assert "watch, ps, ns" in raised.value.hint


def test_a_newer_version_is_refused_with_both_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "newer.rec"
    head = struct.pack("<8sHH", frames.EVENTS_MAGIC, frames.EVENTS_VERSION + 1, 0)
    path.write_bytes((head + zlib.crc32(head).to_bytes(4, "little")).ljust(200, b"\0"))
    code, _, err = run(capsys, "watch", "--source", str(path))
    assert code == 3 and "version 2; this pidscope reads version 1" in " ".join(err.split())


def test_an_existing_file_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "there"
    path.write_text("mine")
    words = ("record", "--events", str(path), "--source", "simulated:reuse")
    code, _, err = run(capsys, *words)
    assert code == 2 and "exists" in err and path.read_text() == "mine"
    code, _, err = run(capsys, "record", "--events", str(tmp_path / "no" / "where"), *words[3:])
    assert code == 2 and "No such file" in err
    code, _, err = run(capsys, "record", str(tmp_path / "x"), *words[3:])
    assert code == 2 and "--source is for --events" in err


# Cut, damaged, hostile


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording with a frame for each step, as if each took a second."""
    path = tmp_path_factory.mktemp("cut") / "one.rec"
    host = SimulatedHost("exec-thread")

    def seconds() -> Iterator[float]:
        now = 0.0
        while True:
            yield (now := now + 1.0)

    clock = seconds()
    recorder = EventsRecorder(str(path), host, lambda: next(clock))
    with recorder.open() as session:
        follow(recorder, session, host, Stop(), lambda: not session.world.ended, 1e6)
        recorder.list_end()
        recorder.judge(session, lambda judged, tally: judged.check_all(tally))
        recorder.end()
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


def frames_of(path: Path) -> list[Frame]:
    with EventFile(str(path)) as file:
        return list(walk(file._fd, path.stat().st_size))


def test_cut_anywhere_it_is_what_came_before_and_a_loss(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: bytes
) -> None:
    """kill -9 at any byte: every frame that was written is played, and status 4 says the rest.

    Cut at every frame's begin and end, and at random bytes between.
    """
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    every = frames_of(path)
    code, full, _ = run(capsys, "watch", "-v", "--source", str(path))
    assert code == 0
    lines = full.splitlines()
    rng = random.Random(3)
    ends = [it.end for it in every]
    offsets = {
        *ends[:-1],
        *(end - 1 for end in ends),
        *(rng.randrange(len(whole)) for _ in range(40)),
    }
    shown = []
    for offset in sorted(offsets):
        path.write_bytes(whole[:offset])
        code, out, _err = run(capsys, "watch", "-v", "--source", str(path))
        assert code in (3, 4) or (code == 0 and "".join(out) == full)
        if code == 0:
            continue
        *before, last = out.splitlines() or ["LOST"]
        assert "LOST" in last
        assert before == lines[: len(before)]
        shown.append(len(before))
        assert run(capsys, "verify", "--source", str(path))[0] in (3, 4)
    assert shown == sorted(shown) and max(shown) == len(lines)


def test_it_is_closed_with_the_world_that_was_played(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    gc.collect()
    before = len([*Path("/proc/self/fd").iterdir()])
    for command in ("watch", "verify", "ps", "ns"):
        run(capsys, command, "--source", str(path))
    gc.collect()  # a session and its world know each other
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_every_flipped_byte_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: bytes
) -> None:
    """A watch never ends with status 0 and other lines; what is before the damage is the same."""
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    full = run(capsys, "watch", "-v", "--source", str(path))[1]
    rng = random.Random(4)
    for offset in sorted({rng.randrange(len(whole)) for _ in range(60)}):
        changed = bytearray(whole)
        changed[offset] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(changed))
        code, out, err = run(capsys, "watch", "-v", "--source", str(path))
        assert code in (0, 3, 4)
        if code == 0:
            assert out == full
        elif code == 4:
            assert err and ("LOST" in out or not out)


def test_check_names_what_is_damaged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    code, out, _ = run(capsys, "record", "--check", str(path), "-J")
    document = valid(out)
    assert code == 0 and document["damaged"] == [] and document["mode"] == "simulated"
    assert document["records"] > 50
    assert "records:" in run(capsys, "record", "--status", str(path))[1]
    frame = [it for it in frames_of(path) if it.kind == EVENTS][3]
    changed = bytearray(whole)
    changed[frame.data_offset] ^= 1
    path.write_bytes(bytes(changed))
    code, out, _ = run(capsys, "record", "--check", str(path), "-J")
    assert code == 1
    assert any(f":{frame.offset}: " in it for it in valid(out)["damaged"])
    path.write_bytes(whole[:-9])
    assert run(capsys, "record", "--check", str(path))[0] == 1


@pytest.mark.parametrize("codec", [compression.ZLIB, compression.ZSTD])
def test_a_piece_that_expands_beyond_its_size_is_damaged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, whole: bytes, codec: int
) -> None:
    """A compression bomb: no more is allocated than the frame says, and that has a limit."""
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    first = next(it for it in frames_of(path) if it.kind == EVENTS)
    bomb = compression.compress(codec, bytes(1 << 20))
    meta = About(0, 0, 1, 1).pack()
    frame = pack_frame(EVENTS, codec, meta, bomb, 128)
    path.write_bytes(whole[: first.offset] + frame + whole[first.offset :])
    code, _out, _err = run(capsys, "watch", "-v", "--source", str(path))
    assert code in (0, 4)


def test_a_head_of_nonsense_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "one.rec"
    for head in ({}, {"type": "head"}, {"type": "head", "mode": "\x1b[31m", "title": 5}):
        start = pack_head(Through(1, 1), 48, frames.EVENTS_MAGIC)
        data = str(head).replace("'", '"').replace("\x1b", "\\u001b").encode()
        path.write_bytes(start + pack_frame(frames.JSON, 0, b"", data, len(data)))
        for command in (["watch"], ["ps"], ["verify"], ["record", "--check", str(path)]):
            words = command if command[0] == "record" else [*command, "--source", str(path)]
            code, out, err = run(capsys, *words)
            assert code in (1, 3, 4) and "\x1b" not in out + err


def test_another_reader_finds_the_same_records(tmp_path: Path, whole: bytes) -> None:
    """A reader that was written from docs/recording.md alone."""
    path = tmp_path / "one.rec"
    path.write_bytes(whole)
    found = second_reader.read_events(path)
    expected = []
    with EventFile(str(path)) as file:
        for frame in walk(file._fd, len(whole)):
            if frame.kind == EVENTS:
                about = file._about(frame)
                assert about is not None
                expected.append((about.before, about.records))
                read_content(file._fd, frame)
    assert sum(records for _, records in expected) == len(found.records)
    assert found.head["mode"] == "simulated" and found.ended
    assert [kind for kind, *_ in found.records].count(1) > 5  # births
    assert len(found.steps) == len(expected) - 3 or found.steps
    assert found.tasks[0] and found.listings == {"begin", "end"}


def test_a_full_disk_ends_the_recording_and_keeps_what_was_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = str(tmp_path / "full.rec"), []
    append = SegmentWriter.add_frame

    def filling(self: SegmentWriter, data: bytes) -> None:
        written.append(len(data))
        if len(written) > 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, data)

    monkeypatch.setattr(SegmentWriter, "add_frame", filling)
    monkeypatch.setattr("pidscope.sources.events_recorder._EVERY_S", 0.0)
    code, _, err = run(capsys, "record", "--events", path, "--source", "simulated:nested")
    assert code == 3 and "No space left on device" in err and "can be played back" in err
    code, out, _ = run(capsys, "watch", "--source", path)
    assert code == 4 and "LOST" in out.splitlines()[-1] and len(out.splitlines()) > 3
