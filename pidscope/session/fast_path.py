"""The frequent records, applied from memory: a fork storm without an object for each record.

What `pidscope.session.stream` and `pidscope.session.session` do with each record on its own (decode
it, count it, ask the grammar, apply it to the table) is done here in one go for the records that
come in thousands, and only if nothing is unusual about them. Each handler first checks all that the
table would check. If anything is not as in the plainest case, the handler changes nothing and
returns 0, and that record goes the long way, which knows all cases and all errors. So this file
knows nothing that the long way does not know, and without it every result is the same: a test
compares the two, record by record.

A process that is born and gone within one stretch of the ring leaves nothing in the table. So a
plain process is *young* first: it is checked and counted, and takes its generation, but enters the
table at the end of the stretch, or before anything that could find it missing there: a record that
is not plain, a child or a thread of its own, or the release of the last process that keeps its
group, session or namespace in the table. Most are released before, and never enter it.

A birth names its group and session by all their numbers. Most births have those of the birth
before, so the bytes are looked up among those that were checked against the table before. They
still mean the same struct pid if a process is attached to it (a freed one never is again). In a
storm most births are their forker's, one after the other, and differ in number and start alone:
what else was found for the first of such siblings holds until a task is released from the table.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Generic, NamedTuple, Protocol, TypeVar

from pidscope import events
from pidscope.errors import WireError
from pidscope.events import PidNumbers
from pidscope.table.pid import Namespace, Pid, Task, ThreadGroup
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
# Levels, then what differs among siblings, and the rest in parts.
SIBLING = (
    LAYOUTS[RecordType.BIRTH]
    .pick(
        *(("level", "sid_level"), "by", "tid", "start_ns", "tgid", "ppid", "comm"),
        *(("ns", "sid_ns"), "pid", LINK_NUMBERS),
    )
    .unpack_from
)
TID = LAYOUTS[RecordType.EXITED].pick("tid").unpack_from
NAMED = LAYOUTS[RecordType.EXECUTED].pick("by", "tid", "old_tid", "comm").unpack_from

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long

AnyTable = TypeVar("AnyTable", bound=Table)
Handler = Callable[[memoryview, int], int]  # returns the runs of its hook; 0: not plain


class Siblings(NamedTuple):
    """What births have in common whose records differ in number and start alone."""

    ns: Namespace
    links: tuple[Pid, Pid]
    parent: ThreadGroup
    forked: bool  # by the parent
    parent_inum: int  # of the namespace's parent
    look: tuple[bytes, bytes, bytes]  # levels, inums, and numbers of the links in the record


class Young(NamedTuple):
    """A process that the table does not have yet, and what it had to be made of at its birth."""

    numbers: tuple[int, ...]
    siblings: Siblings
    parent_exits: int
    generation: int
    start_ns: int
    comm: bytes  # as it is in the record


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
        self._young: dict[int, Young] = {}  # in the order of birth
        self._young_exits: dict[int, int] = {}
        self._siblings: dict[tuple[Any, ...], Siblings] = {}
        self._young_numbers: set[tuple[Namespace, int]] = set()  # further in than level 0
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
        self._siblings.clear()
        plain, counts = self._plain, [0] * _NR_RECORD_TYPES
        at, end, records = _HEADER, len(memory), 0
        with memory.cast("I") as words:
            while at < end:
                record_type, word = memory[at], at >> 2
                known = plain.get(record_type)
                if known is None:
                    break
                size, _, handler = known
                if words[word + _SIZE_WORD] != size or words[word + _LOST_WORD] != lost:
                    break
                if at + size > end:
                    break
                hits = handler(memory, at)
                if not hits:
                    break
                counts[record_type] += hits
                records += 1
                at += _HEADER + size
        self._grow_up()
        accounted: Counter[str] = Counter()
        for record_type, (_, hook, _) in plain.items():
            accounted[hook] += counts[record_type]
        return Applied(at - _HEADER, records + self._seconds, self._births, +accounted)

    def _born(self, memory: memoryview, at: int) -> int:
        """A birth, most often one like those before it."""
        levels, by, tid, start_ns, tgid, ppid, comm, inums, nr, n1, n2, n3, links = SIBLING(
            memory, at
        )
        siblings = self._siblings.get((levels, by, ppid, comm, inums, links))
        if siblings is None or not tgid == tid == nr or tid in self._watched or tid in self._young:
            return self._born_first(memory, at)
        numbers = (nr, n1, n2, n3)[: levels[0] + 1] if levels[0] else (nr,)
        if not self._is_free(numbers, siblings):
            return self._born_first(memory, at)
        self._be_young(numbers, siblings, start_ns, comm)
        return self._was_born(by, nr, self._process_runs)

    def _is_free(self, numbers: tuple[int, ...], siblings: Siblings) -> bool:
        if len(numbers) == 1:
            return numbers[0] not in siblings.ns.pids and numbers[0] != 1
        ns = siblings.ns
        return not self._clash(numbers, ns) and self._table.is_plain_birth(
            numbers, ns, siblings.parent_inum
        )

    def _was_born(self, by: int, nr: int, runs: int) -> int:
        if fault := self._judge.born(by, nr, 0):
            self._faults.append(fault)
        self._births += 1
        return runs

    def _born_first(self, memory: memoryview, at: int) -> int:
        """Any birth: its rule is the table's (`Table.is_plain_birth`), less what is rare."""
        v = BIRTH(memory, at)
        level, levels, by, tid, start_ns, tgid, ppid, comm, inum, parent_inum, inums = v[:11]
        table, young = self._table, self._young
        ns = table.namespaces.get(inum)
        if ns is None or level >= BIRTH_LEVELS or tid in self._watched:
            return 0
        numbers = v[11 : 12 + level]
        if young and (tgid != tid or ppid in young or self._clash(numbers, ns)):
            self._grow_up()
        if numbers[0] != tid or not table.is_plain_birth(numbers, ns, parent_inum):
            return 0
        group = table.group(tgid)
        if tgid == tid:
            links, parent = self._find_links(levels + inums + v[15], memory, at), table.group(ppid)
            if links is None or parent is None:
                return 0
            forker = table.task(by)
            forked = forker is not None and forker.group is parent
            levels, *_, inums, _, _, _, _, numbers_of_links = SIBLING(memory, at)
            look = levels, inums, numbers_of_links
            siblings = Siblings(ns, links, parent, forked, parent_inum, look)
            self._siblings[levels, by, ppid, comm, inums, numbers_of_links] = siblings
            self._be_young(numbers, siblings, start_ns, comm)
        elif group is None or max(levels) >= BIRTH_LEVELS:
            return 0
        else:
            table.add_task(table.add_pid(numbers, ns), group, start_ns, self._comm(comm))
        # That int is kept already.
        return self._was_born(by, numbers[0], self._process_runs if tgid == tid else 1)

    def _be_young(
        self, numbers: tuple[int, ...], siblings: Siblings, start_ns: int, comm: bytes
    ) -> None:
        table = self._table
        table.generation += 1
        exits, generation = siblings.parent.exits, table.generation
        self._young[numbers[0]] = _new(
            Young, (numbers, siblings, exits, generation, start_ns, comm)
        )
        ns = siblings.ns
        while ns.parent is not None:
            self._young_numbers.add((ns, numbers[ns.level]))
            ns = ns.parent

    def _clash(self, numbers: tuple[int, ...], ns: Namespace | None) -> bool:
        """Whether a young process has one of these numbers."""
        if numbers[0] in self._young:
            return True
        while self._young_numbers and ns is not None:
            if (ns, numbers[ns.level]) in self._young_numbers:
                return True
            ns = ns.parent
        return False

    def _grow_up(self) -> None:
        """Let the table have all that are young."""
        table = self._table
        for nr, young in self._young.items():
            siblings = young.siblings
            pid = table.add_pid(young.numbers, siblings.ns, young.generation)
            group = table.attach_process(pid, siblings.links)
            if siblings.forked:
                group.parent, group.parent_exits = siblings.parent, young.parent_exits
            group.exits = self._young_exits.get(nr, 0)
            table.add_task(pid, group, young.start_ns, self._comm(young.comm))
        self._young.clear()
        self._young_exits.clear()
        self._young_numbers.clear()

    def _forget_young(self, nr: int, young: Young) -> None:
        """It was released before it entered the table."""
        del self._young[nr]
        self._young_exits.pop(nr, None)
        ns = young.siblings.ns
        while ns.parent is not None:
            self._young_numbers.discard((ns, young.numbers[ns.level]))
            ns = ns.parent

    def _expect_release(self, task: Task) -> None:
        """Before a task is released: it may be the last that keeps what is young in the table."""
        self._siblings.clear()
        if self._young and _may_be_last(task):
            self._grow_up()

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
        if tid in self._young:
            self._note_young_exit(tid)
        else:
            self._table.note_exit(tid)
        return 1

    def _note_young_exit(self, tid: int) -> None:
        self._young_exits[tid] = self._young_exits.get(tid, 0) + 1

    def _comm(self, raw: bytes) -> bytes:
        """A name up to its end; tasks of one name, one after the other, share it."""
        if raw != self._named[0]:
            self._named = raw, raw.partition(b"\0")[0]
        return self._named[1]

    def _name(self, tid: int, comm: bytes) -> None:
        young = self._young.get(tid)
        task = self._table.task(tid)
        if young is not None:
            self._young[tid] = young._replace(comm=comm)
        elif task is not None:
            task.comm = self._comm(comm)

    def _find_links(self, key: bytes, memory: memoryview, at: int) -> tuple[Pid, Pid] | None:
        """The group and session in the record at ``at``, by their bytes; None: not plain."""
        links = self._links.get(key)
        if links is None or not (
            (links[0].groups or links[0].process) and (links[1].sessions or links[1].process)
        ):
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


def _may_be_last(task: Task) -> bool:
    """Whether its release can take a group, a session or a namespace out of the table."""
    pid, group = task.pid, task.group
    assert pid is not None
    if group.tgid is pid:
        for link in (group.pgid, group.sid):
            if link is not None and link.nr and link.process in (None, group):
                return True
    ns = pid.ns
    while ns.parent is not None:
        if len(ns.pids) < 2:
            return True
        ns = ns.parent
    return False
