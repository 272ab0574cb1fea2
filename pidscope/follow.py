"""The frequent records, applied from memory: a fork storm without an object for each record.

What `pidscope.stream` and `pidscope.session` do with each record on its own (decode it, count it,
ask the grammar, let the table have it) is done here in one go for those that come in thousands, and
only where nothing is unusual about them. Each handler first checks all that the table would check;
if anything is not as in the plainest case it touches nothing and says so, and that record takes the
long way, which knows all cases and all errors. So there is nothing that only this file knows, and
leaving it out changes no result: a test compares the two, record by record.

A birth's group and session are told by all their numbers. Most births have those of the one before,
so the bytes are looked up among those that the table has checked before; it is still the same
struct pid if anybody is attached to it (a freed one never is again).
"""

from __future__ import annotations

from struct import Struct
from typing import Callable, NamedTuple

from pidscope.grammar import Fault, Faults, Grammar
from pidscope.pid import Namespace, Pid, ThreadGroup
from pidscope.table import Table
from pidscope.wire import BIRTH_LEVELS, LAYOUTS, PID_LEVELS, RecordType

_HEADER = 8  # of each record in a ring
_LINKS_KEPT = 32  # few forks in a row are in more groups than that
_TYPES = 4  # of enum pid_type: by so many calls a process is attached, and detached

# `pidscope.wire.LAYOUTS` without what is not asked for.
_BIRTH = Struct("=x3sI8xIIQII16sII8s4I32s").unpack_from
_LINKS = Struct("=x2B2I8I").unpack
_RELEASED = Struct("=4xI12xII").unpack_from
_ONE_PID = Struct("=xB2xI8xI12xI").unpack_from
_CREATED = Struct("=4xI8xIIQ").unpack_from
_EXITED = Struct("=4xI12xI").unpack_from
_NAMED = Struct("=4xI12xII16s").unpack_from

_Handler = Callable[[memoryview, int], int]  # how many hits of its hook it was; 0: not plain

_HOOKS = {
    "attach_pid": RecordType.BIRTH,
    "detach_pid": RecordType.RELEASED,
    "alloc_pid": RecordType.ALLOCATED,
    "free_pid": RecordType.FREED,
    "copy_process": RecordType.CREATED,
    "sched_process_exit": RecordType.EXITED,
    "task_rename": RecordType.RENAMED,
    "sched_process_exec": RecordType.EXECUTED,
}


class Followed(NamedTuple):
    """What was plain: how many bytes, and the counts that `pidscope.stream.Stream` keeps."""

    size: int
    events: int
    births: int
    accounted: dict[str, int]


class Follower:
    """Follows a stream for one table and one grammar, as long as its records are plain."""

    def __init__(self, table: Table, grammar: Grammar, faults: Faults) -> None:
        self._table = table
        self._grammar = grammar
        self._faults = faults
        self._links: dict[bytes, tuple[Pid, Pid]] = {}
        self._lost = 0
        self._watched: frozenset[int] = frozenset()
        self._births = 0
        self._handlers: dict[int, tuple[int, _Handler]] = {
            record_type: (LAYOUTS[record_type].compile().size, handler)
            for record_type, handler in (
                (RecordType.BIRTH, self._born),
                (RecordType.RELEASED, self._released),
                (RecordType.ALLOCATED, self._allocated),
                (RecordType.FREED, self._freed),
                (RecordType.CREATED, self._created),
                (RecordType.EXITED, self._exited),
                (RecordType.RENAMED, self._renamed),
                (RecordType.EXECUTED, self._executed),
            )
        }

    def follow(self, memory: memoryview, lost: int, watched: frozenset[int]) -> Followed:
        """Let happen what lies in ``memory``, up to the first record that is not plain.

        Args:
            memory: records as they lie in a ring (`pidscope.world.RecordRing.stretch`).
            lost: the records that are known to be lost, modulo 2**32.
            watched: the tasks whose coming and going somebody has to see one by one.
        """
        self._lost, self._watched, self._births = lost, watched, 0
        handlers, counts = self._handlers, [0] * (max(RecordType) + 1)
        at, end, events = 0, len(memory), 0
        with memory.cast("I") as words:
            while at + _HEADER < end:
                record_type = memory[at + _HEADER]
                known = handlers.get(record_type)
                if known is None:
                    break
                size, handler = known
                if words[at >> 2] != size or at + _HEADER + size > end:
                    break
                hits = handler(memory, at + _HEADER)
                if not hits:
                    break
                counts[record_type] += hits
                events += 1
                at += _HEADER + size
        accounted = {name: counts[of] for name, of in _HOOKS.items() if counts[of]}
        return Followed(at, events, self._births, accounted)

    def _note(self, fault: Fault | None) -> None:
        if fault is not None:
            self._faults.append(fault)

    # Births

    def _born(self, memory: memoryview, at: int) -> int:
        v = _BIRTH(memory, at)
        levels, lost, by, tid, start_ns, tgid, ppid, comm, inum, parent_inum, inums = v[:11]
        level = levels[0]
        ns = self._table.namespaces.get(inum)
        if lost != self._lost or ns is None or tid in self._watched or level >= BIRTH_LEVELS:
            return 0
        numbers = v[11 : 12 + level]
        if numbers[0] != tid or not _is_free(numbers, level, ns, parent_inum):
            return 0
        group: ThreadGroup | None
        if tgid == tid:
            links, parent = self._find_links(levels + inums + v[15]), self._table.group(ppid)
            if links is None or parent is None:
                return 0
            pid = self._table.add_pid(numbers, ns)
            group = self._table.add_process(pid, *links)
            self._table.set_parent(group, parent, by)
        else:
            group = self._table.group(tgid)
            if group is None or max(levels) >= BIRTH_LEVELS:
                return 0
            pid = self._table.add_pid(numbers, ns)
        self._table.add_task(pid, group, start_ns, comm.partition(b"\0")[0])
        self._note(self._grammar.born(by, tid, 0))
        self._births += 1
        return _TYPES if tgid == tid else 1

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

    # The rest of a life

    def _released(self, memory: memoryview, at: int) -> int:
        lost, tid, tgid = _RELEASED(memory, at)
        task = self._table.task(tid)
        if lost != self._lost or task is None or tid in self._watched:
            return 0
        if task.pid is task.group.tgid and len(task.group.threads) > 1:
            return 0
        self._note(self._grammar.detached(tid))
        self._table.release(task)
        return _TYPES if tgid == tid else 1

    def _exited(self, memory: memoryview, at: int) -> int:
        lost, tid = _EXITED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.exited(tid))
        task = self._table.task(tid)
        if task is not None:
            task.group.exits += 1
        return 1

    def _renamed(self, memory: memoryview, at: int) -> int:
        lost, tid, _, comm = _NAMED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.renamed(tid))
        self._name(tid, comm)
        return 1

    def _executed(self, memory: memoryview, at: int) -> int:
        lost, tid, old_tid, comm = _NAMED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.executed(tid, old_tid))
        self._name(tid, comm)
        return 1

    def _name(self, tid: int, comm: bytes) -> None:
        task = self._table.task(tid)
        if task is not None:
            task.comm = comm.partition(b"\0")[0]

    # What the table does not need

    def _allocated(self, memory: memoryview, at: int) -> int:
        level, lost, by, nr = _ONE_PID(memory, at)
        if lost != self._lost or level >= PID_LEVELS:
            return 0
        self._note(self._grammar.allocated(by, nr))
        return 1

    def _freed(self, memory: memoryview, at: int) -> int:
        level, lost, by, nr = _ONE_PID(memory, at)
        if lost != self._lost or level >= PID_LEVELS:
            return 0
        self._note(self._grammar.freed(by, nr))
        return 1

    def _created(self, memory: memoryview, at: int) -> int:
        lost, by, tid, flags = _CREATED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.created(by, tid, flags))
        return 1


def _is_free(numbers: tuple[int, ...], level: int, ns: Namespace, parent_inum: int) -> bool:
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
