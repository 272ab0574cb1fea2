"""What function hooks tell in a fork storm, applied from memory (`pidscope.session.fast_path`)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from pidscope.session.fast_path import BIRTH, NAMED, TID, Follower, Handler, is_free
from pidscope.table.pid import ThreadGroup
from pidscope.table.table import Table
from pidscope.verify.grammar import Fault, Faults, Grammar
from pidscope.wire.layout import BIRTH_LEVELS, PID_LEVELS, RecordType

_TYPES = 4  # of enum pid_type: by so many calls a process is attached, and detached

# `pidscope.wire.layout.LAYOUTS` without what is not asked for.
_RELEASED = Struct("=4xI12xII").unpack_from
_ONE_PID = Struct("=xB2xI8xI12xI").unpack_from
_CREATED = Struct("=4xI8xIIQ").unpack_from


class HookFollower(Follower[Table]):
    """Follows for a table and a grammar."""

    def __init__(self, table: Table, grammar: Grammar, faults: Faults) -> None:
        self._grammar = grammar
        self._faults = faults
        super().__init__(table)

    def _handlers(self) -> Iterator[tuple[RecordType, str, Handler]]:
        """What can be plain, the hook that tells of it, and who reads it."""
        yield RecordType.BIRTH, "attach_pid", self._born
        yield RecordType.RELEASED, "detach_pid", self._released
        yield RecordType.ALLOCATED, "alloc_pid", self._allocated
        yield RecordType.FREED, "free_pid", self._freed
        yield RecordType.CREATED, "copy_process", self._created
        yield RecordType.EXITED, "sched_process_exit", self._exited
        yield RecordType.RENAMED, "task_rename", self._renamed
        yield RecordType.EXECUTED, "sched_process_exec", self._executed

    def _note(self, fault: Fault | None) -> None:
        if fault is not None:
            self._faults.append(fault)

    # Births

    def _born(self, memory: memoryview, at: int) -> int:
        v = BIRTH(memory, at)
        levels, lost, by, tid, start_ns, tgid, ppid, comm, inum, parent_inum, inums = v[:11]
        level = levels[0]
        ns = self._table.namespaces.get(inum)
        if lost != self._lost or ns is None or tid in self._watched or level >= BIRTH_LEVELS:
            return 0
        numbers = v[11 : 12 + level]
        if numbers[0] != tid or not is_free(numbers, level, ns, parent_inum):
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
        self._table.add_task(pid, group, start_ns, self._comm(comm))
        self._note(self._grammar.born(by, numbers[0], 0))  # that int is kept already
        self._births += 1
        return _TYPES if tgid == tid else 1

    # The rest of a life

    def _released(self, memory: memoryview, at: int) -> int:
        lost, tid, tgid = _RELEASED(memory, at)
        task = self._table.task(tid)
        if lost != self._lost or task is None or tid in self._watched:
            return 0
        if task.pid is task.group.tgid and task.group.threaded:
            return 0
        self._note(self._grammar.detached(tid))
        self._table.release(task)
        return _TYPES if tgid == tid else 1

    def _exited(self, memory: memoryview, at: int) -> int:
        lost, tid = TID(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.exited(tid))
        task = self._table.task(tid)
        if task is not None:
            task.group.exits += 1
        return 1

    def _renamed(self, memory: memoryview, at: int) -> int:
        lost, _, tid, _, comm = NAMED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.renamed(tid))
        self._name(tid, comm)
        return 1

    def _executed(self, memory: memoryview, at: int) -> int:
        lost, _, tid, old_tid, comm = NAMED(memory, at)
        if lost != self._lost:
            return 0
        self._note(self._grammar.executed(tid, old_tid))
        self._name(tid, comm)
        return 1

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
