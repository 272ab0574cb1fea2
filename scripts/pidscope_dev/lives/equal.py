"""Lives by the life stream and by the full stream: which differ, and in what.

Of a life the full stream says all but this, and what it cannot say is taken as it is:

- the end: each of both reads the clock for itself, and they may be `CLOCKS_NS` apart;
- the parent, and whether the process joined, once a thread of the parent at birth has exited;
- the status of a process whose last thread is not its leader: the release has the leader's code;
- by tracepoints, the group and the session;
- with control groups of version 1, the control group: moves are reported in each hierarchy.

The user is always root, since puppets never become another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple, TypeVar

from pidscope.wire.hooks import TRACEPOINT
from pidscope.wire.lives import Born, Life, LifeKind
from pidscope_dev.lives.full_stream import FullStream, Process

CLOCKS_NS = 1_000_000_000
"""Between two programs at one place a CPU may be taken away, from an emulated one for long."""

_T = TypeVar("_T")


class Ways(NamedTuple):
    """How both streams hook the kernel, and what the kernel is like."""

    lives: str  # a probe mode
    full: str
    unified: bool = True  # control groups of version 2


class Told(NamedTuple):
    """An end as the full stream says it."""

    life: Life
    process: Process
    parent: Process | None  # None: not known
    name: bytes  # after the exec, of a thread that called it


class Compared(NamedTuple):
    """How many there were, how many of them are equal, and a line for each difference."""

    all: int
    equal: int
    differences: list[str]


def told(full: FullStream) -> list[Told]:
    """Every end that the full stream has said so far."""
    ends = zip(full.lives, full.processes, full.parents)
    return [Told(*end, full.names.get(at, end[0].comm)) for at, end in enumerate(ends)]


def compare_lives(lives: Iterable[Life], ends: Iterable[Told], ways: Ways) -> Compared:
    """Pair those of one end, and compare each field."""
    mine = _by_key(sorted(lives, key=lambda life: life.end_ns), lambda life: life)
    theirs = _by_key(ends, lambda end: end.life)
    lines: list[str] = []
    equal = 0
    for key in {**mine, **theirs}:
        told, known = mine[key], theirs[key]
        pairs = zip(told, known)
        found = [_difference(life, expected(life, end, ways)) for life, end in pairs]
        equal += found.count("")
        lines += filter(None, found)
        lines += [f"not in the full stream: {life}" for life in told[len(known) :]]
        lines += [f"missing: {end.life}" for end in known[len(told) :]]
    return Compared(sum(map(len, theirs.values())), equal, lines)


def _by_key(
    all_of: Iterable[_T], life_of: Callable[[_T], Life]
) -> defaultdict[tuple[object, ...], list[_T]]:
    found = defaultdict(list)
    for each in all_of:
        found[_key(life_of(each))].append(each)
    return found


def _key(life: Life) -> tuple[object, ...]:
    """What the same end has in both streams. A thread that calls exec may do so twice."""
    return life.kind, life.tgid, life.leader_start_ns, life.numbers[0], life.start_ns or 0


def expected(mine: Life, end: Told, ways: Ways) -> Life:
    """What the life stream must say of an end: the full stream's word, where it has one."""
    life = end.life
    if abs(mine.end_ns - life.end_ns) <= CLOCKS_NS:
        life = life._replace(end_ns=mine.end_ns)
    life = _with_parent(life, mine, end)
    if life.kind is LifeKind.PROCESS:
        life = life._replace(status=_status(mine, end, ways))
    if life.kind is LifeKind.EXECED and ways.lives == TRACEPOINT:
        unknown = (None,) * (len(life.numbers) - 1)
        life = life._replace(numbers=(life.numbers[0], *unknown), comm=end.name)
    if ways.full == TRACEPOINT:
        life = life._replace(pgid=mine.pgid, sid=mine.sid)
    return life if ways.unified else life._replace(cgroup_id=mine.cgroup_id)


def _status(mine: Life, end: Told, ways: Ways) -> int | None:
    if end.life.by_thread:
        return mine.status
    released = ways.full != TRACEPOINT and end.process.status is not None
    return end.process.status if released else end.process.code


def _with_parent(life: Life, mine: Life, end: Told) -> Life:
    parent, own = end.parent, end.process.numbers
    if parent is None:
        return life._replace(
            ppid=mine.ppid, parent_start_ns=mine.parent_start_ns, joined=mine.joined
        )
    joined = len(parent.numbers) < len(own) and own[-1] != 1
    return life._replace(ppid=parent.tgid, parent_start_ns=parent.start_ns, joined=joined)


def _difference(mine: Life, theirs: Life) -> str:
    fields = [name for name, one, other in zip(Life._fields, mine, theirs) if one != other]
    return f"{', '.join(fields)}: {mine}, by the full stream {theirs}" if fields else ""


def compare_births(births: Sequence[Born], full: Sequence[Born]) -> Compared:
    """Both have all of a birth."""
    mine, theirs = set(births), set(full)
    lines = [f"not in the full stream: {born}" for born in sorted(mine - theirs)]
    lines += [f"missing: {born}" for born in sorted(theirs - mine)]
    if len(births) != len(full) and not lines:
        lines.append(f"{len(births)} births, {len(full)} by the full stream")
    return Compared(len(full), len(mine & theirs), lines)
