"""A fork storm as function hooks report it, applied from memory (`pidscope.session.fast_path`)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Callable

from pidscope import events
from pidscope.session.fast_path import NAMED, FastPath, Handler
from pidscope.table.table import Table
from pidscope.verify.grammar import Fault, Faults, Grammar
from pidscope.verify.hook_counts import CALLS
from pidscope.wire.hooks import FUNCTION_OF
from pidscope.wire.layout import LAYOUTS, PID_LEVELS, RecordType

_CREATED = LAYOUTS[RecordType.CREATED].pick("by", "tid", "flags").unpack_from
_RELEASED = LAYOUTS[RecordType.RELEASED].pick("tid", "tgid").unpack_from
_ONE_PID = LAYOUTS[RecordType.ALLOCATED].pick("level", "by", "nr[0]").unpack_from


class HookFastPath(FastPath[Table]):
    """Applies to a table, and asks a grammar."""

    _process_runs = CALLS["attach_pid"]

    def __init__(self, table: Table, grammar: Grammar, faults: Faults) -> None:
        self._grammar = grammar
        super().__init__(table, grammar, faults, FUNCTION_OF)

    def _handlers(self) -> Iterator[tuple[RecordType, type, Handler]]:
        yield from super()._handlers()
        freed, allocated = self._grammar.freed, self._grammar.allocated
        yield RecordType.CREATED, events.TaskCreated, self._created
        yield RecordType.EXECUTED, events.TaskExecuted, self._executed
        yield RecordType.RELEASED, events.PidDetached, self._released
        yield RecordType.ALLOCATED, events.PidAllocated, partial(self._only_judged, allocated)
        yield RecordType.FREED, events.PidFreed, partial(self._only_judged, freed)

    def _created(self, memory: memoryview, at: int) -> int:
        if fault := self._grammar.created(*_CREATED(memory, at)):
            self._faults.append(fault)
        return 1

    def _executed(self, memory: memoryview, at: int) -> int:
        _, tid, old_tid, comm = NAMED(memory, at)
        if fault := self._grammar.executed(tid, old_tid):
            self._faults.append(fault)
        self._name(tid, comm)
        return 1

    def _released(self, memory: memoryview, at: int) -> int:
        tid, tgid = _RELEASED(memory, at)
        young = self._young.get(tid)
        task = self._table.task(tid)
        if (task is None and young is None) or tid in self._watched:
            return 0
        if task is not None and task.pid is task.group.tgid and task.group.threaded:
            return 0
        if fault := self._grammar.detached(tid):
            self._faults.append(fault)
        if young is not None:
            self._forget_young(tid, young)
        elif task is not None:
            self._expect_release(task)
            self._table.release(task)
        return self._process_runs if tgid == tid else 1

    def _only_judged(
        self, rule: Callable[[int, int], Fault | None], memory: memoryview, at: int
    ) -> int:
        """A record of one struct pid that the table does not need."""
        level, by, nr = _ONE_PID(memory, at)
        if level >= PID_LEVELS:
            return 0
        if fault := rule(by, nr):
            self._faults.append(fault)
        return 1
