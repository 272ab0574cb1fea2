"""What tests do with a kernel, by name; and a kernel of which a table follows every act."""

from __future__ import annotations

from typing import Any

from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.table.table import Table
from pidscope.verify.verdicts import Window
from tests.unit.compare import expect_equal
from tests.unit.stepped_kernel import ROOT, Call, SteppedKernel, spaces


class Acts:
    """A kernel in which tasks of init's, unless ``by`` another, do what the test needs."""

    def __init__(self, kernel: SteppedKernel | None = None) -> None:
        self.kernel = kernel or SteppedKernel()

    def follow(self) -> None:
        """Is called after each act."""

    def run(self, *acts: Call) -> None:
        for act in acts:
            self.kernel.run(act)
            self.follow()

    def fork(
        self, by: TaskStruct | None = None, thread: bool = False, clone_parent: bool = False
    ) -> TaskStruct:
        child = self.kernel.born(by or self.kernel.init, thread, clone_parent)
        self.follow()
        return child

    def group_leader(self, by: TaskStruct | None = None) -> TaskStruct:
        """The leader of a new group."""
        leader = self.fork(by)
        self.run(self.kernel.setpgid(leader, leader.thread_pid))
        return leader

    def session_leader(self, by: TaskStruct | None = None) -> TaskStruct:
        """The leader of a new session."""
        leader = self.fork(by)
        self.run(self.kernel.setsid(leader))
        return leader

    def threaded(self, by: TaskStruct | None = None) -> tuple[TaskStruct, TaskStruct]:
        """The leader of a new process, and its other thread."""
        leader = self.fork(by)
        return leader, self.fork(leader, thread=True)

    def survived(self, by: TaskStruct | None = None) -> tuple[TaskStruct, TaskStruct]:
        """A leader that has exited, and its other thread, which may exec."""
        leader, thread = self.threaded(by)
        self.run(self.kernel.exit(leader))
        return leader, thread

    def contain(self, by: TaskStruct | None = None) -> TaskStruct:
        """The init of a new namespace."""
        by = by or self.kernel.init
        self.run(self.kernel.unshare(by))
        task = self.fork(by)
        self.run(self.kernel.setns(by))
        return task

    def end(self, *tasks: TaskStruct) -> None:
        for task in tasks:
            self.run(self.kernel.exit(task), self.kernel.release(task))


class Machine(Acts):
    """A kernel and a table, and perhaps a window, that have followed it so far."""

    window: Window

    def __init__(self, kernel: SteppedKernel | None = None) -> None:
        super().__init__(kernel)
        self.table = Table(ROOT, NS_PER_TICK)
        self._applied = 0
        if kernel is None:
            self.follow()
        else:  # it may stand where a record is ahead of its change
            self.catch_up()

    def watch(self, task_or_nr: TaskStruct | int) -> Any:
        """Open the window on one number; its `Status`, None if it has no task."""
        number = task_or_nr if isinstance(task_or_nr, int) else nr(task_or_nr)
        self.window = Window(self.table, number)
        return self.kernel.procfs.read_status(number)

    def catch_up(self) -> None:
        for event in self.kernel.records[self._applied :]:
            self.table.apply(event)
            if hasattr(self, "window"):
                self.window.applied(event)
        self._applied = len(self.kernel.records)

    def follow(self) -> None:
        self.catch_up()
        expect_equal(self.table, self.kernel, midway=self.kernel.act is not None)

    def begin(self, act: Call, until: type) -> None:
        """Let a call go on to where it has told such an event."""
        self.kernel.begin(act, until)
        self.follow()


def nr(task: TaskStruct) -> int:
    assert task.thread_pid is not None
    return task.pid


def inum(task: TaskStruct) -> int:
    """Of the namespace where it lives."""
    return spaces(task)[-1].inum
