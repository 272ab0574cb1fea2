"""What a recorder writes when, and that all that lived is found whatever comes between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pidscope.history.frames import ALIVE, Through
from pidscope.history.frames import LIVES as LIVES_FRAME
from pidscope.history.recorder import SNAPSHOT_NS, Clocks, Recorder, Runs
from pidscope.history.segment import SegmentWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES
from tests.unit.history.lives import life, rows

S = 1_000_000_000


class Kernel:
    """A source, and the clocks beside it; a keeper that makes files in a directory."""

    rotates = True
    lags = False

    def __init__(self, place: Path) -> None:
        self.place = place
        self.now_s, self.step_s = 1_000, 0
        self.ended: list[int] = []
        self.alive = [1]
        self.lost_records = 0
        self.writing = False
        self.forgotten = 0
        self.files: list[SegmentWriter] = []

    def clocks(self) -> Clocks:
        now = self.now_s * S
        return Clocks(now, now + (5_000 + self.step_s) * S, now)

    def take(self) -> Runs:
        ended, self.ended = self.ended, []
        lives = [life((it,), end_ns=self.now_s * S - 1) for it in ended]
        return [(LIVES, rows(*lives))] if lives else []

    def living(self) -> Runs:
        # what ends during the walk is not in it, and is taken behind it
        return [(LIVES, rows(*[life((it,), end_ns=self.now_s * S) for it in self.alive]))]

    def lost(self) -> int:
        return self.lost_records

    def unfinished(self) -> bool:
        return self.writing

    def forget(self) -> None:
        self.forgotten += 1

    def begin(self, head: Mapping[str, Any], through: Through) -> SegmentWriter:
        self.files.append(SegmentWriter(str(self.place / str(len(self.files))), head, through))
        return self.files[-1]

    def frames(self, number: int = -1) -> list[tuple[str, Any]]:
        with SegmentFile(self.files[number].path) as file:
            found: list[tuple[str, Any]] = []
            for frame in file.frames:
                rows = file.rows(frame) if frame.kind in (ALIVE, LIVES_FRAME) else None
                if rows is not None:
                    kind = "alive" if frame.kind == ALIVE else "lives"
                    found.append((kind, [rows.life(at).numbers[0] for at in range(rows.count)]))
            return found + [(it["type"], it) for it in file.json() if it["type"] != "head"]


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def recorder(kernel: Kernel, **more: Any) -> Recorder:
    return Recorder(kernel, kernel, kernel.clocks, {"boot_id": "b"}, **more)


def test_a_file_begins_with_a_snapshot_and_each_minute_has_one(kernel: Kernel) -> None:
    made = recorder(kernel)
    for second in range(1, 62):
        kernel.now_s = 1_000 + second
        kernel.ended = [second] if second in (3, 60) else []
        kernel.alive = [1, second]
        made.step()
    assert SNAPSHOT_NS == 60 * S
    assert kernel.frames() == [("alive", [1]), ("lives", [3]), ("lives", [60]), ("alive", [1, 60])]
    assert kernel.files[0].through.boottime_ns == 1_061 * S
    assert made.lives == 2


def test_what_ended_during_the_walk_stands_before_the_snapshot(kernel: Kernel) -> None:
    kernel.ended = [7]
    recorder(kernel)
    assert kernel.frames() == [("lives", [7]), ("alive", [1])]


def test_what_was_lost_is_a_gap(kernel: Kernel) -> None:
    made = recorder(kernel)
    kernel.now_s, kernel.lost_records = 1_001, 5
    made.step()
    gap = {"type": "gap", "first_ns": 1_000 * S, "last_ns": 1_001 * S}
    assert kernel.frames()[-1] == ("gap", {**gap, "reason": "records were lost", "count": 5})
    kernel.now_s = 1_002
    made.step()
    assert len(kernel.frames()) == 2


def test_a_file_is_not_complete_up_to_what_is_still_being_written(kernel: Kernel) -> None:
    made = recorder(kernel)
    kernel.now_s, kernel.writing = 1_001, True
    made.step()
    assert kernel.files[0].through.boottime_ns == 1_000 * S
    kernel.now_s, kernel.writing = 1_002, False
    made.step()
    assert kernel.files[0].through.boottime_ns == 1_002 * S


def test_of_a_ring_a_file_is_complete_up_to_the_time_before(kernel: Kernel) -> None:
    kernel.lags = True
    made = recorder(kernel)
    for second in (1_001, 1_002):
        kernel.now_s = second
        made.step()
    assert kernel.files[0].through.boottime_ns == 1_001 * S


@pytest.mark.parametrize("why", ["step forward", "step back", "age", "full"])
def test_another_file_begins(kernel: Kernel, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pidscope.history.recorder.FULL", 2)
    made = recorder(kernel)
    kernel.now_s, kernel.ended = 1_001, [8]
    made.step()
    kernel.now_s, kernel.ended = 1_002, [9] if why == "full" else []
    kernel.step_s = {"step forward": 3600, "step back": -3600}.get(why, 0)
    kernel.now_s += 3_600 if why == "age" else 0
    made.step()
    if why == "full":
        assert len(kernel.files) == 1
        kernel.now_s += 1
        made.step()
    assert len(kernel.files) == kernel.forgotten == 2
    assert kernel.frames() == [("alive", [1])]
    assert kernel.files[1].first == kernel.files[1].through
    assert kernel.files[0].through.boottime_ns == kernel.files[1].first.boottime_ns


def test_one_file_never_ends_by_itself(kernel: Kernel) -> None:
    kernel.rotates = False
    made = recorder(kernel)
    kernel.now_s += 7_200
    made.step()
    assert len(kernel.files) == 1


def test_at_its_end_all_is_known(kernel: Kernel) -> None:
    made = recorder(kernel)
    kernel.now_s, kernel.ended, kernel.alive = 1_005, [7], [1, 2]
    made.finish()
    assert kernel.frames()[1:] == [("lives", [7]), ("alive", [1, 2])]
    assert kernel.files[0].through.boottime_ns == 1_005 * S


def test_what_belongs_to_the_rows_is_kept_once(kernel: Kernel) -> None:
    paths = iter([{}, {"cgroups": {"7": "/web"}, "containers": {}}, {}])
    made = recorder(kernel, more=lambda runs: next(paths, {}))
    kernel.now_s += 1
    made.step()
    assert kernel.frames()[-1] == ("cgroups", {"type": "cgroups", "cgroups": {"7": "/web"}})


def test_a_file_ends_by_the_clock_that_it_had_before_a_step(kernel: Kernel) -> None:
    """Else its name says that it ended before it began, and no time falls into it."""
    made = recorder(kernel)
    kernel.now_s, kernel.step_s = 1_002, -3_600
    made.step()
    before, after = kernel.files
    assert before.through == Through(1_002 * S, 6_002 * S)
    assert after.first == after.through == Through(1_002 * S, 2_402 * S)


def test_a_loss_reaches_to_when_it_was_noticed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk and the taking last a while, in which tasks end, too."""
    made = recorder(kernel)
    kernel.now_s = 1_001

    def lost() -> int:
        kernel.now_s = 1_003
        return 5

    monkeypatch.setattr(kernel, "lost", lost)
    made.step()
    gap = kernel.frames()[-1][1]
    assert (gap["first_ns"], gap["last_ns"]) == (1_000 * S, 1_003 * S)


def test_many_paths_are_kept_in_pieces_that_a_reader_takes(kernel: Kernel) -> None:
    """Of 10,000 pods, the paths alone are 2 MB; a reader takes 1 MiB of JSON."""
    paths = {str(number): f"/kubepods/{'x' * 200}/{number}" for number in range(10_000)}
    more = iter([{}, {"cgroups": paths}])
    made = recorder(kernel, more=lambda runs: next(more, {}))
    kernel.now_s += 1
    made.step()
    pieces = [it["cgroups"] for kind, it in kernel.frames() if kind == "cgroups"]
    assert {key: path for piece in pieces for key, path in piece.items()} == paths


def test_a_large_file_is_followed_by_another(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its snapshots: a ring keeps 24 MiB for the file that is being written."""
    monkeypatch.setattr("pidscope.history.recorder.LARGE", 1_000)
    made = recorder(kernel)
    kernel.now_s, kernel.ended = 1_001, [*range(100)]
    made.step()
    assert len(kernel.files) == 1
    kernel.now_s = 1_002
    made.step()
    assert len(kernel.files) == 2
