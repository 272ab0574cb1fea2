"""The cast of a play: the name of each task, and the numbers that it has or had."""

from __future__ import annotations

from pidscope.model.cgroup import Cgroup
from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid, pid_nr_ns, task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import pidns_for_children_get, pidns_get
from pidscope.model.sched import TaskStruct
from pidscope.simulated.calls import BOOTED, BadStep, is_number, quote


class Cast:
    """Tasks and cgroups by name. What is not there raises BadStep."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.tasks: dict[str, TaskStruct] = {}
        self.cgroups: dict[str, Cgroup] = {}
        self._pids: dict[TaskStruct, Pid] = {}  # of each the last, whether it has it still or not
        booted = kernel.tasks()
        for name in BOOTED:
            self.name(next(booted), name)

    def name(self, task: TaskStruct, name: str) -> None:
        """Call a living task so, in place of any other."""
        assert task.thread_pid is not None
        self.tasks[name] = task
        self._pids[task] = task.thread_pid

    def exchanged(self, thread: TaskStruct, leader: TaskStruct) -> None:
        """``exchange_tids()``: the leader was released with what had been the thread's."""
        assert thread.thread_pid is not None
        self._pids[leader], self._pids[thread] = self._pids[thread], thread.thread_pid

    def make_cgroup(self, name: str, parent: str, pids_max: int | None) -> None:
        """Make one, below the root if ``parent`` is ""."""
        root = self._kernel.cgroup_root
        above = self.cgroup(parent) if parent else root
        self.cgroups[name] = Cgroup(name, above, root.id + len(self.cgroups) + 1, pids_max)

    def task(self, name: str) -> TaskStruct:
        """Return the task of this name, alive or not."""
        if name not in self.tasks:
            raise BadStep(f"no task named {quote(name)}")
        return self.tasks[name]

    def cgroup(self, name: str) -> Cgroup:
        """The cgroup of this name."""
        if name not in self.cgroups:
            raise BadStep(f"no cgroup named {quote(name)}")
        return self.cgroups[name]

    def number(self, name: str, ns: PidNamespace | None) -> int:
        """The number of this task in ``ns``, or the last it had there; 0: it has none there."""
        return pid_nr_ns(self._pids.get(self.task(name)), ns)

    def who(self, word: str, current: TaskStruct) -> int:
        """A number, a task's number or a group's, as ``current`` has to say it."""
        if is_number(word):
            return int(word)
        name = word.lstrip("-")
        nr = self.number(name, task_active_pid_ns(current))
        if not nr:
            raise BadStep(f"{name} has no number there")
        return -nr if word.startswith("-") else nr

    def namespace(self, name: str) -> PidNamespace:
        """Where the task lives: what /proc/PID/ns/pid opens."""
        ns = pidns_get(self.task(name))
        if ns is None:
            raise BadStep(f"{name} is released and lives nowhere")
        return ns

    def children_namespace(self, name: str) -> PidNamespace:
        """What /proc/PID/ns/pid_for_children opens."""
        ns = pidns_for_children_get(self.task(name))
        if ns is None:
            raise BadStep(f"{name} shows no namespace for its children")
        return ns
