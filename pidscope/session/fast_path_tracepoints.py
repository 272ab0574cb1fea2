"""What tracepoints tell in a fork storm, applied from memory (`pidscope.session.fast_path`).

Plain is here what contradicts nothing: a birth whose numbers nobody has, and whose group and
session are known; an exit; the end of a thread that is the last of its process, or not its leader.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from pidscope.session.fast_path import BIRTH, NAMED, TID, Follower, Handler, is_free
from pidscope.table.pid import Pid
from pidscope.table.tracepoint import SeenTable
from pidscope.wire.layout import BIRTH_LEVELS, RecordType

# `pidscope.wire.layout.LAYOUTS` without what is not asked for.
_FREED = Struct("=4xI12xI8xQ").unpack_from


class TraceFollower(Follower[SeenTable]):
    """Follows for a table of what was seen.

    ``touched`` is told of each task that something was told of.
    """

    def __init__(self, table: SeenTable, touched: set[int]) -> None:
        super().__init__(table)
        self._touched = touched

    def _handlers(self) -> Iterator[tuple[RecordType, str, Handler]]:
        yield RecordType.BIRTH, "task_newtask", self._born
        yield RecordType.CREATED, "task_newtask", self._created
        yield RecordType.RENAMED, "task_rename", self._renamed
        yield RecordType.EXECUTED, "sched_process_exec", self._executed
        yield RecordType.SEEN, "sched_process_exec", self._looked_at
        yield RecordType.EXITED, "sched_process_exit", self._exited
        yield RecordType.TASK_FREED, "sched_process_free", self._freed

    def _born(self, memory: memoryview, at: int) -> int:
        v = BIRTH(memory, at)
        levels, lost, by, tid, start_ns, tgid, ppid, comm, inum, parent_inum, inums = v[:11]
        table, level = self._table, levels[0]
        ns = table.namespaces.get(inum)
        if lost != self._lost or ns is None or max(levels) >= BIRTH_LEVELS:
            return 0
        numbers = v[11 : 12 + level]
        if numbers[0] != tid or not is_free(numbers, level, ns, parent_inum):
            return 0
        if level and table.namespaces.get(parent_inum) is not ns.parent:
            return 0
        if tgid == tid:
            links = self._find_links(levels + inums + v[15])
            if links is None or not all(map(self._stands, links)):
                return 0
            pid = table.add_pid(numbers, ns)
            group = table.add_process(pid, *links)
            table.set_parent(group, table.group(ppid), by)
        else:
            process = table.group(tgid)
            if process is None:
                return 0
            pid, group = table.add_pid(numbers, ns), process
        table.add_task(pid, group, start_ns, self._comm(comm))
        self._touched.add(tid)
        table.exited.discard(tid)
        table.unsure.discard(tid)
        table.unsure.discard(by)
        self._births += 1
        return 1

    def _stands(self, pid: Pid) -> bool:
        """Whether its namespace's inum was not given out again."""
        return self._table.namespaces.get(pid.ns.inum) is pid.ns

    def _looked_at(self, memory: memoryview, at: int) -> int:
        v = BIRTH(memory, at)
        levels, lost, _, tid, start_ns, _, _, comm, inum, _, inums = v[:11]
        task = self._table.task(tid)
        if lost != self._lost or task is None or max(levels) >= BIRTH_LEVELS:
            return 0
        pid, group = task.pid, task.group
        same = pid is not None and pid.numbers == v[11 : 12 + levels[0]] and pid.ns.inum == inum
        if not same or task.start_ns != start_ns:
            return 0
        if group.tgid is pid:
            links = self._find_links(levels + inums + v[15])
            if links != (group.pgid, group.sid) or not all(map(self._stands, links)):
                return 0
        task.comm = self._comm(comm)
        self._touched.add(tid)
        return 1

    def _executed(self, memory: memoryview, at: int) -> int:
        lost, by, tid, old_tid, comm = NAMED(memory, at)
        if lost != self._lost or old_tid != tid:
            return 0
        self._table.exited.discard(tid)
        self._table.unsure.discard(tid)
        self._table.unsure.discard(by)
        self._name(tid, comm)
        return 1

    def _renamed(self, memory: memoryview, at: int) -> int:
        lost, _, tid, _, comm = NAMED(memory, at)
        if lost != self._lost:
            return 0
        self._name(tid, comm)
        return 1

    def _name(self, tid: int, comm: bytes) -> None:
        self._touched.add(tid)
        super()._name(tid, comm)

    def _created(self, memory: memoryview, at: int) -> int:
        lost, tid = TID(memory, at)
        if lost != self._lost:
            return 0
        self._touched.add(tid)
        return 1

    def _exited(self, memory: memoryview, at: int) -> int:
        lost, tid = TID(memory, at)
        if lost != self._lost:
            return 0
        self._touched.add(tid)
        task = self._table.task(tid)
        if task is not None:
            task.group.exits += 1
            self._table.exited.add(tid)
        return 1

    def _freed(self, memory: memoryview, at: int) -> int:
        lost, tid, start_ns = _FREED(memory, at)
        task, table = self._table.task(tid), self._table
        if lost != self._lost:
            return 0
        if task is not None:
            if task.start_ns is None or not (tid in table.exited or tid in table.unsure):
                return 0
            if task.start_ns == start_ns:
                if task.pid is task.group.tgid and task.group.threaded:
                    return 0
                table.end_task(task)
        self._touched.add(tid)
        return 1
