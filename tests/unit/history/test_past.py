"""Who lived at a time, in which namespaces, what ended since: held against all that was true."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from pidscope.errors import RecordingError, UsageError
from pidscope.history.answer import Gap
from pidscope.history.between import Asked, Piece, pieces
from pidscope.history.frames import ALIVE
from pidscope.history.life_stream import Ended, ended
from pidscope.history.past import Past
from pidscope.history.past_counts import BirthsByComm, BirthsByNamespace, Inits, Snapshot, is_birth
from pidscope.history.past_filter import Chains
from pidscope.history.past_namespaces import namespaces
from pidscope.history.reach import Overview
from pidscope.history.recording import Recording
from pidscope.query.fork_counts import ByComm, ByNamespace, First
from pidscope.wire.lives import Life, LifeKind
from tests.unit.history.lives import HOST
from tests.unit.history.rings import BEGIN, BOOT, END, Truth, make, moment, opened, write

SEEDS = range(12)


def history(place: Path, seed: int) -> tuple[random.Random, Truth]:
    """Write a random history; return what made it, and the truth of it."""
    rng = random.Random(seed)
    truth = make(rng)
    write(truth, place, rng)
    return rng, truth


def one_of(truth: Truth, rng: random.Random) -> tuple[int, int]:
    first = rng.randrange(BEGIN, END)
    return first, min(END - 1, first + rng.choice((0, 0, 5, 900, 30_000)))


def is_known(truth: Truth, at: int) -> bool:
    """Whether a snapshot is behind it."""
    return any(it >= at for it in (*truth.snapshots, *truth.cuts))


@pytest.mark.parametrize("seed", SEEDS)
def test_who_lived_is_true_or_not_known(tmp_path: Path, seed: int) -> None:
    rng, truth = history(tmp_path, seed)
    for _ in range(12):
        first, last = one_of(truth, rng)
        tasks = {(it.numbers, it.start_ns) for it in truth.tasks(first, last)}
        processes = {
            (it.numbers, it.start_ns)
            for it in truth.tasks(first, last)
            if it.kind is LifeKind.PROCESS
        }
        ends = {(it.numbers, it.start_ns): it.end_ns for it in truth.lives}
        with opened(tmp_path) as recording:
            past = Past(recording, moment(first, last))
            for expected, answer in ((tasks, past.alive()), (processes, past.alive(threads=False))):
                found = {(it.numbers, it.start_ns) for it in answer.holders}
                assert found <= expected
                assert (answer.gap is None) == is_known(truth, last)
                assert answer.gap is not None or found == expected
            for it in past.alive(threads=False).holders:
                assert it.end_ns in (None, ends[it.numbers, it.start_ns])
                # What can change is of another time, and says of which.
                assert it.facts_ns >= first or not is_known(truth, last)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_inum_that_was_given_out_again_is_several_namespaces(tmp_path: Path, seed: int) -> None:
    rng, truth = history(tmp_path, seed)
    inits = {it for it in truth.lives if len(it.inums) == 2 and it.numbers[1] == 1}
    for _ in range(12):
        first, last = one_of(truth, rng)
        if not is_known(truth, last):
            continue
        expected: Counter[tuple[object, ...]] = Counter()
        tasks = truth.tasks(first, last)
        for it in tasks:
            of_it = {one for one in inits if one.inums == it.inums and one.start_ns <= it.start_ns}  # type: ignore[operator]
            init = max(of_it, key=lambda one: one.start_ns or 0, default=None)
            # A namespace whose number 1 has ended before has none that is known.
            known = init.numbers[0] if init in tasks and init is not None else None
            known = 1 if len(it.inums) == 1 else known
            is_process = it.kind is LifeKind.PROCESS
            key = it.inums[-1], known
            expected[(*key, "threads")] += 1
            expected[(*key, "processes")] += is_process
        with opened(tmp_path) as recording:
            found = namespaces(Past(recording, moment(first, last)).alive().holders)
        counted: Counter[tuple[object, ...]] = Counter()
        for ns in found:
            init_number = None if ns.init is None else ns.init.tgid
            counted[ns.ns, init_number, "threads"] += ns.threads
            counted[ns.ns, init_number, "processes"] += ns.processes
        assert +counted == +expected
        parents = {it.ns: it.parent for it in found}
        assert parents.pop(HOST) == 0
        assert all(it.level == 0 or parents[it.ns] for it in found)
        order = [it.ns for it in found]
        assert all(parent in order[: order.index(ns)] for ns, parent in parents.items())


def listed(recording: Recording, first: int, last: int) -> list[Ended | Gap]:
    return list(ended(pieces(recording, moment(first), moment(last))))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_ended_comes_in_its_order_and_is_all(tmp_path: Path, seed: int) -> None:
    rng, truth = history(tmp_path, seed)
    for _ in range(12):
        first, last = one_of(truth, rng)
        with opened(tmp_path) as recording:
            found = listed(recording, first, last)
        lives = [it.life for it in found if isinstance(it, Ended)]
        assert len(lives) == len(found)
        expected = [it for it in truth.told if first <= it.end_ns <= last]
        assert [it.end_ns for it in lives] == sorted(it.end_ns for it in expected)
        assert Counter(lives) == Counter(expected)


def test_two_files_are_read_at_a_time(tmp_path: Path) -> None:
    """A ring of any length takes no more memory than its blocks that overlap."""
    rng = random.Random(3)
    truth = make(rng, 200)._replace(cuts=[20_000, 30_000, 40_000, 50_000, 60_000])
    write(truth, tmp_path, rng)
    taken = []

    def counted(recording: Recording) -> Iterator[Piece]:
        for piece in pieces(recording, moment(BEGIN), moment(END - 1)):
            taken.append(piece.clocks.boottime_ns)
            yield piece

    with opened(tmp_path) as recording:
        for it in ended(counted(recording)):
            assert isinstance(it, Ended)
            assert taken[-1] <= it.life.end_ns or taken[-2] <= it.life.end_ns
    assert len(taken) == 6


def test_blocks_in_no_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All would have to be kept in memory."""
    rng = random.Random(3)
    write(make(rng), tmp_path, rng)
    monkeypatch.setattr("pidscope.history.life_stream._MOST_BYTES", 1)
    with opened(tmp_path) as recording, pytest.raises(RecordingError, match="in no order"):
        listed(recording, BEGIN, END - 1)


def test_too_many_to_be_an_answer_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole day of a busy host: `watch --since` has it."""
    rng = random.Random(3)
    write(make(rng), tmp_path, rng)
    monkeypatch.setattr("pidscope.history.questions._MOST", 3)
    with opened(tmp_path) as recording, pytest.raises(UsageError, match="tasks ended"):
        Past(recording, moment(BEGIN, END - 1)).alive()


@pytest.mark.parametrize("how", ["removed", "before", "behind", "damaged"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_missing_stands_in_its_place(tmp_path: Path, seed: int, how: str) -> None:
    """What is outside the gap is all there, and what is in it is reported as not known."""
    rng = random.Random(1_000 + seed)
    truth = make(rng)._replace(cuts=[30_000, 60_000])
    paths = write(truth, tmp_path, rng)
    first, last = BEGIN, END - 1
    bounds: tuple[int, int]
    if how == "removed":
        paths[1].unlink()
        bounds = 30_000, 60_000
    elif how == "before":
        first, bounds = 2_000, (2_000, BEGIN)
    elif how == "behind":
        last, bounds = END + 500, (END, END + 500)
    else:
        data = bytearray(paths[1].read_bytes())
        data[8] ^= 1  # its version: it is refused
        paths[1].write_bytes(data)
        bounds = 30_000, 60_000
    with opened(tmp_path) as recording:
        found = listed(recording, first, last)
    gaps = [it for it in found if isinstance(it, Gap)]
    assert [(it.first_ns, it.last_ns) for it in gaps] == [bounds]
    lives = [it.life for it in found if isinstance(it, Ended)]
    expected = [
        it
        for it in truth.told
        if first <= it.end_ns <= last and not bounds[0] <= it.end_ns < bounds[1]
    ]
    expected = [it for it in expected if BEGIN <= it.end_ns < END]
    assert Counter(lives) == Counter(expected)
    place = found.index(gaps[0])
    before = [it for it in found[:place] if isinstance(it, Ended)]
    behind = [it for it in found[place + 1 :] if isinstance(it, Ended)]
    assert all(it.life.end_ns <= bounds[0] for it in before)
    assert all(it.life.end_ns >= bounds[0] for it in behind)


def test_a_block_that_is_damaged_is_a_gap_in_its_place(tmp_path: Path) -> None:
    rng = random.Random(5)
    truth = make(rng, 300)._replace(cuts=[], snapshots=[30_000, 60_000])
    (path,) = write(truth, tmp_path, rng)
    with opened(tmp_path) as recording:
        file = recording.file(0)
        assert file is not None
        blocks = list(file.blocks(2))
        frame, about = blocks[len(blocks) // 2]
    data = bytearray(path.read_bytes())
    data[frame.data_offset] ^= 1
    path.write_bytes(data)
    with opened(tmp_path) as recording:
        found = listed(recording, BEGIN, END - 1)
    (gap,) = [it for it in found if isinstance(it, Gap)]
    assert (gap.first_ns, gap.last_ns) == (
        min(about.first_end_ns, about.taken_ns),
        about.last_end_ns,
    )
    lives = Counter(it.life for it in found if isinstance(it, Ended))
    missing = Counter(it for it in truth.told if BEGIN <= it.end_ns < END) - lives
    assert sum(missing.values()) == about.rows
    assert all(about.first_end_ns <= it.end_ns <= about.last_end_ns for it in missing)


def births(
    recording: Recording, first: int, last: int, by: str
) -> tuple[ByComm | ByNamespace, list[Gap]]:
    """What `watch --by --since` counts."""

    def found() -> Iterator[Piece]:
        return pieces(recording, moment(first), moment(last))

    overview, inits, gaps = Overview(found()), Inits(), []
    of: BirthsByComm | BirthsByNamespace
    of = BirthsByComm() if by == "comm" else BirthsByNamespace(inits)
    for piece in found():
        inits.add_lives(piece, first, Chains())
    for boot_id, run in groupby(found(), key=lambda it: it.boot_id):
        asked: Asked = overview.asked[boot_id]
        snapshot = Snapshot(overview.tails[boot_id])
        for _, life in snapshot.tasks():
            inits.add(boot_id, life, None)
        for it in ended(run, snapshot.taken_ns):
            if isinstance(it, Gap):
                gaps.append(it)
                continue
            snapshot.leave_out(it.life)
            if is_birth(it.life, asked):
                of.add(boot_id, it.life)
        for _, life in snapshot.tasks():
            if is_birth(life, asked, lives_on=True):
                of.add(boot_id, life)
        gaps += snapshot.gaps
    return of.finish(), gaps


@pytest.mark.parametrize("seed", SEEDS)
def test_each_birth_is_counted_once(tmp_path: Path, seed: int) -> None:
    rng, truth = history(tmp_path, seed)
    for _ in range(8):
        first, last = one_of(truth, rng)
        born = [it for it in truth.lives if first <= it.start_ns <= last]  # type: ignore[operator]
        with opened(tmp_path) as recording:
            by_comm, gaps = births(recording, first, last, "comm")
            by_ns, _ = births(recording, first, last, "where")
        assert bool(gaps) != is_known(truth, last)
        comms = {row.comm: (row.processes, row.threads) for row in by_comm.rows()}
        inits = {it for it in truth.lives if len(it.inums) == 2 and it.numbers[1] == 1}
        spaces: Counter[tuple[object, ...]] = Counter()
        for it in born:
            spaces[key_of(it, inits)] += 1
        counted = Counter(
            {
                (row.ns, row.first if row.level == 1 else None): row.processes + row.threads
                for row in by_ns.rows()
            }
        )
        if gaps:  # those that live on are missing
            assert sum(map(sum, comms.values())) <= len(born)
            assert sum(counted.values()) <= len(born)
            continue
        assert comms == expected_comms(born)
        assert counted == spaces


def expected_comms(born: list[Life]) -> dict[bytes | None, tuple[int, int]]:
    found: dict[bytes | None, tuple[int, int]] = {}
    for it in born:
        processes, threads = found.get(it.comm, (0, 0))
        is_process = it.kind is LifeKind.PROCESS
        found[it.comm] = processes + is_process, threads + (not is_process)
    return found


def key_of(it: Life, inits: set[Life]) -> tuple[object, ...]:
    """The namespace of a task: its inum, and the number 1 that was born last before it."""
    if len(it.inums) != 2:
        return it.inums[-1], None
    of_it = [one for one in inits if one.inums == it.inums and one.start_ns <= it.start_ns]  # type: ignore[operator]
    init = max(of_it, key=lambda one: one.start_ns or 0)
    return it.inums[-1], First(init.numbers[0] or 0, init.start_ns or 0)


def test_a_snapshot_that_is_damaged_says_so(tmp_path: Path) -> None:
    """Of a long ring the file may have been closed, and opened again, since it was read."""
    rng = random.Random(5)
    truth = make(rng, 100)._replace(cuts=[], snapshots=[60_000])
    (path,) = write(truth, tmp_path, rng)
    for is_damaged in (False, True):
        with opened(tmp_path) as recording:
            overview = Overview(pieces(recording, moment(BEGIN), moment(50_000)))
            snapshot = Snapshot(overview.tails[BOOT])
            assert snapshot.taken_ns == 60_000
            assert bool(snapshot.gaps) == is_damaged
            file = recording.file(0)
            assert file is not None
            frame = next(it for it, about in file.blocks(ALIVE) if about.taken_ns == 60_000)
        data = bytearray(path.read_bytes())
        data[frame.data_offset] ^= 1
        path.write_bytes(data)
