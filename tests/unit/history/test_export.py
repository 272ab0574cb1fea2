"""What is exported of a recording, held against all that was true of it."""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from pidscope.errors import NotKnown, RecordingError
from pidscope.history.cpid import cpid
from pidscope.history.export.living import Living
from pidscope.history.export.read import ALL, FOREVER, Exported
from pidscope.history.export.task import Task
from pidscope.history.frames import Through
from pidscope.history.moment import Clock, Moment
from pidscope.history.recording import Recording
from pidscope.history.ring import segment_name
from pidscope.history.segment import SegmentWriter
from pidscope.wire.lives import LIVES, UID_UNKNOWN, Life, LifeKind
from tests.unit.history.lives import HOST, life, rows
from tests.unit.history.test_questions import Truth, make

UNIT = 100_000_000  # ns of a unit of a made history: more than a tick, in which /proc has a start
WALL = 1_764_500_000_000_000_000
BOOT = "2899dae4-4fa4-4eef-95b6-6bc95325f61a"
TICK = 10_000_000
S = 10**9


def scaled(truth: Truth) -> Truth:
    """The same, with times in ns that a kernel could have."""
    lives = [
        it._replace(start_ns=it.start_ns * UNIT, end_ns=it.end_ns * UNIT)  # type: ignore[operator]
        for it in truth.lives
    ]
    times = ([it * UNIT for it in these] for these in (truth.snapshots, truth.cuts))
    return Truth(lives, *times, truth.end_ns * UNIT)


class Ring(NamedTuple):
    """A ring as a recorder would write it, and its files."""

    path: Path
    files: list[Path]


def write(truth: Truth, place: Path, rng: random.Random, **head: object) -> Ring:
    """Write it; a ``from_ns`` that is given makes a gap before each file but the first."""
    place.mkdir()
    files, begin = [], 0
    for number, finish in enumerate([*truth.cuts, truth.end_ns]):
        clock = {"boottime_ns": begin, "realtime_ns": WALL + begin, "monotonic_ns": begin}
        said = {"type": "head", "boot_id": BOOT, "from_ns": 0, "threads": True, "clock": clock}
        sealed = rng.random() < 0.5 and finish < truth.end_ns
        path = place / segment_name(number + 1, WALL + begin, WALL + finish if sealed else None)
        made = SegmentWriter(str(path), {**said, **head}, Through(begin, WALL + begin))
        previous = begin
        for at in [begin, *[it for it in truth.snapshots if begin < it < finish], finish]:
            ended = sorted(
                (it for it in truth.lives if previous <= it.end_ns < at), key=lambda it: it.end_ns
            )
            if ended:
                made.add_rows(LIVES, rows(*ended), at)
            made.reached(Through(at, WALL + at))
            alive = [it for it in truth.lives if it.start_ns <= at <= it.end_ns]  # type: ignore[operator]
            if alive and at < finish:
                made.add_rows(LIVES, rows(*[it._replace(end_ns=at) for it in alive]), at, True)
                made.reached(Through(at, WALL + at))
            previous = at
        if sealed:
            made.seal(str(path))
        made.close()
        files.append(path)
        begin = finish
    return Ring(place, files)


Identity = tuple[object, ...]


def of(task: Task) -> Identity:
    return tuple(task.levels), None if task.start is None else task.start.boottime_ns


def of_life(it: Life) -> Identity:
    return tuple(zip(it.inums, it.numbers)), it.start_ns


def export(path: Path, asked: Moment = ALL) -> tuple[Exported, list[Task]]:
    with Recording(str(path)) as recording:
        exported = Exported(recording, asked)
        return exported, list(exported.tasks())


def check(truth: Truth, found: list[Task], first: int, last: int) -> set[Identity]:
    """What is there is true; return what lived then and is not there."""
    lived = {of_life(it): it for it in truth.at(first, last)}
    assert len(found) == len({of(it) for it in found})
    for task in found:
        it = lived.pop(of(task))
        if task.end is None:
            assert it.end_ns >= task.facts.boottime_ns
        else:
            assert task.end.boottime_ns == it.end_ns
            assert task.end.realtime_ns == WALL + it.end_ns
    return set(lived)


@pytest.mark.parametrize("seed", range(24))
def test_all_that_lived_is_there_or_in_a_gap(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    truth = scaled(make(rng))
    ring = write(truth, tmp_path / "ring", rng)
    ends = [0, *truth.snapshots, *truth.cuts]
    for _ in range(5):
        first = rng.randrange(1, truth.end_ns)
        last = min(first + rng.choice((0, 7 * UNIT, 2_000 * UNIT)), truth.end_ns)
        exported, found = export(ring.path, Moment(Clock.REALTIME, WALL + first, WALL + last))
        missing = check(truth, found, first, last)
        if any(it >= last for it in ends):
            assert not missing and not exported.gaps
        else:
            assert [it.reason for it in exported.gaps] == ["the record ends"]
            gap = exported.gaps[0]
            by_life = {of_life(it): it for it in truth.lives}
            assert all(by_life[it].start_ns > gap.first.boottime_ns for it in missing)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(12))
def test_without_an_end_all_is_known_up_to_the_last_snapshot(tmp_path: Path, seed: int) -> None:
    rng = random.Random(1_000 + seed)
    truth = scaled(make(rng))
    exported, found = export(write(truth, tmp_path / "ring", rng).path)
    assert exported.gaps == [] and exported.first == (BOOT, (0, WALL))
    last = max([0, *truth.snapshots, *truth.cuts])
    assert exported.last == (BOOT, (last, WALL + last))
    missing = check(truth, found, 0, truth.end_ns)
    by_life = {of_life(it): it for it in truth.lives}
    for it in missing:  # born since, and not ended
        assert by_life[it].start_ns > last and by_life[it].end_ns >= truth.end_ns  # type: ignore[operator]
    assert (exported.ended, exported.alive) == (
        sum(it.end is not None for it in found),
        sum(it.end is None for it in found),
    )


def late_file(ring: Path, sequence: int, begin: int, finish: int) -> None:
    """The file of a recorder that began a moment before its end, with nothing in it."""
    since = finish - UNIT
    clock = {"boottime_ns": since, "realtime_ns": WALL + since, "monotonic_ns": since}
    head = {"type": "head", "boot_id": BOOT, "from_ns": since, "threads": True, "clock": clock}
    path = ring / segment_name(sequence, WALL + begin)
    made = SegmentWriter(str(path), head, Through(since, WALL + since))
    made.reached(Through(finish, WALL + finish))
    made.close()


@pytest.mark.parametrize("fault", ["missing", "damaged", "newer", "restarted", "head"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_missing_is_in_a_gap(tmp_path: Path, seed: int, fault: str) -> None:
    """A file of the ring is gone, damaged, of a newer version; or the recorder was not running."""
    rng = random.Random(2_000 + seed)
    truth = scaled(make(rng))
    cuts = sorted({*truth.cuts, 3_000 * UNIT, 6_000 * UNIT})
    truth = truth._replace(cuts=cuts)
    ring = write(truth, tmp_path / "ring", rng)
    victim = ring.files[rng.randrange(1, len(ring.files) - 1)]
    if fault == "missing":
        victim.unlink()
    elif fault == "restarted":
        number = ring.files.index(victim)
        victim.unlink()
        late_file(ring.path, number + 1, [0, *cuts][number], cuts[number])
    elif fault == "newer":
        start = b"pidscope" + (7).to_bytes(2, "little") + bytes(2)
        victim.write_bytes(start + zlib.crc32(start).to_bytes(4, "little") + bytes(100))
    else:
        data = bytearray(victim.read_bytes())
        at = 80 if fault == "head" else 48 + (len(data) - 48) // 2
        data[at : at + 8] = bytes(it ^ 0x5A for it in data[at : at + 8])
        victim.write_bytes(data)
    exported, found = export(ring.path)
    assert exported.gaps or fault == "damaged"  # a snapshot that was not needed
    known = {of_life(it): it for it in truth.lives}
    assert {of(it) for it in found} <= set(known)
    tasks = [of(it) for it in found if it.boot_id is not None]
    assert len(tasks) == len(set(tasks))
    for it in set(known) - {of(it) for it in found}:
        life = known[it]
        late = life.start_ns > max(truth.cuts) and life.end_ns >= truth.end_ns  # type: ignore[operator]
        in_gap = any(
            gap.first.boottime_ns <= life.end_ns
            and (gap.last is None or gap.last.boottime_ns >= life.start_ns)  # type: ignore[operator]
            for gap in exported.gaps
        )
        assert late or in_gap, (life, exported.gaps)


def one(path: Path, alive: list[Life], ended: list[Life], **head: object) -> Path:
    """A file with a snapshot at 10 s, what ended behind it, and its end at 20 s."""
    begin = 5 * 10**9
    clock = {"boottime_ns": begin, "realtime_ns": WALL, "monotonic_ns": begin}
    said = {"type": "head", "boot_id": BOOT, "from_ns": begin, "threads": True, "clock": clock}
    made = SegmentWriter(str(path), {**said, "initial_ns": HOST, **head}, Through(begin, WALL))
    if alive:
        made.add_rows(LIVES, rows(*alive), 10 * 10**9, alive=True)
        made.reached(Through(10 * 10**9, WALL + 5 * 10**9))
    if ended:
        made.add_rows(LIVES, rows(*ended), 19 * 10**9)
    made.reached(Through(20 * 10**9, WALL + 15 * 10**9))
    made.close()
    return path


def test_a_task_that_proc_showed_is_the_one_that_ended(tmp_path: Path) -> None:
    """Its start is rounded down to a tick there; its user is not known."""
    start = 7 * 10**9 + 123
    seen = life((7,), start_ns=start // TICK * TICK, end_ns=10**10, uid=UID_UNKNOWN, cgroup_id=0)
    other = seen._replace(numbers=(8,), tgid=8)
    ended = life((7,), start_ns=start, end_ns=11 * 10**9)
    _, found = export(one(tmp_path / "one", [seen, other], [ended]))
    assert [(it.tid, it.end is None, it.uid) for it in found] == [(7, False, 0), (8, True, None)]
    assert found[1].parent_start is not None  # of this made row


def test_the_exit_of_a_leader_is_no_end_of_its_process(tmp_path: Path) -> None:
    """A zombie leader: its process goes on, in another thread, and is there once more, alive."""
    both = {"start_ns": 6 * 10**9, "tgid": 7}
    leader = life((7,), end_ns=11 * 10**9, kind=LifeKind.LEADER, status=256, **both)  # type: ignore[arg-type]
    seen = life((7,), end_ns=10**10, kind=LifeKind.PROCESS, **both)  # type: ignore[arg-type]
    _, found = export(one(tmp_path / "one", [seen], [leader]))
    assert [(it.kind, it.end is None, it.status) for it in found] == [
        ("leader", False, None),
        ("process", True, None),
    ]


def test_a_thread_that_calls_exec_is_gone(tmp_path: Path) -> None:
    """Its record has no start: the thread of the snapshot with that number is the one."""
    thread = life((9,), start_ns=6 * 10**9, end_ns=10**10, kind=LifeKind.THREAD)
    thread = thread._replace(tgid=7, leader_start_ns=1_000)
    execed = thread._replace(kind=LifeKind.EXECED, start_ns=None, end_ns=11 * 10**9, status=0)
    _, found = export(one(tmp_path / "one", [thread], [execed]))
    assert [(it.kind, it.start, it.status) for it in found] == [("execed", None, None)]
    assert found[0].id is None
    assert found[0].cpid == cpid(BOOT, HOST, 1_000, 7)  # its process's, whose start it has


def test_threads_that_are_not_recorded_are_a_gap_unless_they_are_not_wanted(tmp_path: Path) -> None:
    path = one(tmp_path / "one", [life((1,), start_ns=1, end_ns=10**10)], [], threads=False)
    exported, _ = export(path)
    assert [it.reason for it in exported.gaps] == ["threads are not recorded"]
    with Recording(str(path)) as recording:
        exported = Exported(recording, threads=False)
        assert len(list(exported.tasks())) == 1 and exported.gaps == []


def test_a_time_before_the_recording_is_a_gap(tmp_path: Path) -> None:
    path = one(tmp_path / "one", [life((1,), start_ns=1, end_ns=10**10)], [])
    exported, found = export(path, Moment(Clock.REALTIME, WALL - 10**9, FOREVER))
    assert len(found) == 1
    assert [it.reason for it in exported.gaps] == ["nothing was recording"]
    with pytest.raises(NotKnown):
        export(path, Moment(Clock.REALTIME, WALL - 3 * 10**9, WALL - 10**9))


def test_two_boots_are_two_gaps(tmp_path: Path) -> None:
    """From the last snapshot of the first one on, and up to the beginning of the second."""
    ring = tmp_path / "ring"
    ring.mkdir()
    alive = [life((1,), start_ns=1, end_ns=10**10)]
    one(ring / segment_name(1, WALL), alive, [])
    other = "11111111-4fa4-4eef-95b6-6bc95325f61a"
    clock = {"boottime_ns": 5 * 10**9, "realtime_ns": WALL + 10**12, "monotonic_ns": 5 * 10**9}
    one(ring / segment_name(2, WALL + 10**12), alive, [], boot_id=other, clock=clock)
    exported, found = export(ring)
    assert [(it.boot_id, it.end) for it in found] == [(BOOT, None), (other, None)]
    assert [
        (it.boot_id, it.first[0], it.last and it.last[0], it.reason) for it in exported.gaps
    ] == [
        (BOOT, 10**10, None, "the record ends"),
        (other, 0, 5 * 10**9 - 1, "nothing was recording"),
    ]
    assert exported.last == (other, (10**10, WALL + 10**12 + 5 * 10**9))


def test_after_a_step_times_are_the_wall_clocks_of_then(tmp_path: Path) -> None:
    """In a file that is alone the clock is set forward by an hour at 15 s."""
    path = tmp_path / "one"
    hour = 3_600 * 10**9
    lives = [life((it,), start_ns=it * 10**9, end_ns=(it + 1) * 10**9) for it in (12, 17)]
    one(path, [], lives)
    clock = {"boottime_ns": 15 * 10**9, "realtime_ns": WALL + 10**10 + hour}
    data = path.read_bytes()
    path.unlink()
    made = SegmentWriter(str(path), {}, Through(0, 0))
    made.add_json({"type": "clock", "clock": {**clock, "monotonic_ns": 0}})
    made.close()
    path.write_bytes(data + path.read_bytes()[_first_frame_end(path) :])
    _, found = export(path)
    walls = [(it.start.realtime_ns - WALL, it.end.realtime_ns - WALL) for it in found]  # type: ignore[union-attr, operator]
    assert walls == [(7 * 10**9, 8 * 10**9), (12 * 10**9 + hour, 13 * 10**9 + hour)]


def _first_frame_end(path: Path) -> int:
    from pidscope.history.segment_file import SegmentFile

    with SegmentFile(str(path)) as file:
        return file.frames[0].end


def test_a_snapshot_has_no_more_tasks_than_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, whatever a hostile file says."""
    monkeypatch.setattr("pidscope.history.export.living._MOST", 2)
    alive = [life((it,), start_ns=it, end_ns=10**10) for it in (1, 2, 3)]
    with pytest.raises(RecordingError, match="more than 2 tasks"):
        export(one(tmp_path / "one", alive, []))
    assert list(Living().left()) == []


def filed(path: Path, begin_s: int, through_s: int, *lives: Life, **more: object) -> SegmentWriter:
    """A file of a recorder that runs since 5 s, and has everything up to its end."""
    times = {"boottime_ns": begin_s * S, "monotonic_ns": begin_s * S}
    clock = {**times, "realtime_ns": WALL + begin_s * S}
    said = {"type": "head", "boot_id": BOOT, "from_ns": 5 * S, "threads": True, "clock": clock}
    through = Through(begin_s * S, WALL + begin_s * S)
    made = SegmentWriter(str(path), {**said, **more}, through)
    if lives:
        made.add_rows(LIVES, rows(*lives), through_s * S + S)
    made.reached(Through(through_s * S, WALL + through_s * S))
    return made


def test_who_ended_in_a_gap_before_a_time_did_not_live_then(tmp_path: Path) -> None:
    """From 20 s to 30 s nothing was recording: who lived at 20 s is not known to live at 31 s."""
    ring = tmp_path / "ring"
    ring.mkdir()
    both = [life((it,), start_ns=it * S, end_ns=20 * S) for it in (1, 2)]
    for number, (begin, alive) in enumerate([(10, both), (30, both[:1])], start=1):
        path = ring / segment_name(number, WALL + begin * S)
        made = filed(path, begin, begin + 10, from_ns=begin * S)
        made.add_rows(LIVES, rows(*alive), (begin + 10) * S, alive=True)
        made.reached(made.through)
        made.close()
    exported, found = export(ring, Moment(Clock.REALTIME, WALL + 31 * S, FOREVER))
    assert [it.tid for it in found] == [1] and exported.gaps == []
    exported, found = export(ring, Moment(Clock.REALTIME, WALL + 12 * S, WALL + 15 * S))
    assert [it.tid for it in found] == [1, 2] and exported.gaps == []  # by the snapshot at 20 s
    exported, found = export(ring, Moment(Clock.REALTIME, WALL + 15 * S, FOREVER))
    assert sorted(it.tid for it in found) == [1, 2]
    assert [it.reason for it in exported.gaps] == ["nothing was recording"]


def test_a_life_may_stand_in_the_file_before(tmp_path: Path) -> None:
    """What was read in the second in which a file is full is behind the time that it claims."""
    ring = tmp_path / "ring"
    ring.mkdir()
    late = life((7,), start_ns=9 * S, end_ns=10 * S + S // 2)
    first = filed(ring / segment_name(1, WALL + 5 * S), 5, 10, late)
    first.seal(str(ring / segment_name(1, WALL + 5 * S, WALL + 10 * S)))
    second = filed(ring / segment_name(2, WALL + 11 * S), 11, 12, from_ns=5 * S)
    second.add_rows(LIVES, rows(life((1,), start_ns=S, end_ns=11 * S)), 11 * S, alive=True)
    second.reached(second.through)
    second.close()
    _, found = export(ring, Moment(Clock.REALTIME, WALL + 10 * S + S // 4, FOREVER))
    assert [it.tid for it in found] == [7, 1]


def test_a_file_without_its_head_costs_no_other(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.mkdir()
    for number in (1, 2, 3):
        lived = life((number,), start_ns=number * S, end_ns=(10 * number + 5) * S)
        path = ring / segment_name(number, WALL + 10 * number * S)
        filed(path, 10 * number, 10 * number + 10, lived).close()
        if number == 2:
            data = bytearray(path.read_bytes())
            data[80] ^= 0xFF
            path.write_bytes(data)
    exported, found = export(ring)
    assert {(it.tid, it.boot_id) for it in found} == {(1, BOOT), (2, None), (3, BOOT)}
    assert {it.boot_id for it in exported.gaps} == {BOOT, None}
