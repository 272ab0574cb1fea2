"""What a recording lost, or never had, is not known: it is never "no task had it", nor a task.

Each case is one that answered wrongly when it was first written down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pidscope.history import frames
from pidscope.history.answer import Answer
from pidscope.history.frames import Through
from pidscope.history.moment import Clock, Moment
from pidscope.history.past import Past
from pidscope.history.recording import Recording
from pidscope.history.ring import segment_name
from pidscope.history.segment import SegmentWriter
from pidscope.history.segment_file import SegmentFile
from pidscope.wire.lives import LIVES, UID_UNKNOWN, Life, LifeKind
from tests.unit.history.lives import HOST, life, rows

S = 1_000_000_000
WALL = 1_764_511_000 * S  # the wall clock when CLOCK_BOOTTIME was 0
BOOT = "b"


def task(number: int, start_s: float, end_s: float, **more: object) -> Life:
    return life((number,), (HOST,), int(start_s * S), int(end_s * S), **more)


def begin(
    path: Path, at_s: float, wall: int = WALL, since_s: float | None = None, **more: str
) -> SegmentWriter:
    """A file that begins at a time since the boot, by a recorder that runs since another."""
    at = int(at_s * S)
    clock = {"boottime_ns": at, "realtime_ns": wall + at, "monotonic_ns": at}
    since = at if since_s is None else int(since_s * S)
    head = {"type": "head", "boot_id": BOOT, "threads": True, "from_ns": since, "clock": clock}
    return SegmentWriter(str(path), {**head, **more}, Through(at, wall + at))


def alive(made: SegmentWriter, at_s: float, *tasks: Life, walk_ns: int = 1_000) -> None:
    """A snapshot, whose walk came to the tasks a moment later."""
    taken = int(at_s * S)
    made.add_rows(LIVES, rows(*(it._replace(end_ns=taken + walk_ns) for it in tasks)), taken, True)


def ended(made: SegmentWriter, at_s: float, *tasks: Life) -> None:
    made.add_rows(LIVES, rows(*tasks), int(at_s * S))


def reached(made: SegmentWriter, at_s: float, wall: int = WALL) -> None:
    made.reached(Through(int(at_s * S), wall + int(at_s * S)))


def ask(path: Path, number: int, first_s: float, last_s: float | None = None) -> Answer:
    """What had a number in the initial namespace, by CLOCK_BOOTTIME."""
    last = first_s if last_s is None else last_s
    moment = Moment(Clock.BOOTTIME, int(first_s * S), int(last * S))
    with Recording(str(path)) as recording:
        return Past(recording, moment).holders(HOST, number)


def damage(path: Path, which: Callable[[SegmentFile], int]) -> None:
    with SegmentFile(str(path)) as file:
        at = which(file)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def block(kind: int, place: int = -1, header: bool = False) -> Callable[[SegmentFile], int]:
    """Return what finds a byte in one of a file's blocks of a kind."""

    def find(file: SegmentFile) -> int:
        frame = [it for it in file.frames if it.kind == kind][place]
        return frame.offset + 5 if header else frame.data_offset

    return find


def a_minute(path: Path) -> SegmentWriter:
    """1 and 7 live all the time; 8 ends between the snapshots, 9 behind both."""
    made = begin(path, 100)
    alive(made, 100, task(1, 1, 0), task(7, 50, 0), task(8, 60, 0), task(9, 70, 0))
    ended(made, 130, task(8, 60, 129))
    reached(made, 160)
    alive(made, 160, task(1, 1, 0), task(7, 50, 0), task(9, 70, 0))
    ended(made, 170, task(9, 70, 169))
    reached(made, 175)
    return made


def test_a_damaged_snapshot_is_a_gap(tmp_path: Path) -> None:
    """The rows of a snapshot have their times from the walk, behind the time that it is of."""
    path = tmp_path / "one"
    a_minute(path).close()
    assert len(ask(path, 7, 120).holders) == 1
    damage(path, block(frames.ALIVE))
    answer = ask(path, 7, 120)
    assert answer.holders == () and answer.gap is not None


def test_what_ended_in_a_damaged_block_is_not_said_to_live(tmp_path: Path) -> None:
    """Behind the last snapshot, one of the tasks that it has may have ended in that block."""
    path = tmp_path / "one"
    a_minute(path).close()
    moment = Moment(Clock.BOOTTIME, 172 * S, 172 * S)
    for found in ({1, 7}, set()):
        with Recording(str(path)) as recording:
            answer = Past(recording, moment).alive()
        assert {it.tgid for it in answer.holders} == found
        assert answer.gap is not None
        if found:
            damage(path, block(frames.LIVES))


def test_a_damaged_page_of_the_index_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "one"
    a_minute(path).seal(str(path))
    assert [it.end_ns for it in ask(path, 8, 120).holders] == [129 * S]
    with SegmentFile(str(path)) as file:
        assert file.contents is not None
        page = file.contents.pages[0]
    for at in (page + 5, page + 30):
        data = path.read_bytes()
        damage(path, lambda _, at=at: at)  # type: ignore[misc]
        answer = ask(path, 8, 120)
        assert answer.holders == () and answer.gap is not None
        path.write_bytes(data)


def test_a_task_that_was_read_from_proc_is_the_one_that_ended(tmp_path: Path) -> None:
    """/proc/N/stat has a start in ticks of 10 ms, its life's record has it in ns."""
    path = tmp_path / "one"
    start = 99 * S + 9_994_321
    exact = task(8, 0, 101)._replace(start_ns=start)
    made = begin(path, 100)
    of_proc = exact._replace(start_ns=start // 10_000_000 * 10_000_000, uid=UID_UNKNOWN)
    alive(made, 100, task(1, 1, 0), of_proc)
    reached(made, 100)
    (holder,) = ask(path, 8, 100).holders
    assert holder.uid is None  # /proc was not asked for it: it is not root's
    ended(made, 102, exact)
    reached(made, 130)
    made.close()
    assert ask(path, 8, 120).holders == ()
    # and in the time of both it is one task
    made = begin(path.with_name("two"), 98)
    alive(made, 98, task(1, 1, 0))
    alive(made, 100, task(1, 1, 0), of_proc)
    ended(made, 102, exact)
    reached(made, 102)
    made.close()
    (holder,) = ask(path.with_name("two"), 8, 99, 99.999).holders
    assert (holder.start_ns, holder.end_ns) == (start, 101 * S)


def test_inner_numbers_of_a_thread_that_called_exec_are_not_known(tmp_path: Path) -> None:
    """In tracepoint mode its record has the outer number alone (docs/containers.md)."""
    path = tmp_path / "one"
    made = begin(path, 100, mode="tracepoint")
    alive(made, 100, task(1, 1, 0))
    more = {"start_ns": None, "leader_start_ns": 1, "kind": LifeKind.EXECED}
    gone = life((42, None), (HOST, HOST + 1), end_ns=130 * S)._replace(**more)  # type: ignore[arg-type]
    ended(made, 131, gone, life((43, 9), (HOST, HOST + 1), 90 * S, 130 * S))
    alive(made, 160, task(1, 1, 0))
    reached(made, 160)
    for sealed in (False, True):
        if sealed:
            made.seal(str(path))
        moment = Moment(Clock.BOOTTIME, 120 * S, 120 * S)
        with Recording(str(path)) as recording:
            past = Past(recording, moment)
            answer = past.holders(HOST + 1, 17)
            assert answer.holders == () and answer.gap is not None
            assert len(past.holders(HOST + 1, 9).holders) == 1
            assert past.holders(HOST + 2, 17).gap is None


def ring_of(place: Path, *, begins: tuple[float, ...], end_s: float) -> list[Path]:
    """One recorder's files, one behind the other; 8 ends just before the last of them begins."""
    found = []
    for sequence, (first, last) in enumerate(zip(begins, (*begins[1:], end_s)), 1):
        made = begin(place / "new", first, since_s=begins[0])
        tasks = [task(1, 1, 0), *([task(8, 50, 0)] if last != end_s else [])]
        alive(made, first, *tasks)
        if len(begins) > 1 and last == begins[-1]:
            ended(made, last, task(9, 120, last - 2), task(8, 50, last - 1))
        reached(made, last)
        name = segment_name(sequence, WALL + int(first * S), WALL + int(last * S))
        made.seal(str(place / name))
        found.append(place / name)
    return found


@pytest.mark.parametrize("how", ["removed", "refused"])
def test_a_file_that_is_missing_amid_a_ring_is_a_gap(tmp_path: Path, how: str) -> None:
    files = ring_of(tmp_path, begins=(100, 200, 300), end_s=400)
    assert len(ask(tmp_path, 9, 150).holders) == 1
    if how == "removed":
        files[1].unlink()
    else:
        files[1].write_bytes(b"\0" * 100)
    answer = ask(tmp_path, 9, 150)
    assert answer.holders == () and answer.gap is not None


def test_a_time_that_began_before_the_oldest_file_is_not_all_known(tmp_path: Path) -> None:
    """The file before, of the same recorder, was removed for room."""
    files = ring_of(tmp_path, begins=(100, 200, 300), end_s=400)
    files[0].unlink()
    assert ask(tmp_path, 3, 210, 290).gap is None
    assert ask(tmp_path, 3, 190, 290).gap is not None


def test_a_file_that_was_sealed_since_it_was_listed_is_found(tmp_path: Path) -> None:
    made = begin(tmp_path / segment_name(1, WALL + 100 * S), 100)
    alive(made, 100, task(1, 1, 0), task(8, 50, 0))
    ended(made, 130, task(8, 50, 129))
    alive(made, 160, task(1, 1, 0))
    reached(made, 160)
    with Recording(str(tmp_path)) as recording:
        made.seal(str(tmp_path / segment_name(1, WALL + 100 * S, WALL + 160 * S)))
        past = Past(recording, Moment(Clock.REALTIME, WALL + 120 * S, WALL + 120 * S))
        assert len(past.holders(HOST, 8).holders) == 1


def test_a_time_that_the_clock_showed_twice_is_looked_for_in_both(tmp_path: Path) -> None:
    """docs/recording.md; set back by half a minute, which began a file."""
    first = begin(tmp_path / "new", 100)
    alive(first, 100, task(1, 1, 0), task(8, 90, 0))
    ended(first, 150, task(8, 90, 150))
    reached(first, 160)
    first.seal(str(tmp_path / segment_name(1, WALL + 100 * S, WALL + 160 * S)))
    back = WALL - 30 * S
    second = begin(tmp_path / "new", 160, back, since_s=100)
    alive(second, 160, task(1, 1, 0))
    ended(second, 180, task(8, 165, 179))
    alive(second, 220, task(1, 1, 0))
    reached(second, 220, back)
    second.seal(str(tmp_path / segment_name(2, back + 160 * S, back + 220 * S)))
    with Recording(str(tmp_path)) as recording:
        at = WALL + 140 * S  # 140 by the first file, 170 by the second
        past = Past(recording, Moment(Clock.REALTIME, at, at))
        assert [it.start_ns for it in past.holders(HOST, 8).holders] == [90 * S, 165 * S]
        assert [it.start_ns for it in past.holders(HOST, 1).holders] == [1 * S]


def test_a_damaged_part_is_still_a_gap_once_the_file_is_sealed(tmp_path: Path) -> None:
    """Sealing copies what it finds, and gave a damaged snapshot a checksum that was right."""
    for number, which in enumerate(
        [
            block(frames.LIVES, 0, header=True),
            block(frames.LIVES, 0),
            block(frames.ALIVE, 1),
            block(frames.ALIVE, 1, header=True),
            block(frames.JSON, 1),
        ]
    ):
        path = tmp_path / str(number)
        made = a_minute(path)
        if number == 4:
            lost = {"type": "gap", "first_ns": 100 * S, "last_ns": 130 * S, "reason": "lost"}
            made.add_json(lost)
            reached(made, 176)
        damage(path, which)
        made.seal(str(path))
        assert ask(path, 3, 120).gap is not None, number


def test_a_file_that_was_cut_does_not_claim_what_it_lost(tmp_path: Path) -> None:
    """A power cut, or a copy that ended early: the head said more than was there."""
    path = tmp_path / "one"
    a_minute(path).close()
    data = path.read_bytes()
    with SegmentFile(str(path)) as file:
        last = [it for it in file.frames if it.kind == frames.LIVES][-1]
    for size in range(last.offset, last.end):
        path.write_bytes(data[:size])
        assert ask(path, 9, 172).holders == ()  # it had ended
        assert ask(path, 8, 120).gap is None
        with SegmentFile(str(path)) as file:
            assert file.through.boottime_ns <= 160 * S
            assert len(file.damaged) == 1


def test_a_sealed_file_that_was_cut_is_a_gap(tmp_path: Path) -> None:
    """Its lives stand behind its snapshots."""
    path = tmp_path / "one"
    a_minute(path).seal(str(path))
    data = path.read_bytes()
    assert ask(path, 3, 120).gap is None
    for size in range(len(data) - 1, len(data) // 2, -7):
        path.write_bytes(data[:size])
        assert ask(path, 3, 120).gap is not None, size


@pytest.mark.parametrize("sealed", [False, True])
def test_half_a_snapshot_is_none(tmp_path: Path, sealed: bool) -> None:
    """Its writer was killed between the blocks of two classes, or is read there."""
    path = tmp_path / "one"
    made = begin(path, 100)
    alive(made, 100, task(1, 1, 0))
    reached(made, 160)
    alive(made, 160, task(1, 1, 0))  # 4, five namespaces deep, is still to come
    if sealed:
        made.seal(str(path))
    assert ask(path, 4, 120).gap is not None
