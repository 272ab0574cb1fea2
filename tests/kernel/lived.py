"""The lives of a command's tree, as a life stream of this kernel reports them."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from pidscope_dev.lives.full_stream import FullStream
from pidscope_dev.lives.puppets import Score

from pidscope.history.lives import Block, Columns
from pidscope.live.life_program import LIVES, LifeProgram
from pidscope.live.slots import LifeReader
from pidscope.wire.hooks import TRACEPOINT
from pidscope.wire.lives import Born, Life, LifeKind

from .conftest import Host

_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
_ATTEMPTS = 5
PUPPETS = 400  # lives: enough for some of each kind, by the seed of their worlds
Key = tuple[int, int]  # the number in the initial namespace, and the start


class Tree(NamedTuple):
    """A command and its descendants, threads too; the command itself comes first."""

    status: int
    pid: int
    births: list[Born]
    lives: list[Life]
    output: str

    def of(self, kind: LifeKind) -> list[Life]:
        return [life for life in self.lives if life.kind is kind]

    @property
    def process(self) -> dict[int, Life]:
        """By number: the ends of processes; a number that was used again is in it once."""
        return {life.tgid: life for life in self.of(LifeKind.PROCESS)}


class Lived:
    """A life stream with births, and what it has reported so far."""

    def __init__(self, program: LifeProgram, reader: LifeReader) -> None:
        self.program = program
        self.reader = reader
        self._columns = {stream.of.name: Columns(stream.of) for stream in program.streams}

    def take(self) -> tuple[list[Born], list[Life]]:
        """What came since, by the way of all rows: runs of bytes, columns, one row on demand."""
        blocks: list[Block] = []
        for of, rows in self.reader.take():
            blocks += self._columns[of.name].add(rows)
        blocks += [columns.flush() for columns in self._columns.values()]
        births = [block.born(at) for block in blocks if block.of.births for at in range(block.rows)]
        lives = [
            block.life(at) for block in blocks if not block.of.births for at in range(block.rows)
        ]
        return sorted(births, key=lambda born: born.start_ns), sorted(
            lives, key=lambda life: life.end_ns
        )

    def run(self, command: Sequence[str]) -> Tree:
        """Run a command to its end; what belongs to it, of all that the host did meanwhile.

        Again, if the kernel says that it has skipped a run of a program, as preemptible ones do
        (observed on 7.3): then a record is missing, and counted.
        """
        for _ in range(_ATTEMPTS):
            before = self.program.skipped()
            tree = self._run(command)
            if self.program.skipped() == before:
                return tree
        raise AssertionError(f"the kernel skipped runs in each of {_ATTEMPTS} attempts")

    def _run(self, command: Sequence[str]) -> Tree:
        self.take()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
        births, lives = self.take()
        assert self.reader.lost == 0
        return _tree(process.pid, process.returncode, births, lives, output)


def _tree(pid: int, status: int, births: list[Born], lives: list[Life], output: str) -> Tree:
    """By the forker: an orphan's parent is another, and its forker stays what it was."""
    tids, own = set(), []
    for born in births:
        if born.numbers[0] == pid or born.by in tids:
            own.append(born)
            tids.add(born.numbers[0])
    keys = {key(born) for born in own}
    mine = [
        life
        for life in lives
        if (life.tgid, life.leader_start_ns) in keys  # a thread that called exec has no start
    ]
    return Tree(status, pid, own, mine, output)


def key(of: Born | Life) -> Key:
    """What tells one task from all others, but not a leader from who took its place."""
    assert of.numbers[0] is not None and of.start_ns is not None
    return of.numbers[0], of.start_ns


@contextmanager
def life_stream(
    way: str, slots: bool | None = None, execs: bool | None = True, lives: int = LIVES
) -> Iterator[Lived]:
    """The programs, attached, with births."""
    program = LifeProgram(way, births=True, execs=execs, slots=slots, lives=lives)
    with closing(program), closing(LifeReader(program)) as reader:
        yield Lived(program, reader)


def check_whole(tree: Tree) -> None:
    """What is true of any tree whose tasks have all ended: each birth has its one end."""
    exits = [life for life in tree.lives if life.is_exit]
    assert len(exits) == len(tree.births)
    execed = tree.of(LifeKind.EXECED)
    by_key = {key(born): born for born in tree.births}
    assert len(by_key) == len(tree.births)
    ended = Counter(key(life) for life in exits)
    # A thread that called exec exits under its leader's identity, and the leader did before.
    again = {each for each, count in ended.items() if count == 2}
    assert set(ended.values()) <= {1, 2}
    assert again == {(life.tgid, life.leader_start_ns) for life in execed}
    gone = {born.numbers[0] for each, born in by_key.items() if each not in ended}
    assert gone == {life.numbers[0] for life in execed}
    for life in tree.lives:
        if life.kind is LifeKind.EXECED:
            continue
        born = by_key[key(life)]
        assert (life.numbers, life.inums[-1], life.tgid) == (born.numbers, born.ns, born.tgid)
        assert born.start_ns <= life.end_ns
        assert (life.kind is LifeKind.THREAD) == (born.numbers[0] != born.tgid)
    ends = Counter((life.tgid, life.leader_start_ns) for life in tree.of(LifeKind.PROCESS))
    processes = {key(born) for born in tree.births if born.numbers[0] == born.tgid}
    assert ends == Counter(processes)  # each process's end is told once
    led = Counter((life.tgid, life.leader_start_ns) for life in tree.of(LifeKind.LEADER))
    assert set(led.values()) <= {1} and set(led) >= again


def check_puppets(score: Score) -> None:
    """Every life is equal, and there were some of each kind."""
    for count in score.modes.values():
        assert count.shown == [] and count.lost == 0
        assert count.equal == count.lives + count.births and count.lives >= PUPPETS
    assert {kind.name for kind in LifeKind} <= set(score.kinds)


def compare_with_full(lived: Lived, host: Host, command: Sequence[str]) -> tuple[Tree, list[str]]:
    """Run a command under both streams; its tree, and what differs, by the full stream's events."""
    host.session.pump()
    host.events.clear()
    full = FullStream()
    full.adopt(host.session.world.tasks() or (), 0)
    tree = lived.run(command)
    host.session.pump()
    for event in host.events:
        full.add(event)
    keys = {key(born) for born in tree.births}
    released = [
        life._replace(status=process.status) if life.kind is LifeKind.PROCESS else life
        for life, process in zip(full.lives, full.processes)
        if (life.tgid, life.leader_start_ns) in keys
    ]
    ours, theirs = sorted(tree.lives, key=_order), sorted(released, key=_order)
    assert [_order(life) for life in ours] == [_order(life) for life in theirs]
    way = lived.program.way
    pairs = [(_known(mine, way), _known(full, way)) for mine, full in zip(ours, theirs)]
    return tree, [f"{mine}, {full} by the full stream" for mine, full in pairs if mine != full]


def _order(life: Life) -> tuple[object, ...]:
    return life.kind, life.tgid, life.leader_start_ns, life.numbers[0], life.start_ns or 0


def _known(life: Life, way: str) -> Life:
    """Without what the full stream has no event for; the two read the clock one after the other.

    By tracepoints it has none for groups and sessions either, and none for a release's status. A
    leader that exited first has its own code until 6.15, which is not what wait() gives. With
    hierarchies of version 1, cgroup_attach_task reports moves in each, and a life has the default.
    """
    of_process = life.kind is LifeKind.PROCESS
    life = life._replace(end_ns=0, ppid=0, parent_start_ns=0, joined=None, uid=0)
    if not _UNIFIED.exists():
        life = life._replace(cgroup_id=0)
    if way == TRACEPOINT:
        life = life._replace(pgid=0, sid=0)
    if of_process and (way == TRACEPOINT or life.by_thread):
        life = life._replace(status=None)
    return life
