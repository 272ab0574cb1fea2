"""Random histories with all kinds of lives, and the ring that a recorder would have written."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pidscope.history.frames import Through
from pidscope.history.moment import Clock, Moment
from pidscope.history.recording import Recording
from pidscope.history.ring import segment_name
from pidscope.history.segment import SegmentWriter
from pidscope.wire.lives import LIVES, LIVES_DEEP, Class, Life, LifeKind, pack_life
from tests.unit.history.lives import HOST, life

BOOT = "b"
WALL = 1_764_511_000_000_000_000  # the wall clock when CLOCK_BOOTTIME was 0
BEGIN, END = 10_000, 90_000
INUMS = (HOST + 1, HOST + 2)
DEEP = tuple(HOST + 10 + level for level in range(5))


class Truth(NamedTuple):
    """What was true, and how it is recorded."""

    lives: list[Life]  # one for each task, up to its own end, which may be behind END
    told: list[Life]  # all that the kernel reports of these
    snapshots: list[int]
    cuts: list[int]  # where files begin

    def tasks(self, first_ns: int, last_ns: int) -> list[Life]:
        """The tasks that lived at some moment."""
        return [it for it in self.lives if it.start_ns <= last_ns and it.end_ns >= first_ns]  # type: ignore[operator]


class _Numbers:
    """Gives out numbers, in each namespace one to one task at a time."""

    def __init__(self) -> None:
        self._next: dict[object, int] = {}

    def next(self, *key: object) -> int:
        self._next[key] = self._next.get(key, 1) + 1
        return self._next[key]


def make(rng: random.Random, size: int = 40) -> Truth:
    """Containers one after the other in the same inums, threads, and leaders that exit first."""
    numbers = _Numbers()
    told: list[Life] = []
    lives = [life((1,), (HOST,), 1, 10 * END, comm=b"init")]
    for inum in INUMS:
        at = rng.randrange(20_000)
        while at < END:
            finish = at + rng.choice((3, 500, 9_000, 40_000))
            init = _born(rng, numbers, (HOST, inum), at, finish)._replace(comm=b"tini")
            init = init._replace(numbers=(init.numbers[0], 1))
            lives.append(init)
            for _ in range(rng.randrange(4)):
                start = rng.randrange(at, finish) + 1
                end = rng.choice((rng.randrange(start, finish + 1), finish + rng.randrange(1, 4)))
                lives.append(_born(rng, numbers, (HOST, inum), start, end))
            at = finish + 5 + rng.randrange(5_000)
    for _ in range(size):
        start = rng.randrange(END)
        end = start + rng.choice((1, 20, 500, 9_000, 200_000))
        spaces = (HOST, *DEEP) if rng.random() < 0.2 else (HOST,)
        lives.append(_born(rng, numbers, spaces, start, end))
    for it in [it for it in lives[1:] if len(it.inums) < 3 and rng.random() < 0.3]:
        lives += _threads(rng, numbers, it, told)
    told += lives
    points = sorted(rng.sample(range(BEGIN + 1, END), rng.randrange(8)))
    snapshots = [at for at in points if rng.random() < 0.6]
    return Truth(lives, told, snapshots, [at for at in points if at not in snapshots])


def _born(
    rng: random.Random, numbers: _Numbers, spaces: tuple[int, ...], start: int, end: int
) -> Life:
    given = [numbers.next(it) for it in spaces]
    comm = rng.choice((b"sh", b"nginx", b"cc1"))
    return life(given, spaces, start + 1, max(start + 1, end), comm=comm)


def _threads(rng: random.Random, numbers: _Numbers, of: Life, told: list[Life]) -> Iterator[Life]:
    """Give a process threads; by times its leader exits before them."""
    start, end = of.start_ns, of.end_ns
    assert start is not None
    leaves_first = rng.random() < 0.5 and of.numbers[-1] != 1 and end - start > 4
    for _ in range(rng.randrange(1, 3)):
        born = rng.randrange(start, end + 1)
        given = tuple(numbers.next(it) for it in of.inums)
        until = end if leaves_first else rng.randrange(born, end + 1)
        more = {"kind": LifeKind.THREAD, "tgid": of.tgid, "leader_start_ns": start}
        yield of._replace(numbers=given, start_ns=born, end_ns=until, **more)  # type: ignore[arg-type]
    if leaves_first:
        left = rng.randrange(start, end)
        told.append(of._replace(kind=LifeKind.LEADER, end_ns=left))


def write(truth: Truth, place: Path, rng: random.Random, **head: object) -> list[Path]:
    """Write the ring, each file with a snapshot at its beginning, some sealed."""
    paths = []
    begins = [BEGIN, *truth.cuts]
    for sequence, (begin, finish) in enumerate(zip(begins, [*truth.cuts, END]), 1):
        clock = {"boottime_ns": begin, "realtime_ns": WALL + begin, "monotonic_ns": begin}
        first = {"type": "head", "boot_id": BOOT, "from_ns": BEGIN, "threads": True, "clock": clock}
        path = place / segment_name(sequence, WALL + begin)
        made = SegmentWriter(str(path), {**first, **head}, Through(begin, WALL + begin))
        made.add_json({"type": "cgroups", "cgroups": {"1": "/"}})
        inner = [at for at in truth.snapshots if begin < at < finish]
        previous = begin
        for at in [begin, *inner, finish]:
            ended = [it for it in truth.told if previous <= it.end_ns < at]
            _flush(made, ended, at, rng)
            made.reached(Through(at, WALL + at))
            if at < finish:
                _snapshot(made, truth, at)
            previous = at
        sealed = place / segment_name(sequence, WALL + begin, WALL + finish)
        if rng.random() < 0.5 or finish != END:
            made.seal(str(sealed))
            path = sealed
        made.close()
        paths.append(path)
    return paths


def _flush(made: SegmentWriter, ended: list[Life], at: int, rng: random.Random) -> None:
    """Write what ended, second by second, neighbours not always in order."""
    ended = sorted(ended, key=lambda it: it.end_ns + rng.randrange(6))
    for start in range(0, len(ended), 9):
        for of, data in _rows(ended[start : start + 9]):
            made.add_rows(of, data, at)


def _snapshot(made: SegmentWriter, truth: Truth, at: int) -> None:
    left = {it.numbers: it.end_ns for it in truth.told if it.kind is LifeKind.LEADER}
    alive = []
    for it in truth.tasks(at, at):
        kind = LifeKind.LEADER if left.get(it.numbers, at) < at else it.kind
        alive.append(it._replace(end_ns=at + 1, kind=kind))
    for of, data in _rows(alive):
        made.add_rows(of, data, at, True)


def _rows(lives: Iterable[Life]) -> Iterator[tuple[Class, bytes]]:
    packed = [pack_life(it) for it in lives]
    for of in (LIVES, LIVES_DEEP):
        data = b"".join(row for each, row in packed if each is of)
        if data:
            yield of, data


@contextmanager
def opened(place: Path) -> Iterator[Recording]:
    """The ring, opened."""
    with Recording(str(place)) as recording:
        yield recording


def moment(first_ns: int, last_ns: int | None = None) -> Moment:
    """A time by CLOCK_BOOTTIME."""
    return Moment(Clock.BOOTTIME, first_ns, first_ns if last_ns is None else last_ns, BOOT)
