"""Lives as the full stream tells them: an oracle for the life stream, from events alone.

It knows neither the kernel's structures nor the table. What the stream of all steps has no event
for (the parent after the birth's, the user) is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

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
    parent: Process | None = None  # at its birth; None: it is not known
    parent_exits: int = 0  # at its birth
    cgroup_id: int = 0
    alive: int = 0
    exits: int = 0  # of its threads
    code: int | None = None  # of the last thread that has exited
    status: int | None = None  # from its leader's release

    @property
    def sure_parent(self) -> Process | None:
        """The one at birth, as long as no thread of it exits: none else gives a child away."""
        parent = self.parent
        return parent if parent is not None and parent.exits == self.parent_exits else None


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
    parents: list[Process | None] = field(default_factory=list)  # of each, where it is sure
    names: dict[int, bytes] = field(default_factory=dict)  # by life, which an exec gave its thread
    tasks: dict[int, Task] = field(default_factory=dict)
    ns_parent: dict[int, int] = field(default_factory=dict)
    exchanged: dict[tuple[int, int], int] = field(default_factory=dict)  # lives, by both numbers

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
            if birth.ppid in self.tasks:
                process.parent = self.tasks[birth.ppid].process
                process.parent_exits = process.parent.exits
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
        leader = self.tasks[e.leader]
        self._exchange(e.tid, e.leader, e.ts_ns)
        self.tasks[e.tid] = leader

    def _TaskExecuted(self, e: events.TaskExecuted) -> None:
        """By tracepoints it is the first that is heard of an exchange."""
        if e.old_tid == e.tid:
            return
        if (e.old_tid, e.tid) not in self.exchanged:
            self._exchange(e.old_tid, e.tid, e.ts_ns)
        self.tasks[e.tid].comm = e.comm
        self.names[self.exchanged.pop((e.old_tid, e.tid))] = e.comm

    def _exchange(self, tid: int, leader_tid: int, ts_ns: int) -> None:
        """The task is known by its leader's number from here on."""
        task, leader = self.tasks.pop(tid), self.tasks[leader_tid]
        self._end(LifeKind.EXECED, task, ts_ns, None, None)
        self.exchanged[tid, leader_tid] = len(self.lives) - 1
        task.numbers, task.inums, task.start_ns = leader.numbers, leader.inums, leader.start_ns
        self.tasks[leader_tid] = task

    def _TaskExited(self, e: events.TaskExited) -> None:
        task = self.tasks[e.tid]
        process, code = task.process, e.exit_code
        process.alive -= 1
        process.exits += 1
        process.code = code
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
        self.parents.append(process.sure_parent)
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


class FamilyStream(FullStream):
    """Of those that were adopted, and of their descendants, by who forked whom."""

    def add(self, event: events.Event) -> None:
        """One event; of all others' tasks nothing is known."""
        if (
            isinstance(event, events.PidAttached)
            and event.birth is not None
            and event.by not in self.tasks
        ):
            self.tasks.pop(event.tid, None)  # a number that is another's now
            return
        super().add(event)

    def renewed(self, tgid: int) -> FamilyStream:
        """Without what has ended; of the family, one process goes on."""
        return FamilyStream(
            tasks={tid: task for tid, task in self.tasks.items() if task.process.tgid == tgid}
        )

    def family(self) -> Family:
        """Who belongs to it, of all whose birth or end was told."""
        keys = {(process.tgid, process.start_ns) for process in self.processes}
        births = {(born.numbers[0], born.start_ns) for born in self.births}
        inums: dict[int, tuple[int, int]] = {}
        for born in self.births:
            if len(born.numbers) > 1:
                first, last = inums.get(born.ns, (born.start_ns, born.start_ns))
                inums[born.ns] = min(first, born.start_ns), max(last, born.start_ns)
        return Family(keys, births, inums)


class Family(NamedTuple):
    """What tells its lives and births from those of others, on the same host and meanwhile."""

    processes: set[tuple[int, int]]  # number and start
    births: set[tuple[int, int]]
    inums: dict[int, tuple[int, int]]  # of its namespaces: when births were first and last told

    def has_life(self, life: Life) -> bool:
        """Whether it is one of the family's."""
        process = life.tgid, life.leader_start_ns
        return process in self.processes or self._has(life.inums[-1], life.leader_start_ns)

    def has_birth(self, born: Born) -> bool:
        """Whether it is one of the family's."""
        task = born.numbers[0], born.start_ns
        return task in self.births or self._has(born.ns, born.start_ns)

    def _has(self, ns: int, start_ns: int) -> bool:
        """Nobody else is in its namespaces; before and later the inum may be another's."""
        first_ns, last_ns = self.inums.get(ns, (1, 0))
        return first_ns <= start_ns <= last_ns
