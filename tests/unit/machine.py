"""A kernel of which a table has followed every act so far."""

from __future__ import annotations

from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.table.table import Table
from tests.unit.compare import expect_equal
from tests.unit.stepped_kernel import ROOT, Call, SteppedKernel, spaces


class Machine:
    """A kernel and a table that has followed it so far."""

    def __init__(self) -> None:
        self.kernel = SteppedKernel()
        self.table = Table(ROOT, NS_PER_TICK)
        self._applied = 0
        self.follow()

    def follow(self) -> None:
        for event in self.kernel.records[self._applied :]:
            self.table.apply(event)
        self._applied = len(self.kernel.records)
        expect_equal(self.table, self.kernel, midway=self.kernel.act is not None)

    def run(self, *acts: Call) -> None:
        for act in acts:
            self.kernel.run(act)
            self.follow()

    def fork(self, by: TaskStruct, thread: bool = False, clone_parent: bool = False) -> TaskStruct:
        child = self.kernel.born(by, thread, clone_parent)
        self.follow()
        return child

    def end(self, task: TaskStruct) -> None:
        self.run(self.kernel.exit(task), self.kernel.release(task))

    def contain(self, by: TaskStruct) -> TaskStruct:
        """The init of a new namespace."""
        self.run(self.kernel.unshare(by))
        task = self.fork(by)
        self.run(self.kernel.setns(by))
        return task


def nr(task: TaskStruct) -> int:
    assert task.thread_pid is not None
    return task.pid


def inum(task: TaskStruct) -> int:
    """Of the namespace where it lives."""
    return spaces(task)[-1].inum
