"""Lives as the full stream tells them: an oracle for the life stream, from events alone.

It knows neither the kernel's structures nor the table. What the stream of all steps has no event
for (the parent after the birth's, the user) is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pidscope import events
from pidscope.wire.lives import Born, Life, LifeKind


@dataclass
class Process:
    """What its threads share."""

    tgid: int
    start_ns: int
    numbers: tuple[int, ...]
    ppid: int
    pgid: int
    sid: int
    comm: bytes
    cgroup_id: int = 0
    alive: int = 0
    status: int | None = None  # from its leader's release


@dataclass
class Task:
    numbers: tuple[int, ...]
    inums: tuple[int, ...]
    start_ns: int
    process: Process
    comm: bytes
    ppid: int  # at its birth, which of a thread may be another than its process's
    cgroup_id: int = 0


@dataclass
class FullStream:
    """Follows events; ``lives`` are those that have ended, each as far as the events know it."""

    lives: list[Life] = field(default_factory=list)
    births: list[Born] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)  # of each of the lives
    tasks: dict[int, Task] = field(default_factory=dict)
    ns_parent: dict[int, int] = field(default_factory=dict)

    def adopt(self, seen: Iterable[events.TaskSeen], cgroup_id: int) -> None:
        """The tasks that were there before, all in one cgroup."""
        for each in sorted(seen, key=lambda one: one.tid != one.birth.tgid):  # leaders first
            self._attach(each.tid, each.pid, each.birth).cgroup_id = cgroup_id

    def add(self, event: events.Event) -> None:
        """One event; of a task that was there before and was not adopted, nothing is known."""
        handler = getattr(self, f"_{type(event).__name__}", None)
        is_birth = isinstance(event, events.PidAttached) and event.birth is not None
        if handler is not None and (is_birth or getattr(event, "tid", 0) in self.tasks):
            handler(event)

    def _attach(self, tid: int, pid: events.PidNumbers, birth: events.Birth) -> Task:
        known = self.tasks.get(tid)
        if known is not None and known.start_ns == birth.start_ns:
            return known  # adopted, and its birth came behind that
        self.ns_parent[pid.ns] = birth.ns_parent
        if tid == birth.tgid:
            process = Process(
                *(tid, birth.start_ns, pid.numbers, birth.ppid, birth.pgid.nr, birth.sid.nr),
                birth.comm,
            )
        else:
            process = self.tasks[birth.tgid].process
        process.alive += 1
        task = Task(pid.numbers, self._inums(pid), birth.start_ns, process, birth.comm, birth.ppid)
        self.tasks[tid] = task
        return task

    def _inums(self, pid: events.PidNumbers) -> tuple[int, ...]:
        inums = [pid.ns]
        while len(inums) < len(pid.numbers):
            inums.append(self.ns_parent[inums[-1]])
        return tuple(reversed(inums))

    def _PidAttached(self, e: events.PidAttached) -> None:
        if e.birth is not None:
            self._attach(e.tid, e.pid, e.birth)
        elif e.pid_type is events.PidType.PGID:
            self.tasks[e.tid].process.pgid = e.pid.nr
        else:
            self.tasks[e.tid].process.sid = e.pid.nr

    def _TaskCreated(self, e: events.TaskCreated) -> None:
        task = self.tasks[e.tid]
        task.cgroup_id = e.cgroup_id
        process = task.process
        parent = self.tasks.get(task.ppid)
        self.births.append(
            Born(
                *(task.numbers, task.inums[-1], task.start_ns, process.tgid, task.ppid),
                parent.process.start_ns if parent is not None else 0,
                e.by,
            )
        )

    def _TaskMoved(self, e: events.TaskMoved) -> None:
        """Of its whole process, but for what is exiting: which has told its life already."""
        process = self.tasks[e.tid].process
        for task in self.tasks.values():
            if task.process is process:
                task.cgroup_id = e.cgroup_id

    def _TaskRenamed(self, e: events.TaskRenamed) -> None:
        self.tasks[e.tid].comm = e.comm

    def _TidsExchanged(self, e: events.TidsExchanged) -> None:
        task, leader = self.tasks.pop(e.tid), self.tasks[e.leader]
        self._end(LifeKind.EXECED, task, e.ts_ns, None, task.process.status)
        task.numbers, task.inums, task.start_ns = leader.numbers, leader.inums, leader.start_ns
        self.tasks[e.leader] = task
        self.tasks[e.tid] = leader

    def _TaskExited(self, e: events.TaskExited) -> None:
        task = self.tasks[e.tid]
        process, code = task.process, e.exit_code
        process.alive -= 1
        if e.tid != e.tgid:
            self._end(LifeKind.THREAD, task, e.ts_ns, task.start_ns, code)
        elif process.alive:
            self._end(LifeKind.LEADER, task, e.ts_ns, task.start_ns, code)
        if not process.alive:
            leader = self.tasks[e.tgid]
            self._end(LifeKind.PROCESS, leader, e.ts_ns, leader.start_ns, None)
            by_thread = e.tid != e.tgid
            self.lives[-1] = self.lives[-1]._replace(by_thread=by_thread, cgroup_id=task.cgroup_id)

    def _PidDetached(self, e: events.PidDetached) -> None:
        task = self.tasks.pop(e.tid)
        if e.tid == e.tgid:
            task.process.status = e.exit_code

    def _end(
        self, kind: LifeKind, task: Task, now_ns: int, start_ns: int | None, status: int | None
    ) -> None:
        process = task.process
        self.processes.append(process)
        self.lives.append(
            Life(
                kind=kind,
                numbers=task.numbers,
                inums=task.inums,
                start_ns=start_ns,
                end_ns=now_ns,
                tgid=process.tgid,
                leader_start_ns=process.start_ns,
                ppid=process.ppid,
                parent_start_ns=0,
                pgid=process.pgid,
                sid=process.sid,
                comm=task.comm,
                uid=0,
                status=status if kind is not LifeKind.EXECED else 0,
                cgroup_id=task.cgroup_id,
                joined=None,
            )
        )
