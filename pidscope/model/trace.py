"""What the hooks of bpf/functions.c would report of this kernel: one method a hook, one event each.

A method is called where the hook sits: at the entry of its function, or where it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pidscope.events import (
    Birth,
    Event,
    ForkFailed,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidRefused,
    PidTransferred,
    PidType,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskMoved,
    TaskRenamed,
    TidsExchanged,
)

if TYPE_CHECKING:
    from pidscope.model.cgroup import Cgroup
    from pidscope.model.kernel import Kernel
    from pidscope.model.pid import Pid
    from pidscope.model.pid_namespace import PidNamespace
    from pidscope.model.sched import TaskStruct

_HOOK_NS = 1_000  # every event takes some time, so no two have the same


class Trace:
    """The hooks of one kernel, which report to its listener."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def _now(self) -> tuple[int, int]:
        """Return the time and the running task: what every record begins with."""
        kernel = self._kernel
        kernel.now_ns += _HOOK_NS
        return kernel.now_ns, kernel.current.pid

    def _report(self, event: Event) -> None:
        kernel = self._kernel
        if kernel.listener is not None:
            kernel.listener(event)
        kernel.other_cpus()

    def alloc_pid(self, pid: Pid) -> None:
        """It returned a struct pid."""
        self._report(PidAllocated(*self._now(), pid.pid_numbers))

    def alloc_pid_failed(self, errno: int) -> None:
        """It returned an error."""
        self._report(PidRefused(*self._now(), errno))

    def attach_pid(self, task: TaskStruct, pid_type: PidType) -> None:
        """It is entered: with type PID, once a task, all pointers are set already.

        The time of a birth is the task's start, as the hook has it.
        """
        if pid_type is not PidType.PID:
            return
        pid = task.thread_pid
        _, _, pgid, sid = task.signal.pids
        assert pid is not None and pgid is not None and sid is not None
        parent = pid.numbers[-1].ns.parent
        birth = Birth(
            task.tgid,
            task.real_parent.tgid,
            task.start_boottime,
            task.comm,
            parent.inum if parent is not None else 0,
            pgid.pid_numbers,
            sid.pid_numbers,
        )
        ts_ns, (_, by) = task.start_boottime, self._now()
        self._report(PidAttached(ts_ns, by, task.pid, PidType.PID, pid.pid_numbers, birth))

    def change_pid(self, task: TaskStruct, pid_type: PidType, pid: Pid) -> None:
        """It is entered."""
        self._report(PidAttached(*self._now(), task.pid, pid_type, pid.pid_numbers))

    def detach_pid(self, task: TaskStruct, pid_type: PidType) -> None:
        """It is entered: TGID, PGID and SID follow without a record of their own."""
        if pid_type is PidType.PID:
            self._report(PidDetached(*self._now(), task.pid, task.tgid, task.exit_code))

    def free_pid(self, pid: Pid) -> None:
        """It is entered."""
        self._report(PidFreed(*self._now(), pid.pid_numbers))

    def exchange_tids(self, left: TaskStruct, right: TaskStruct) -> None:
        """It is entered: the exec'ing thread has its leader's start time already."""
        times = left.start_boottime, right.start_boottime
        self._report(TidsExchanged(*self._now(), left.pid, right.pid, *times))

    def transfer_pid(self, old: TaskStruct, new: TaskStruct, pid_type: PidType) -> None:
        """It is entered."""
        self._report(PidTransferred(*self._now(), new.pid, old.pid, pid_type))

    def copy_process(self, p: TaskStruct, flags: int) -> None:
        """It returned a task."""
        assert p.nsproxy is not None
        children_ns = p.nsproxy.pid_ns_for_children.inum
        self._report(TaskCreated(*self._now(), p.pid, flags, p.cgroup.id, children_ns))

    def copy_process_failed(self, current: TaskStruct, flags: int, errno: int) -> None:
        """It returned an error."""
        assert current.nsproxy is not None
        children_ns = current.nsproxy.pid_ns_for_children.inum
        self._report(ForkFailed(*self._now(), errno, flags, current.cgroup.id, children_ns))

    def copy_pid_ns(self, ns: PidNamespace) -> None:
        """It returned a new namespace."""
        assert ns.parent is not None
        self._report(NamespaceCreated(*self._now(), ns.inum, ns.parent.inum, ns.level))

    def zap_pid_ns_processes(self, ns: PidNamespace) -> None:
        """It is entered."""
        assert ns.parent is not None
        self._report(NamespaceDying(*self._now(), ns.inum, ns.parent.inum, ns.level))

    def sched_process_exec(self, task: TaskStruct, old_pid: int) -> None:
        """Tracepoint: it runs the new program; ``old_pid`` is what it was called before."""
        self._report(TaskExecuted(*self._now(), task.pid, old_pid, task.comm))

    def task_rename(self, task: TaskStruct, comm: bytes) -> None:
        """Tracepoint: it will be called ``comm``."""
        self._report(TaskRenamed(*self._now(), task.pid, comm))

    def sched_process_exit(self, task: TaskStruct) -> None:
        """Tracepoint: it exits, and is attached still."""
        self._report(TaskExited(*self._now(), task.pid, task.tgid, task.exit_code))

    def cgroup_attach_task(self, leader: TaskStruct, cgroup: Cgroup) -> None:
        """Tracepoint: its process has been moved; once, however many threads that has."""
        self._report(TaskMoved(*self._now(), leader.pid, cgroup.id))
