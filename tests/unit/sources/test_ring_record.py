"""A look-up of now, for a number that no task has any more: what the ring has of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pidscope.history.frames import Through
from pidscope.history.ring_writer import LEAST_BYTES, Limits, RingWriter
from pidscope.host.proc_files import read_boot_id
from pidscope.sources import listed as module
from pidscope.sources.ring_record import RingRecord
from pidscope.wire.lives import LIVES, Life, LifeKind
from tests.unit.history.lives import HOST, life, rows

INSIDE = HOST + 5
WALL = 1_764_511_385 * 10**9


def ring(path: Path, *boots: tuple[str, list[Life]]) -> RingRecord:
    writer = RingWriter(str(path), Limits(LEAST_BYTES))
    for at, (boot_id, lives) in enumerate(boots):
        clock = {"boottime_ns": 0, "realtime_ns": WALL + at * 10**9}
        head = {"type": "head", "boot_id": boot_id, "clock": clock}
        file = writer.begin(head, Through(0, WALL + at * 10**9))
        if lives:
            file.add_rows(LIVES, rows(*lives), 10_000)
    writer.close()
    return RingRecord(str(path))


def test_the_latest_lives_of_this_boot_come_first(tmp_path: Path) -> None:
    own = read_boot_id()
    mine = [life((40 + at, 7), (HOST, INSIDE), at * 100 + 1, at * 100 + 50) for at in range(7)]
    record = ring(tmp_path, ("other", [life((40, 7), (HOST, INSIDE))]), (own, mine))
    found = record.lives(INSIDE, 7)
    assert [it.numbers for it in found] == [(40 + at, 7) for at in (6, 5, 4, 3, 2)]
    assert found[0].tgids == found[0].numbers
    assert (found[0].exited_ns, found[0].released_ns, found[0].exit_code) == (650, None, 0)
    assert record.lives(INSIDE, 8) == ()
    assert record.lives(HOST, 7) == ()


def test_a_thread_counts_where_its_process_is_known(tmp_path: Path) -> None:
    thread = life((41, 8), (HOST, INSIDE), kind=LifeKind.THREAD, tgid=40)
    record = ring(tmp_path, (read_boot_id(), [thread]))
    (found,) = record.lives(HOST, 41)
    assert found.tgids == (40,)
    assert record.lives(INSIDE, 8) == ()


def test_a_leaders_exit_is_no_end(tmp_path: Path) -> None:
    leader = life((40,), kind=LifeKind.LEADER, end_ns=1_500)
    end = life((40,), by_thread=True, end_ns=2_000, status=None)
    (found,) = ring(tmp_path, (read_boot_id(), [leader, end])).lives(HOST, 40)
    assert (found.exited_ns, found.exit_code, found.signal) == (2_000, None, 0)


def test_it_says_from_when_on_it_has_all(tmp_path: Path) -> None:
    record = ring(tmp_path / "ring", (read_boot_id(), []))
    assert "none that ended since 20" in record.missing
    assert record.missing.endswith("had it")
    empty = RingRecord(str(tmp_path / "none"))
    assert (empty.lives(HOST, 1), empty.missing) == (
        (),
        f"nothing can be read of {tmp_path / 'none'}",
    )


def test_only_a_ring_that_may_be_read_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RING", str(tmp_path / "none"))
    assert module._recorded() is None
    monkeypatch.setattr(module, "RING", str(tmp_path))
    assert isinstance(module._recorded(), RingRecord)
