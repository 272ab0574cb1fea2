"""A reference kernel of a few acts, and a table that has followed it so far."""

from __future__ import annotations

from pidscope.table.table import Table
from tests.unit.compare import expect_equal
from tests.unit.reference import NS_PER_TICK, ROOT, Act, Kernel, Thread


class Machine:
    """A kernel and a table that has followed it so far."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.table = Table(ROOT, NS_PER_TICK)
        self._applied = 0
        self.follow()

    def follow(self) -> None:
        for event in self.kernel.records[self._applied :]:
            self.table.apply(event)
        self._applied = len(self.kernel.records)
        expect_equal(self.table, self.kernel)

    def run(self, *acts: Act) -> None:
        for act in acts:
            self.kernel.run(act)
            self.follow()

    def fork(self, by: Thread, thread: bool = False) -> Thread:
        known = set(self.kernel.threads())
        self.run(self.kernel.fork(by, thread))
        (task,) = set(self.kernel.threads()) - known
        return task

    def end(self, task: Thread) -> None:
        self.run(self.kernel.exit(task), self.kernel.release(task))

    def contain(self, by: Thread) -> Thread:
        """The init of a new namespace."""
        self.run(self.kernel.unshare(by))
        task = self.fork(by)
        by.fork_ns = None
        return task


def nr(task: Thread) -> int:
    assert task.pid is not None
    return task.pid.nr
