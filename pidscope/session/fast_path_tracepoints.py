"""A fork storm as tracepoints report it, applied from memory (`pidscope.session.fast_path`).

Plain is here what contradicts nothing: a birth whose numbers no struct pid has, and whose group and
session are known; an exit; the end of a thread that is the last of its process, or not its leader.
"""

from __future__ import annotations

from collections.abc import Iterator

from pidscope import events
from pidscope.session.fast_path import BIRTH, SIBLING, TID, FastPath, Handler
from pidscope.table.pid import Pid
from pidscope.table.tracepoint import TracepointTable
from pidscope.verify.grammar import Faults
from pidscope.wire.hooks import TRACEPOINT_OF
from pidscope.wire.layout import BIRTH_LEVELS, LAYOUTS, RecordType

_FREED = LAYOUTS[RecordType.TASK_FREED].pick("tid", "start_ns").unpack_from


class _Touched:
    """In place of a grammar: tracepoints have no order to judge, only tasks that were reported."""

    def __init__(self, table: TracepointTable, touched: set[int]) -> None:
        self._table = table
        self._touched = touched
        self.renamed = self.exited = touched.add

    def born(self, by: int, nr: int, init_of: int) -> None:
        table = self._table
        self._touched.add(nr)
        table.exited.discard(nr)
        table.unsure.difference_update((nr, by))


class TracepointFastPath(FastPath[TracepointTable]):
    """Applies to a table in tracepoint mode.

    ``touched`` gets the number of each task that a record reported.
    """

    def __init__(self, table: TracepointTable, touched: set[int]) -> None:
        super().__init__(table, _Touched(table, touched), Faults(), TRACEPOINT_OF)
        self._touched = touched

    def _handlers(self) -> Iterator[tuple[RecordType, type, Handler]]:
        yield from super()._handlers()
        yield RecordType.CREATED, events.TaskCreated, self._created
        yield RecordType.EXECUTED_AS, events.TaskExecuted, self._executed_as
        yield RecordType.TASK_FREED, events.TaskFreed, self._freed

    def _find_links(self, key: bytes, memory: memoryview, at: int) -> tuple[Pid, Pid] | None:
        """As the base does; None also if the inum of one's namespace was given out again."""
        links = FastPath._find_links(self, key, memory, at)  # super() takes half as long again
        if links is None:
            return None
        pgid_ns, sid_ns, known = links[0].ns, links[1].ns, self._table.namespaces
        in_use = known.get(pgid_ns.inum) is pgid_ns and known.get(sid_ns.inum) is sid_ns
        return links if in_use else None

    def _executed_as(self, memory: memoryview, at: int) -> int:
        """An exec and the task as it is after it; plain if that is how it was before."""
        levels, by, tid, start_ns, old_tid, _, comm, inums, nr, n1, n2, n3, links = SIBLING(
            memory, at
        )
        young = self._young.get(tid)
        if old_tid != tid:
            return 0
        if young is None:
            if not self._is_known(memory, at):
                return 0
            self._name(tid, comm)
        elif (
            start_ns == young.start_ns
            and (levels, inums, links) == young.siblings.look
            and (nr, n1, n2, n3)[: levels[0] + 1] == young.numbers
        ):
            self._young[tid] = young._replace(comm=comm)
        else:
            return 0
        self._touched.add(tid)
        self._table.has_acted(tid)
        self._table.unsure.discard(by)
        self._seconds += 1
        return 1

    def _is_known(self, memory: memoryview, at: int) -> bool:
        """Whether the table has a task as it is in the record of its exec."""
        v = BIRTH(memory, at)
        level, levels, _, tid, start_ns, _, _, _, inum, _, inums = v[:11]
        task = self._table.task(tid)
        if task is None or max(level, *levels) >= BIRTH_LEVELS:
            return False
        pid, group = task.pid, task.group
        same = pid is not None and pid.numbers == v[11 : 12 + level] and pid.ns.inum == inum
        if not same or task.start_ns != start_ns:
            return False
        if group.tgid is not pid:
            return True
        return self._find_links(levels + inums + v[15], memory, at) == (group.pgid, group.sid)

    def _created(self, memory: memoryview, at: int) -> int:
        self._touched.update(TID(memory, at))
        return 1

    def _note_young_exit(self, tid: int) -> None:
        super()._note_young_exit(tid)
        self._table.exited.add(tid)

    def _freed(self, memory: memoryview, at: int) -> int:
        tid, start_ns = _FREED(memory, at)
        task, table = self._table.task(tid), self._table
        young = self._young.get(tid)
        if young is not None:
            if not (tid in table.exited or tid in table.unsure):
                return 0
            if young.start_ns == start_ns:
                self._forget_young(tid, young)
                table.note_end(tid)
        elif task is not None:
            if task.start_ns is None or not (tid in table.exited or tid in table.unsure):
                return 0
            if task.start_ns == start_ns:
                if task.pid is task.group.tgid and task.group.threaded:
                    return 0
                self._expect_release(task)
                table.end_task(task)
        self._touched.add(tid)
        return 1
