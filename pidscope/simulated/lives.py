"""The life stream of the model: what bpf/lives.c would report of it, hook by hook.

Read from the model's structures when its hooks run, not made from its events: so that the two can
be compared. The model knows no users: each life's ``uid`` is 0.
"""

from __future__ import annotations

from typing import Callable, Union

from pidscope.events import Event, TaskCreated, TaskExited, TidsExchanged
from pidscope.model.kernel import Kernel
from pidscope.model.pid import PIDTYPE_PGID, PIDTYPE_PID, PIDTYPE_SID, Pid, pid_nr, pid_task
from pidscope.model.sched import TaskStruct, thread_group_leader
from pidscope.wire.lives import Born, Life, LifeKind

Report = Callable[[Union[Born, Life]], None]


class LifeHooks:
    """The hooks of bpf/lives.c in one kernel, beside those that it has already.

    Args:
        kernel: the model.
        report: gets each birth and each life, where the program would write it.
    """

    def __init__(self, kernel: Kernel, report: Report) -> None:
        self._kernel = kernel
        self._report = report
        self._others = kernel.listener
        kernel.listener = self._hooked

    def _hooked(self, event: Event) -> None:
        if isinstance(event, TaskExited):
            self._exited(self._kernel.current, event.ts_ns)
        elif isinstance(event, TaskCreated):
            self._report(_born(self._task(event.tid), event.by))
        elif isinstance(event, TidsExchanged):
            task, leader = self._kernel.current, self._task(event.leader)
            life = _life(task, leader, LifeKind.EXECED, 0, event.ts_ns)
            self._report(life._replace(start_ns=None))
        if self._others is not None:
            self._others(event)

    def _task(self, nr: int) -> TaskStruct:
        task = pid_task(self._kernel.init_pid_ns.allocator.pids[nr], PIDTYPE_PID)
        assert task is not None
        return task

    def _exited(self, task: TaskStruct, now_ns: int) -> None:
        """``sched_process_exit``: the task's own life, and its process's with the last task."""
        leader, signal = task.group_leader, task.signal
        ends = not signal.live
        if not thread_group_leader(task):
            self._report(_life(task, leader, LifeKind.THREAD, task.exit_code, now_ns))
        elif not ends:
            self._report(_life(task, leader, LifeKind.LEADER, task.exit_code, now_ns))
        if ends:
            code = signal.group_exit_code
            status = leader.exit_code if code is None else code
            life = _life(leader, leader, LifeKind.PROCESS, status, now_ns)
            self._report(life._replace(by_thread=task is not leader, cgroup_id=task.cgroup.id))


def _pid(task: TaskStruct) -> Pid:
    assert task.thread_pid is not None
    return task.thread_pid


def _life(task: TaskStruct, leader: TaskStruct, kind: LifeKind, status: int, now_ns: int) -> Life:
    pid, parent = _pid(task), task.real_parent
    inside = parent.thread_pid is not None and parent.thread_pid.level >= pid.level
    return Life(
        kind=kind,
        numbers=tuple([upid.nr for upid in pid.numbers]),
        inums=tuple([upid.ns.inum for upid in pid.numbers]),
        start_ns=task.start_boottime,
        end_ns=now_ns,
        tgid=task.tgid,
        leader_start_ns=leader.start_boottime,
        ppid=parent.tgid,
        parent_start_ns=parent.group_leader.start_boottime,
        pgid=pid_nr(task.signal.pids[PIDTYPE_PGID]),
        sid=pid_nr(task.signal.pids[PIDTYPE_SID]),
        comm=task.comm,
        uid=0,
        status=status,
        cgroup_id=task.cgroup.id,
        joined=bool(pid.level) and not inside and _pid(leader).numbers[-1].nr != 1,
    )


def _born(task: TaskStruct, by: int) -> Born:
    pid, parent = _pid(task), task.real_parent
    return Born(
        numbers=tuple([upid.nr for upid in pid.numbers]),
        ns=pid.numbers[-1].ns.inum,
        start_ns=task.start_boottime,
        tgid=task.tgid,
        ppid=parent.tgid,
        parent_start_ns=parent.group_leader.start_boottime,
        by=by,
    )
