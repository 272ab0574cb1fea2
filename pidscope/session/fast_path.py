"""The frequent records, applied from memory: a fork storm without an object for each record.

What `pidscope.session.stream` and `pidscope.session.session` do with each record on its own (decode
it, count it, ask the grammar, apply it to the table) is done here in one go for the records that
come in thousands, and only if nothing is unusual about them. Each handler first checks all that the
table would check. If anything is not as in the plainest case, the handler changes nothing and
returns 0, and that record goes the long way, which knows all cases and all errors. So this file
knows nothing that the long way does not know, and without it every result is the same: a test
compares the two, record by record.

A birth names its group and session by all their numbers. Most births have those of the birth
before, so the bytes are looked up among those that were checked against the table before. They
still mean the same struct pid if a process is attached to it (a freed one never is again).
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Callable, Generic, NamedTuple, Protocol, TypeVar

from pidscope import events
from pidscope.errors import WireError
from pidscope.events import PidNumbers
from pidscope.table.pid import Pid
from pidscope.table.table import Table
from pidscope.verify.grammar import Fault, Faults
from pidscope.wire.batch import LINK_INUMS, LINK_LEVELS, LINK_NUMBERS, read_links
from pidscope.wire.layout import BIRTH_LEVELS, LAYOUTS, STRUCTS, RecordType

_NR_RECORD_TYPES = max(RecordType) + 1
_HEADER = 8  # bytes before each record in a ring; the first word is the record's size
_SIZE_WORD = -_HEADER // 4  # from the record on
_LOST_WORD = LAYOUTS[RecordType.BIRTH].offset("lost") // 4  # in every record
_LINKS_KEPT = 32  # few forks in a row are in more groups than that

BIRTH = (
    LAYOUTS[RecordType.BIRTH]
    .pick(
        *("level", LINK_LEVELS, "by", "tid", "start_ns", "tgid", "ppid", "comm"),
        *("ns", "ns_parent", LINK_INUMS, "pid", LINK_NUMBERS),
    )
    .unpack_from
)
TID = LAYOUTS[RecordType.EXITED].pick("tid").unpack_from
NAMED = LAYOUTS[RecordType.EXECUTED].pick("by", "tid", "old_tid", "comm").unpack_from

AnyTable = TypeVar("AnyTable", bound=Table)
Handler = Callable[[memoryview, int], int]  # returns the runs of its hook; 0: not plain


class Applied(NamedTuple):
    """How many bytes were plain, and the counts that `pidscope.session.stream.Stream` keeps."""

    size: int
    events: int
    births: int
    accounted: Counter[str]


class Judge(Protocol):
    """What is asked about each record: `pidscope.verify.grammar.Grammar`, or what stands for it."""

    def born(self, by: int, nr: int, init_of: int) -> Fault | None:
        """A birth by the task ``by``."""

    def renamed(self, nr: int) -> Fault | None:
        """A new name."""

    def exited(self, nr: int) -> Fault | None:
        """An exit."""


class FastPath(abc.ABC, Generic[AnyTable]):
    """Applies a stream to one table, as long as its records are plain.

    Args:
        table: what the records are applied to.
        judge: is asked about each record.
        faults: takes what the judge finds.
        hooks: the hook that reports each kind of event.
    """

    _process_runs = 1  # runs of its hook that the birth or the release of a process stands for

    def __init__(
        self, table: AnyTable, judge: Judge, faults: Faults, hooks: Mapping[type, str]
    ) -> None:
        self._table = table
        self._judge = judge
        self._faults = faults
        self._links: dict[bytes, tuple[Pid, Pid]] = {}
        self._watched: frozenset[int] = frozenset()
        self._births = 0
        self._seconds = 0  # events that were the second of their record
        self._named = (b"", b"")
        self._plain: dict[int, tuple[int, str, Handler]] = {
            record_type: (STRUCTS[record_type].size, hooks[kind], handler)
            for record_type, kind, handler in self._handlers()
        }

    def _handlers(self) -> Iterator[tuple[RecordType, type, Handler]]:
        """The records that can be plain, the event that each is of, and what applies it."""
        yield RecordType.BIRTH, events.PidAttached, self._born
        yield RecordType.RENAMED, events.TaskRenamed, self._renamed
        yield RecordType.EXITED, events.TaskExited, self._exited

    def apply(self, memory: memoryview, lost: int, watched: frozenset[int]) -> Applied:
        """Apply what lies in ``memory``, up to the first record that is not plain.

        Args:
            memory: records as they lie in a ring (`pidscope.session.world.RecordRing.stretch`).
            lost: the records that are known to be lost, modulo 2**32.
            watched: the tasks whose births and releases have to be applied one by one.
        """
        self._watched, self._births, self._seconds = watched, 0, 0
        plain, counts = self._plain, [0] * _NR_RECORD_TYPES
        at, end, records = _HEADER, len(memory), 0
        with memory.cast("I") as words:
            while at < end:
                record_type = memory[at]
                known = plain.get(record_type)
                if known is None:
                    break
                size, _, handler = known
                word = at >> 2
                if words[word + _SIZE_WORD] != size or at + size > end:
                    break
                if words[word + _LOST_WORD] != lost:
                    break
                hits = handler(memory, at)
                if not hits:
                    break
                counts[record_type] += hits
                records += 1
                at += _HEADER + size
        accounted: Counter[str] = Counter()
        for record_type, (_, hook, _) in plain.items():
            accounted[hook] += counts[record_type]
        return Applied(at - _HEADER, records + self._seconds, self._births, +accounted)

    def _born(self, memory: memoryview, at: int) -> int:
        """A birth: its rule is the table's (`Table.is_plain_birth`), less what is rare."""
        v = BIRTH(memory, at)
        level, levels, by, tid, start_ns, tgid, ppid, comm, inum, parent_inum, inums = v[:11]
        table = self._table
        ns = table.namespaces.get(inum)
        if ns is None or level >= BIRTH_LEVELS or tid in self._watched:
            return 0
        numbers = v[11 : 12 + level]
        if numbers[0] != tid or not table.is_plain_birth(numbers, ns, parent_inum):
            return 0
        group = table.group(tgid)
        if tgid == tid:
            links, parent = self._find_links(levels + inums + v[15], memory, at), table.group(ppid)
            if links is None or parent is None:
                return 0
            pid = table.add_pid(numbers, ns)
            group = table.add_process(pid, links, parent, by)
        elif group is None or max(levels) >= BIRTH_LEVELS:
            return 0
        else:
            pid = table.add_pid(numbers, ns)
        table.add_task(pid, group, start_ns, self._comm(comm))
        if fault := self._judge.born(by, numbers[0], 0):  # that int is kept already
            self._faults.append(fault)
        self._births += 1
        return self._process_runs if tgid == tid else 1

    def _renamed(self, memory: memoryview, at: int) -> int:
        _, tid, _, comm = NAMED(memory, at)
        if fault := self._judge.renamed(tid):
            self._faults.append(fault)
        self._name(tid, comm)
        return 1

    def _exited(self, memory: memoryview, at: int) -> int:
        (tid,) = TID(memory, at)
        if fault := self._judge.exited(tid):
            self._faults.append(fault)
        self._table.note_exit(tid)
        return 1

    def _comm(self, raw: bytes) -> bytes:
        """A name up to its end; tasks of one name, one after the other, share it."""
        if raw != self._named[0]:
            self._named = raw, raw.partition(b"\0")[0]
        return self._named[1]

    def _name(self, tid: int, comm: bytes) -> None:
        task = self._table.task(tid)
        if task is not None:
            task.comm = self._comm(comm)

    def _find_links(self, key: bytes, memory: memoryview, at: int) -> tuple[Pid, Pid] | None:
        """The group and session in the record at ``at``, by their bytes; None: not plain."""
        links = self._links.get(key)
        if links is None or not (links[0].groups and links[1].sessions):
            try:
                pgid, sid = map(self._find, read_links(memory, at))
            except WireError:
                return None
            if pgid is None or sid is None:
                return None
            if len(self._links) >= _LINKS_KEPT:
                self._links.clear()
            links = self._links[key] = (pgid, sid)
        return links

    def _find(self, link: PidNumbers) -> Pid | None:
        pid = self._table.init_struct_pid if link.nr == 0 else self._table.root.pids.get(link.nr)
        if pid is None or pid.partial or (pid.numbers, pid.ns.inum) != link:
            return None
        return pid
