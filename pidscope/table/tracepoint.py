"""A table of what tracepoints and the task iterator report, where no function can be hooked.

No tracepoint runs under ``tasklist_lock``: births are reported after they happened, ends a grace
period after the release, and setpgid and setsid not at all. So nothing here is checked before it
is done, and no event is ever illegal; each `TaskSeen` has a task as it is now, and what contradicts
it is out of date and goes. Three facts are certain all the same, because the kernel does these
things one after the other:

- ``task_newtask`` comes before a task first runs (``copy_process()``, then
  ``wake_up_new_task()``), so every task that has run was reported;
- ``sched_process_exit`` comes before the release, and the release before the number can be given
  out again: a task whose exit was not reported still has its number. For two kinds of tasks no exit
  of their own is reported. A thread that execs gives its number to the old leader, whose exit was
  reported. A task of the start may have exited before it, so it is not judged (``unsure``) until a
  record shows that it did something;
- ``sched_process_exec`` comes after the exchange of an exec by another thread, whose old leader had
  to exit first and has been released by then.

Nothing rests on the ends that are reported: a task that has exited, and that the iterator does not
show any more, is released.
"""

from __future__ import annotations

from collections.abc import Sequence

from pidscope import events
from pidscope.escape import unescape_status_name
from pidscope.snapshot import TaskReading
from pidscope.table.pid import Namespace, Pid, Task, ThreadGroup
from pidscope.table.table import Table


class TracepointTable(Table):
    """All tasks as they were when they were last read."""

    def __init__(
        self,
        root: int,
        ns_per_tick: int,
        before: Table | None = None,
        start_offset_ns: int = 0,
    ) -> None:
        super().__init__(root, ns_per_tick, before, start_offset_ns)
        self.exited: set[int] = set()  # tasks whose exit was reported, and that were not freed yet
        self.ended: set[int] = set()  # tasks that were taken out since the last sweep
        self.unsure: set[int] = set()  # tasks of the start that have done nothing since
        self.unlinked: set[int] = set()  # processes that lost their group or session since then
        self._apply = {
            events.PidAttached: self._born,  # type: ignore[dict-item]
            events.TaskSeen: self._reported,  # type: ignore[dict-item]
            events.TaskExecuted: self._executed,  # type: ignore[dict-item]
            events.TaskRenamed: self._named,  # type: ignore[dict-item]
            events.TaskExited: self._exited,  # type: ignore[dict-item]
            events.TaskFreed: self._freed,  # type: ignore[dict-item]
        }

    def start(self, rows: Sequence[events.TaskSeen], hidden: Sequence[TaskReading]) -> None:
        """Take all tasks, the ``hidden`` ones from /proc.

        Leaders come before threads, outer namespaces before inner ones. Groups and sessions come
        last, when the processes that lead them are known.
        """
        for row in rows:
            self.see(row)
            self.unsure.add(row.tid)
        for reading in hidden:
            self._enter_reading(reading)
        for row in rows:
            self.see_links(row)
        for reading in hidden:
            self.see_links(self._row_of(reading))

    def knows(self, row: events.TaskSeen) -> bool:
        """Whether that very task is in the table, not another one of its number."""
        task = self.task(row.tid)
        return task is not None and self._is(task, row.pid, row.birth)

    def see(self, event: events.TaskSeen | events.PidAttached) -> None:
        """Take a task as it was read, except its group and session, which may come later."""
        birth = event.birth
        assert birth is not None
        if event.tid != event.pid.nr:
            return  # in the middle of an exchange; the exec's record follows
        task = self.task(event.tid)
        if task is not None and self._is(task, event.pid, birth):
            task.comm, task.start_ns = birth.comm, birth.start_ns
        else:
            self._enter_task(event, birth)

    def see_links(self, event: events.TaskSeen | events.PidAttached) -> list[events.PidType]:
        """Take the group and session of a process as they were read; returns which changed."""
        birth, task = event.birth, self.task(event.tid)
        assert birth is not None
        if task is None or not self._is(task, event.pid, birth) or task.group.tgid is not task.pid:
            return []
        return self._take_links(task.group, birth)

    def _reported(self, event: events.TaskSeen | events.PidAttached) -> None:
        self.see(event)
        self.see_links(event)

    def _born(self, event: events.PidAttached) -> None:
        known = self.task(event.tid)
        if known is not None and known.start_ns is None:  # from /proc: a tick may hold two lives
            self.end_task(known)
        self._reported(event)
        self.has_acted(event.tid)  # an exit before was that of another task of its number

    def _is(self, task: Task, pid: events.PidNumbers, birth: events.Birth) -> bool:
        row = task.pid
        if row is None or row.numbers != pid.numbers or row.ns.inum != pid.ns:
            return False
        if task.start_ns is None:
            return task.start_ticks == self.shown(birth.start_ns)
        return task.start_ns == birth.start_ns

    # A task comes

    def _enter_task(self, event: events.TaskSeen | events.PidAttached, birth: events.Birth) -> None:
        if birth.tgid != event.tid and self.group(birth.tgid) is None:
            return  # its leader is gone, so it is about to be
        self._make_room(event.pid, birth)
        group, parent = self.group(birth.tgid), self.group(birth.ppid)
        if birth.tgid == event.tid:
            pid = self._add_born(event.pid, birth)
            group = self.add_process(pid, (None, None), parent, event.by)
        elif group is None:
            return  # what made room was its own process: out of date, until the next reading
        else:
            pid = self._add_born(event.pid, birth)
        self.add_task(pid, group, birth.start_ns, birth.comm)

    def _make_room(self, pid: events.PidNumbers, birth: events.Birth) -> None:
        """End every task that still has one of these numbers."""
        known = self.root.pids.get(pid.nr)
        if known is not None:
            self.forget(known)
        self._turn_over(pid, birth)
        ns = self.namespaces.get(pid.ns, self.namespaces.get(birth.ns_parent))
        for other in self._in_the_way(pid, ns):
            self.forget(other)

    def _turn_over(self, pid: events.PidNumbers, birth: events.Birth) -> None:
        """An inum was given out again: end every task that is older than the namespace.

        Its number 1 may be reported late, when it has members already that came from outside.
        """
        ns = self.namespaces.get(pid.ns)
        if ns is None or ns is self.root:
            return
        same = ns.level == pid.level and ns.parent is self.namespaces.get(birth.ns_parent)
        if same and pid.numbers[-1] != 1:
            return
        for other in list(ns.pids.values()):
            start_ns = None if other.task is None else other.task.start_ns
            if not same or start_ns is None or start_ns < birth.start_ns:
                self.forget(other)
        if not ns.pids:
            self.namespaces.pop(pid.ns, None)

    def _in_the_way(self, pid: events.PidNumbers, ns: Namespace | None) -> list[Pid]:
        """Others that are called by one of its numbers, from ``ns`` outwards."""
        found = []
        while ns is not None and ns.level < len(pid.numbers):
            other = ns.pids.get(pid.numbers[ns.level])
            same = other is not None and (other.numbers, other.ns.inum) == (pid.numbers, pid.ns)
            if other is not None and not other.partial and not same:
                found.append(other)
            ns = ns.parent
        return found

    def _link(self, numbers: events.PidNumbers) -> Pid | None:
        """The struct pid of a group or session; None: a task has its numbers, and one of the two is
        out of date."""
        if numbers.nr == 0:
            return self.init_struct_pid
        in_the_way = self._in_the_way(numbers, self.namespaces.get(numbers.ns, self.root))
        if any(other.task is not None for other in in_the_way):
            return None
        for other in in_the_way:
            self.forget(other)
        return self.resolve(numbers)

    def _take_links(self, group: ThreadGroup, birth: events.Birth) -> list[events.PidType]:
        before = (group.pgid, group.sid)
        now = (self._link(birth.pgid), self._link(birth.sid))
        self._relink(group, *now)
        if None in now:
            self._note_unlinked(group)
        kinds = (events.PidType.PGID, events.PidType.SID)
        return [kind for kind, new, old in zip(kinds, now, before) if new not in (None, old)]

    # A task goes

    def forget(self, pid: Pid) -> None:
        """Take a struct pid out, whatever was attached to it."""
        if pid.task is not None:
            self.end_task(pid.task)
        for group in pid.groups:
            group.pgid = None
            self._note_unlinked(group)
        for group in pid.sessions:
            group.sid = None
            self._note_unlinked(group)
        pid.groups = pid.sessions = ()
        self._put(pid)

    def _note_unlinked(self, group: ThreadGroup) -> None:
        if group.tgid is not None:
            self.unlinked.add(group.tgid.nr)

    def end_task(self, task: Task) -> None:
        """Release it; of a leader first the threads, whose ends may be reported later."""
        if task.pid is task.group.tgid:
            for thread in [other for other in task.group.threads if other is not task]:
                self.end_task(thread)
        if task.pid is not None:
            self.note_end(task.pid.nr)
            self.release(task)

    def note_end(self, nr: int) -> None:
        """The task of this number is released; it may never have been in the table."""
        self.exited.discard(nr)
        self.unsure.discard(nr)
        self.ended.add(nr)

    def note_exit(self, nr: int) -> None:
        """Count the exit of a thread, if it is known, and keep in mind that it is leaving."""
        task = self.task(nr)
        if task is not None:
            task.group.exits += 1
            self.exited.add(nr)

    def has_acted(self, nr: int) -> None:
        """A task did something, so it has not exited."""
        self.exited.discard(nr)
        self.unsure.discard(nr)

    @property
    def leaving(self) -> set[int]:
        """The tasks that have exited or may have, and so can be released without another record."""
        return self.exited | self.unsure

    def release_absent(self, absent: set[int]) -> None:
        """End those of ``absent`` that are leaving; a leader after its threads."""
        for nr in absent & self.leaving:
            task = self.task(nr)
            if task is None or task.start_ns is None:
                continue
            if task.pid is not task.group.tgid or not task.group.threaded:
                self.end_task(task)

    def _freed(self, event: events.TaskFreed) -> None:
        task = self.task(event.tid)
        if task is None:
            return
        start, ticks = task.start_ns, self.shown(event.start_ns)
        if event.start_ns == start or (start is None and ticks == task.start_ticks):
            self.end_task(task)

    def _executed(self, event: events.TaskExecuted) -> None:
        thread, leader = self.task(event.old_tid), self.task(event.tid)
        if event.old_tid != event.tid and thread and leader and thread.group is leader.group:
            thread.exchange(leader)
            thread.start_ns, thread.start_ticks = leader.start_ns, leader.start_ticks
            self.end_task(leader)
        self.has_acted(event.tid)
        self._named(event)

    # /proc

    def _enter_reading(self, reading: TaskReading) -> None:
        """Take what /proc shows of a task that the iterator does not."""
        number, status, ticks = reading.number, reading.status, reading.start_ticks
        whole = 0 not in status.ns_pid and status.ns_pid[0] == number
        if ticks is None or not whole or self._ns_of(reading) not in self.namespaces:
            return
        if self.task(number) is None:
            self._enter_task(self._row_of(reading), self._row_of(reading).birth)
            task = self.task(number)
            if task is not None:
                task.start_ns, task.start_ticks = None, ticks
                self.unsure.add(number)

    def _row_of(self, reading: TaskReading) -> events.TaskSeen:
        status, ns = reading.status, self.namespaces.get(self._ns_of(reading))
        birth = events.Birth(
            status.ns_tgid[0],
            status.ppid,
            (reading.start_ticks or 0) * self.ns_per_tick - self.start_offset_ns,
            unescape_status_name(status.name),
            ns.parent.inum if ns is not None and ns.parent is not None else 0,
            self._called(status.ns_pgid[0]),
            self._called(status.ns_sid[0]),
        )
        pid = events.PidNumbers(status.ns_pid, self._ns_of(reading))
        return events.TaskSeen(0, reading.number, reading.number, pid, birth)

    def _ns_of(self, reading: TaskReading) -> int:
        """Its inum; if that may not be read, a single number still means the initial one."""
        if reading.ns is None:
            return self.root.inum if len(reading.status.ns_pid) == 1 else 0
        return reading.ns

    def _called(self, nr: int) -> events.PidNumbers:
        """What a struct pid is called at every level, as far as that is known."""
        pid = self.init_struct_pid if nr == 0 else self.root.pids.get(nr)
        if pid is None or pid.partial:
            return events.PidNumbers((nr,), 0)
        return events.PidNumbers(pid.numbers, pid.ns.inum)
