"""Random puppets on this kernel: their lives by the life stream, in each mode, and by the full one.

The puppets and their calls are the differential test's, in a hurry to fork and to end. All life
streams that the kernel allows and one full stream observe the same worlds at once. A world is
compared when it has ended, so memory is bounded, and nothing waits long enough to be overwritten.

Who is a puppet follows from who forked whom, down from this process. What others on the host do
meanwhile is left out. The model only says which calls mean something: where it and the kernel
differ (a busy host, where puppets may not be preferred), a world ends early.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pidscope.errors import HostError, ScenarioError
from pidscope.history.lives import Block, Columns
from pidscope.host.proc import ProcFs
from pidscope.live.kept_programs import kept_programs
from pidscope.live.life_program import LifeProgram
from pidscope.live.program import Program, expect_root
from pidscope.live.refused import Refused
from pidscope.live.session import LiveWorld, expect_hooks_tell, open_in_mode
from pidscope.live.slots import LifeReader
from pidscope.live.supply import Supply
from pidscope.model.features import Features
from pidscope.session.stream import Stream
from pidscope.wire.hooks import AUTO, WAYS
from pidscope.wire.lives import Born, Life
from pidscope_dev.differential.chaos import Chaos
from pidscope_dev.differential.duel import Difference, Duel
from pidscope_dev.differential.probe import find_features
from pidscope_dev.differential.puppets import NoAnswer, build
from pidscope_dev.differential.theatre import Theatre
from pidscope_dev.lives.equal import Compared, Ways, compare_births, compare_lives, told
from pidscope_dev.lives.full_stream import FamilyStream

CALLS_PER_WORLD = 200
HASTE = 8
SHOWN = 5  # differences that are printed of a mode
_PROGRESS_S = 30.0
_TOO_MANY = 100  # worlds that are set aside, if they are most
_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


@dataclass
class Count:
    """What was compared in one mode."""

    lives: int = 0
    births: int = 0
    equal: int = 0  # lives and births
    differing: int = 0
    lost: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, compared: Compared) -> None:
        """Those of one world."""
        self.equal += compared.equal
        self.differing += len(compared.differences)
        self.shown += compared.differences[: SHOWN - len(self.shown)]


@dataclass
class Score:
    """What was done, and what came out."""

    full: str  # the full stream's mode
    modes: dict[str, Count]
    refused: dict[str, str]  # modes, and why
    worlds: int = 0
    cut_short: int = 0  # worlds in which the model lost its way
    set_aside: int = 0  # worlds in which the kernel skipped a program's run, so a record is missing
    calls: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def lives(self) -> int:
        """How many were compared in each mode."""
        return min(count.lives for count in self.modes.values())

    @property
    def good(self) -> bool:
        """Nothing differs, and nothing was lost."""
        return not any(count.differing or count.lost for count in self.modes.values())


class LifeStream:
    """The life stream of one mode, with births; raises Refused, HostError."""

    def __init__(self, way: str) -> None:
        with ExitStack() as undo:
            self._program = undo.enter_context(closing(LifeProgram(way, births=True, execs=True)))
            self._reader = undo.enter_context(closing(LifeReader(self._program)))
            self._columns = {it.of.name: Columns(it.of) for it in self._program.streams}
            self.close = undo.pop_all().close

    @property
    def lost(self) -> int:
        """Records that were made and will never be taken."""
        return self._reader.lost

    @property
    def skipped(self) -> int:
        """Runs that the kernel skipped."""
        return self._program.skipped()

    def take(self) -> tuple[list[Life], list[Born]]:
        """What came since, by the way of all rows: runs of bytes, columns, one row on demand."""
        blocks: list[Block] = []
        for of, rows in self._reader.take():
            blocks += self._columns[of.name].add(rows)
        blocks += [columns.flush() for columns in self._columns.values()]
        lives = [it.life(at) for it in blocks if not it.of.births for at in range(it.rows)]
        births = [it.born(at) for it in blocks if it.of.births for at in range(it.rows)]
        return lives, births


class Witness:
    """The full stream in the best mode, of this process and its descendants; raises HostError."""

    def __init__(self) -> None:
        self._procfs, supply = ProcFs(), Supply(kept_programs())
        self._program, self._stream = open_in_mode(self._open, AUTO, supply)
        self.close = self._program.close
        self.way = self._program.way
        self._own = self._stream.reader
        self._full = FamilyStream()
        own = [it for it in self._program.tasks() or () if it.birth.tgid == self._own]
        self._full.adopt(own, 0)

    def _open(self, way: str) -> tuple[Program, Stream]:
        program = Program(way)
        try:
            stream = Stream(LiveWorld(program, self._procfs))
            expect_hooks_tell(program, stream)
        except BaseException:
            program.close()
            raise
        return program, stream

    @property
    def skipped(self) -> int:
        """Runs that the kernel skipped."""
        return sum(self._program.skipped().values())

    def take(self) -> FamilyStream:
        """What came since; raises HostError if something is missing."""
        full = self._full
        for event in self._stream.read(self._stream.position):
            full.add(event)
        if self._stream.lost:
            raise HostError(f"the full stream has lost {self._stream.lost} records")
        self._full = full.renewed(self._own)
        return full


class Comparison:
    """Streams that observe, until it is closed; raises HostError.

    Args:
        ways: the modes of the life stream; None: all that this kernel allows.
    """

    def __init__(self, ways: Sequence[str] | None) -> None:
        expect_root()
        refused: dict[str, str] = {}
        with ExitStack() as undo:
            self._lives: dict[str, LifeStream] = {}
            for way in WAYS if ways is None else ways:
                try:
                    self._lives[way] = undo.enter_context(closing(LifeStream(way)))
                except Refused as refusal:
                    if ways is not None:
                        raise HostError(f"{way}: {refusal}") from refusal
                    refused[way] = str(refusal)
            self._witness = undo.enter_context(closing(Witness()))
            self.close = undo.pop_all().close
        self.score = Score(self._witness.way, {way: Count() for way in self._lives}, refused)
        self._unified = _UNIFIED.exists()
        self._skipped = 0

    def forget(self) -> None:
        """Leave out what came so far."""
        self._witness.take()
        for stream in self._lives.values():
            stream.take()
        self._skipped = self._skips()

    def compare(self) -> None:
        """All that came since, of puppets that have all ended."""
        full = self._witness.take()
        taken = {way: stream.take() for way, stream in self._lives.items()}
        before, self._skipped = self._skipped, self._skips()
        if self._skipped != before:
            self._set_aside()
            return
        self._count_kinds(full)
        for way, (lives, births) in taken.items():
            self._compare(way, lives, births, full)

    def _set_aside(self) -> None:
        """A record is missing, and it is not known whose."""
        self.score.set_aside += 1
        if self.score.set_aside >= _TOO_MANY and 2 * self.score.set_aside > self.score.worlds:
            raise HostError("the kernel skips runs of programs in most worlds")

    def _compare(self, way: str, lives: list[Life], births: list[Born], full: FamilyStream) -> None:
        count, family = self.score.modes[way], full.family()
        ways = Ways(way, self._witness.way, self._unified)
        ended = compare_lives(filter(family.has_life, lives), told(full), ways)
        born = compare_births(list(filter(family.has_birth, births)), full.births)
        count.lives += ended.all
        count.births += born.all
        count.lost = self._lives[way].lost
        count.add(ended)
        count.add(born)

    def _count_kinds(self, full: FamilyStream) -> None:
        for life in full.lives:
            self.score.kinds[life.kind.name] += 1
            self.score.kinds["deep"] += len(life.numbers) > 4
            self.score.kinds["by thread"] += life.by_thread

    def _skips(self) -> int:
        return self._witness.skipped + sum(it.skipped for it in self._lives.values())


def play(
    lives: int,
    seed: int = 0,
    ways: Sequence[str] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Score:
    """Play worlds until so many lives have been compared in each mode; raises PidscopeError.

    ``note`` gets a line from time to time.
    """
    expect_root()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        puppet = build(Path(folder))
        comparison = stack.enter_context(closing(Comparison(ways)))
        theatre = stack.enter_context(Theatre(puppet))
        features = find_features(theatre)
        comparison.forget()
        score = comparison.score
        note(f"life streams by {', '.join(score.modes)} and the full stream by {score.full}")
        noted = begun = time.monotonic()
        while score.lives < lives:
            _play_world(theatre, features, f"{seed}.{score.worlds}", score)
            comparison.compare()
            score.seconds = time.monotonic() - begun
            if time.monotonic() - noted >= _PROGRESS_S:
                noted = time.monotonic()
                note(f"{score.lives} lives of {score.worlds} worlds in {score.seconds:.0f} s")
    return score


def _play_world(theatre: Theatre, features: Features, seed: str, score: Score) -> None:
    score.worlds += 1
    try:
        with theatre.new_world() as world:
            duel = Duel(world, features, states=False)
            steps = Chaos(duel.play, random.Random(seed), HASTE)
            score.calls += sum(_made(duel, steps))
    except Difference:
        score.cut_short += 1
    except NoAnswer as problem:
        raise HostError(f"puppets: {problem}") from problem
    except subprocess.TimeoutExpired as problem:
        raise HostError("a world does not end") from problem


def _made(duel: Duel, steps: Chaos) -> Iterator[bool]:
    """Make steps; whether each was a call of a puppet."""
    for step in islice(steps, CALLS_PER_WORLD):
        try:
            yield duel.step(step) is not None
        except ScenarioError:  # it means nothing now
            yield False
