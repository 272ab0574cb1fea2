"""Which lives of a stretch of time are in a place. Pure but for the files that are read.

A PID namespace has a task if the task has a number in it, and a container has it by its cgroup, as
that was at its end: so a container is found by its name although it did not run all the time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pidscope.containers.container import Chain
from pidscope.errors import UsageError
from pidscope.escape import printable
from pidscope.history import frames
from pidscope.history.between import Piece
from pidscope.history.past import chains_in
from pidscope.history.segment_file import SegmentFile
from pidscope.query.labels import describe_apart
from pidscope.query.place import bracketed
from pidscope.query.where import is_named, may_be_named, roots_first
from pidscope.query.words import Kind, Where, meanings
from pidscope.wire.lives import Life, LifeKind

_FILES = 4


class Chains:
    """The containers around tasks, by the files that have them; the latest few are kept."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, Chain]] = {}

    def of(self, file: SegmentFile, life: Life) -> Chain | None:
        """Return the containers around a task when its life was written; None: not known."""
        found = self._kept.get(file.path)
        if found is None:
            if len(self._kept) >= _FILES:
                del self._kept[next(iter(self._kept))]
            found = self._kept[file.path] = chains_in(file.json())
        return found.get(life.cgroup_id)


class PlaceFilter(Protocol):
    """Picks the lives of a place."""

    unknown: int  # tasks of which it is not known whether they were in it
    is_known: bool  # there was such a place, as far as it has been looked for

    def includes(self, boot_id: str, life: Life, chain: Chain | None) -> bool:
        """Whether a life is in it."""

    def several(self) -> list[str]:
        """Return what the word turned out to name, if that is more than one place."""

    def unknown_text(self) -> str:
        """Return what ``unknown`` counts."""


class Everywhere:
    """All of them."""

    unknown, is_known = 0, True

    def includes(self, boot_id: str, life: Life, chain: Chain | None) -> bool:
        """Return True."""
        return True

    def several(self) -> list[str]:
        """Return none."""
        return []

    def unknown_text(self) -> str:
        """Return nothing."""
        return ""


class InNamespace:
    """Those that had a number in the PID namespace with this inum, and in those inside it.

    The kernel gives an inum out again: then it is several namespaces, one after the other. Of each
    the number 1 is the first task (`pidscope.history.past_namespaces`).

    Args:
        ns: the inum.
        tails: the last files of each boot, of which the last snapshots have the number 1s that
            live on.
        found: all files.
    """

    is_known = True

    def __init__(self, ns: int, tails: Iterable[Sequence[Piece]], found: Iterable[Piece]) -> None:
        self._ns = ns
        self._met: set[tuple[str, int]] = set()
        self.unknown = 0
        self._inits: dict[str, dict[int, int | None]] = {}  # by boot and start, the end
        for piece in found:
            for life in piece.file.having(ns, 1):
                self._add(piece.boot_id, life, life.end_ns)
        for tail in tails:
            for piece in tail:
                for life in _last_living(piece.file, ns):
                    self._add(piece.boot_id, life, None)
        self._starts = {boot_id: sorted(inits) for boot_id, inits in self._inits.items()}

    def _add(self, boot_id: str, life: Life, end_ns: int | None) -> None:
        is_first = dict(zip(life.inums[1:], life.numbers[1:])).get(self._ns) == 1
        if is_first and life.kind is LifeKind.PROCESS:
            self._inits.setdefault(boot_id, {}).setdefault(life.start_ns or 0, end_ns)

    def includes(self, boot_id: str, life: Life, chain: Chain | None) -> bool:
        """Whether it had a number there."""
        if self._ns not in life.inums:
            return False
        if life.inums[0] != self._ns:  # the initial one is one
            self._meet(boot_id, life.start_ns or 0)
        return True

    def _meet(self, boot_id: str, start_ns: int) -> None:
        starts = self._starts.get(boot_id, [])
        at = bisect_right(starts, start_ns)
        self._met.add((boot_id, at))
        end_ns = self._inits[boot_id][starts[at - 1]] if at else None
        # Born behind that number 1's end: while it was exiting, or by another one that lives on
        # and is in no snapshot yet.
        self.unknown += end_ns is not None and start_ns > end_ns

    def several(self) -> list[str]:
        """Return how many namespaces it was."""
        if len(self._met) < 2:
            return []
        return [f"{bracketed(self._ns)} was {len(self._met)} namespaces in that time"]

    def unknown_text(self) -> str:
        """Return what ``unknown`` counts."""
        return f"{self.unknown} tasks may have been in another namespace with the same inum"


def _last_living(file: SegmentFile, ns: int) -> Iterator[Life]:
    """Yield what has number 1 in a namespace in the last snapshot of a file."""
    blocks = list(file.blocks(frames.ALIVE))
    last_ns = max((about.taken_ns for _, about in blocks), default=0)
    for frame, about in blocks:
        rows = file.rows(frame) if about.taken_ns == last_ns else None
        for at in () if rows is None else rows.having(ns, 1):
            yield from file.life(frame, rows, at) if rows is not None else ()


class InContainer:
    """Those that were in the containers that a word names, by their cgroup at the end.

    Args:
        where: the word.
        files: all in which there may be one: root's containers go before those of users.
    """

    def __init__(self, where: Where, files: Iterable[SegmentFile]) -> None:
        self._where = where
        named: dict[Chain, None] = {}
        for file in files:
            for chain in set(chains_in(file.json()).values()):
                ends = range(1, len(chain) + 1)
                named.update(dict.fromkeys(chain[:at] for at in ends if self._is_named(chain[:at])))
        chosen, _ = roots_first(list(named))
        self.is_known = bool(chosen)
        self._chosen = frozenset(chosen)
        self._met: dict[Chain, None] = {}
        self.unknown = 0

    def _is_named(self, chain: Chain) -> bool:
        return any(is_named(chain[-1], it) for it in meanings(self._where))

    def includes(self, boot_id: str, life: Life, chain: Chain | None) -> bool:
        """Whether it was in one of them."""
        if chain is None:
            self.unknown += 1
            return False
        for at in range(1, len(chain) + 1):
            if chain[:at] in self._chosen:
                self._met[chain[:at]] = None
                return True
        if not self.is_known:
            self.unknown += any(may_be_named(it, self._where) for it in chain)
        return False

    def several(self) -> list[str]:
        """Return the containers that it was; those of one pod are one place."""
        if len({_place(it) for it in self._met}) < 2:
            return []
        listed = "; ".join(describe_apart(list(self._met)))
        return [f"'{printable(self._where.word)}' was more than one place in that time: {listed}"]

    def unknown_text(self) -> str:
        """Return what ``unknown`` counts."""
        return f"of {self.unknown} tasks it is not known in which container they were"


def _place(chain: Chain) -> object:
    it = chain[-1]
    return it.pod_uid or (it.pod_namespace, it.pod) if it.pod is not None else chain


def names_container(where: Where) -> bool:
    """Whether a word means a container; raises UsageError: it may be a process or namespace, too.

    pidscope itself did not live then.
    """
    if where.kind is Kind.SELF:
        raise UsageError("self is pidscope, which did not live then", "name the place itself")
    kinds = {it.kind for it in meanings(where)}
    if where.kind is Kind.BARE and not kinds.isdisjoint({Kind.PID, Kind.NS}):
        word = printable(where.word)
        raise UsageError(
            f"'{word}' may be several things", f"pid:{word}, ns:{word}, id:{word} or name:{word}"
        )
    return where.needs_containers
