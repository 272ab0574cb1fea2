"""The frequent records, applied from memory: a fork storm without an object for each record.

What `pidscope.session.stream` and `pidscope.session.session` do with each record on its own (decode
it, count it, ask the grammar, let the table have it) is done here in one go for those that come in
thousands, and only where nothing is unusual about them. Each handler first checks all that the
table would check; if anything is not as in the plainest case it touches nothing and says so, and
that record takes the long way, which knows all cases and all errors. So there is nothing that only
this file knows, and leaving it out changes no result: a test compares the two, record by record.

A birth's group and session are told by all their numbers. Most births have those of the one before,
so the bytes are looked up among those that the table has checked before; it is still the same
struct pid if anybody is attached to it (a freed one never is again).
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator
from struct import Struct
from typing import Callable, Generic, NamedTuple, TypeVar

from pidscope.table.pid import Namespace, Pid
from pidscope.table.table import Table
from pidscope.wire.layout import BIRTH_LEVELS, LAYOUTS, RecordType

_NR_RECORD_TYPES = max(RecordType) + 1
_HEADER = 8  # of each record in a ring
_LINKS_KEPT = 32  # few forks in a row are in more groups than that

# A birth without its ts_ns: the levels, ..., the inums of group and session, ..., their numbers.
BIRTH = Struct("=x3sI8xIIQII16sII8s4I32s").unpack_from
TID = Struct("=4xI12xI").unpack_from  # lost, tid
NAMED = Struct("=4xI8xIII16s").unpack_from  # lost, by, tid, old_tid, comm
_LINKS = Struct("=x2B2I8I").unpack

AnyTable = TypeVar("AnyTable", bound=Table)
Handler = Callable[[memoryview, int], int]  # how many hits of its hook it was; 0: not plain


class Followed(NamedTuple):
    """How many bytes were plain, and the counts that `pidscope.session.stream.Stream` keeps."""

    size: int
    events: int
    births: int
    accounted: Counter[str]


class Follower(abc.ABC, Generic[AnyTable]):
    """Follows a stream for one table, as long as its records are plain."""

    def __init__(self, table: AnyTable) -> None:
        self._table = table
        self._links: dict[bytes, tuple[Pid, Pid]] = {}
        self._lost = 0
        self._watched: frozenset[int] = frozenset()
        self._births = 0
        self._named = (b"", b"")
        self._plain: dict[int, tuple[int, str, Handler]] = {
            record_type: (LAYOUTS[record_type].compile().size, hook, handler)
            for record_type, hook, handler in self._handlers()
        }

    @abc.abstractmethod
    def _handlers(self) -> Iterator[tuple[RecordType, str, Handler]]:
        """What can be plain, the hook that tells of it, and who reads it."""

    def follow(self, memory: memoryview, lost: int, watched: frozenset[int]) -> Followed:
        """Let happen what lies in ``memory``, up to the first record that is not plain.

        Args:
            memory: records as they lie in a ring (`pidscope.session.world.RecordRing.stretch`).
            lost: the records that are known to be lost, modulo 2**32.
            watched: the tasks whose coming and going somebody has to see one by one.
        """
        self._lost, self._watched, self._births = lost, watched, 0
        plain, counts = self._plain, [0] * _NR_RECORD_TYPES
        at, end, events = 0, len(memory), 0
        with memory.cast("I") as words:
            while at + _HEADER < end:
                record_type = memory[at + _HEADER]
                known = plain.get(record_type)
                if known is None:
                    break
                size, _, handler = known
                if words[at >> 2] != size or at + _HEADER + size > end:
                    break
                hits = handler(memory, at + _HEADER)
                if not hits:
                    break
                counts[record_type] += hits
                events += 1
                at += _HEADER + size
        accounted: Counter[str] = Counter()
        for record_type, (_, hook, _) in plain.items():
            accounted[hook] += counts[record_type]
        return Followed(at, events, self._births, +accounted)

    def _comm(self, raw: bytes) -> bytes:
        """A name up to its end; whoever is called as the one before shares it."""
        if raw != self._named[0]:
            self._named = raw, raw.partition(b"\0")[0]
        return self._named[1]

    def _name(self, tid: int, comm: bytes) -> None:
        task = self._table.task(tid)
        if task is not None:
            task.comm = self._comm(comm)

    def _find_links(self, key: bytes) -> tuple[Pid, Pid] | None:
        """The group and session that a birth tells of in these bytes; None: not as plainly."""
        links = self._links.get(key)
        if links is None or not (links[0].groups and links[1].sessions):
            pgid_level, sid_level, pgid_ns, sid_ns, *numbers = _LINKS(key)
            pgid = self._find(numbers[:BIRTH_LEVELS], pgid_level, pgid_ns)
            sid = self._find(numbers[BIRTH_LEVELS:], sid_level, sid_ns)
            if pgid is None or sid is None:
                return None
            if len(self._links) >= _LINKS_KEPT:
                self._links.clear()
            links = self._links[key] = (pgid, sid)
        return links

    def _find(self, numbers: list[int], level: int, inum: int) -> Pid | None:
        table = self._table
        pid = table.init_struct_pid if numbers[0] == 0 else table.root.pids.get(numbers[0])
        if pid is None or pid.partial or level >= BIRTH_LEVELS:
            return None
        known = pid.numbers == tuple(numbers[: level + 1]) and pid.ns.inum == inum
        return pid if known else None


def is_free(numbers: tuple[int, ...], level: int, ns: Namespace, parent_inum: int) -> bool:
    """Whether nobody has one of these numbers, in a namespace that is known and in use."""
    if ns.level != level or numbers[level] == 1:
        return False
    if level and (ns.parent is None or ns.parent.inum != parent_inum):
        return False
    outer: Namespace | None = ns
    while outer is not None:
        if numbers[outer.level] in outer.pids:
            return False
        outer = outer.parent
    return True
