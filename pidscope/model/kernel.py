"""One machine: what is global in the kernel, and the order in which things come to rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from pidscope.events import Event
from pidscope.model.cgroup import Cgroup
from pidscope.model.exit import reap_until_empty
from pidscope.model.features import TODAY, Features
from pidscope.model.fork import copy_process
from pidscope.model.nsproxy import NsProxy
from pidscope.model.pid import PIDTYPE_PID, Pid, Upid, pid_task
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import PF_KTHREAD, SignalStruct, TaskStruct
from pidscope.model.trace import Trace

PROC_PID_INIT_INO = 0xEFFFFFFC  # include/linux/proc_ns.h
PROC_DYNAMIC_FIRST = 0xF0000000  # fs/proc/generic.c
BOOT_NS = 2_000_000_000  # the first process is that old a boot
PID_MAX_DEFAULT = 0x8000  # include/linux/threads.h
MAX_PID_NAMESPACES = 0x4000


class Kernel:
    """A booted kernel: init and kthreadd live, at level 0.

    Args:
        features: which kernel it is to be like.
        listener: gets each event where its hook sits (`pidscope.model.trace`), from after the
            boot on.
    """

    def __init__(
        self, features: Features = TODAY, listener: Callable[[Event], None] | None = None
    ) -> None:
        self.features = features
        self.listener: Callable[[Event], None] | None = None
        self.elsewhere: Callable[[], None] | None = None  # see other_cpus()
        self.trace = Trace(self)
        self.now_ns = BOOT_NS  # CLOCK_BOOTTIME
        self.pid_max_min = 301
        self.max_pid_namespaces = MAX_PID_NAMESPACES  # user.max_pid_namespaces
        self.nr_pid_namespaces = 0
        self.total_forks = 0  # "processes" of /proc/stat
        self._inums: set[int] = set()
        self._runnable: dict[TaskStruct, Callable[[TaskStruct], None]] = {}  # and what they will do
        self.cgroup_root = Cgroup("/", None, 1)
        self.init_pid_ns = PidNamespace(self, PROC_PID_INIT_INO, None)
        self.init_pid_ns.pid_max = PID_MAX_DEFAULT
        self.current = self._swapper()
        self.init = self._boot()
        self.listener = listener

    def _swapper(self) -> TaskStruct:
        """``init_task``, number 0, whose struct pid is in no map and is every task's default."""
        swapper = TaskStruct(self, SignalStruct(), b"swapper/0")
        init_struct_pid = Pid((Upid(0, self.init_pid_ns),))
        swapper.thread_pid = init_struct_pid
        init_struct_pid.tasks[PIDTYPE_PID][swapper] = None  # it must never be freed
        swapper.signal.pids[1:] = [init_struct_pid] * 3
        swapper.signal.threads[swapper] = None
        swapper.nsproxy = NsProxy(self.init_pid_ns)
        return swapper

    def _boot(self) -> TaskStruct:
        """``rest_init()``: number 1, and the parent of all kernel threads."""
        init = copy_process(self.current, 0)
        init.comm = b"init"
        kthreadd = copy_process(self.current, 0)
        kthreadd.comm = b"kthreadd"
        kthreadd.flags |= PF_KTHREAD
        return init

    def tasks(self) -> Iterator[TaskStruct]:
        """Every task that is attached, threads and zombies too, in the order of allocation."""
        for pid in self.init_pid_ns.allocator.pids.values():
            task = pid_task(pid, PIDTYPE_PID)
            if task is not None:
                yield task

    def alloc_inum(self) -> int:
        """``ns_alloc_inum()``: the lowest that is free, so it comes again at once."""
        inum = PROC_DYNAMIC_FIRST
        while inum in self._inums:
            inum += 1
        self._inums.add(inum)
        return inum

    def free_inum(self, inum: int) -> None:
        """``ns_free_inum()``."""
        self._inums.remove(inum)

    # What is not the caller's own

    def other_cpus(self) -> None:
        """Let others look: between two writes here, readers without a lock may see the first."""
        if self.elsewhere is not None:
            self.elsewhere()

    def wake_up(self, task: TaskStruct, act: Callable[[TaskStruct], None]) -> None:
        """Let a task run behind those that were woken before; if it was woken already, as it is."""
        self._runnable.setdefault(task, act)

    def wake_up_process(self, task: TaskStruct) -> None:
        """It may be waiting in ``zap_pid_ns_processes()``, and will look again."""
        if task.zaps is not None:
            self.wake_up(task, reap_until_empty)

    def come_to_rest(self) -> None:
        """Let all woken tasks run, one after the other; the caller, which runs, goes first."""
        caller = self.current
        if caller in self._runnable:
            self._runnable = {caller: self._runnable.pop(caller), **self._runnable}
        while self._runnable:
            self.current = next(iter(self._runnable))
            self._runnable.pop(self.current)(self.current)
        self.current = caller
