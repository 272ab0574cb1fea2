"""The table: every living struct pid and task, rebuilt from events, as the kernel links them.

The structures are the kernel's own (`pidscope.table.pid`).

A link is to a struct pid, never to a number: a process can be in a group whose struct pid is
deeper or shallower than its own namespace, and a struct pid outlives its process while any group
or session is still called by it. It leaves the namespaces when its last user leaves it, as
``free_pid()`` does.

Four acts make state: birth, change, release, exchange. Each is checked whole before anything is
touched, so an event that cannot follow raises `IllegalEvent` and changes nothing. While a start is
replayed (`replay`) the same events may name tasks that the snapshot does not have: then removals
and changes of the unknown are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from pidscope import events
from pidscope.errors import IllegalEvent
from pidscope.host.ticks import shown_ticks
from pidscope.table.pid import Namespace, Pid, Task, ThreadGroup


class Table:
    """All living tasks, by number at every level.

    Args:
        root: inum of the initial PID namespace.
        ns_per_tick: 1e9 / USER_HZ, to give start times as /proc does.
        before: the table that this one repairs. No generation and no ordinal of it is given out
            again; `pidscope.table.carry_over` finds which go on.
        start_offset_ns: what /proc adds to each start time (`pidscope.host.ticks`).
    """

    def __init__(
        self,
        root: int,
        ns_per_tick: int,
        before: Table | None = None,
        start_offset_ns: int = 0,
    ) -> None:
        self.generation: int = before.generation + 1 if before else 0  # of what was there already
        self._namespaces_made: int = before._namespaces_made + 1 if before else 0
        self.root = Namespace(root, 0, None, 0)
        self.init_struct_pid = Pid((0,), self.root, 0)
        self.namespaces: dict[int, Namespace] = {root: self.root}  # by inum, the living ones
        self.ns_per_tick = ns_per_tick
        self.start_offset_ns = start_offset_ns
        self.replay = False
        self._apply: dict[type, Callable[[events.Event], None]] = {
            events.PidAttached: self._attached,  # type: ignore[dict-item]
            events.PidDetached: self._detached,  # type: ignore[dict-item]
            events.TidsExchanged: self._exchanged,  # type: ignore[dict-item]
            events.TaskExecuted: self._named,  # type: ignore[dict-item]
            events.TaskRenamed: self._named,  # type: ignore[dict-item]
            events.TaskExited: self._exited,  # type: ignore[dict-item]
        }

    # Questions

    def task(self, nr: int) -> Task | None:
        """The task with this number in the initial namespace: ``find_task_by_pid_ns()``."""
        pid = self.root.pids.get(nr)
        return pid.task if pid is not None else None

    def tasks(self) -> Iterator[Task]:
        """Every task, in the order of birth as far as it is known."""
        return (pid.task for pid in self.root.pids.values() if pid.task is not None)

    def held(self) -> Iterator[Pid]:
        """Every struct pid without a task of its own whose numbers are still taken."""
        return (pid for pid in self.root.pids.values() if pid.task is None)

    def start_ticks(self, task: Task) -> int | None:
        """Field 22 of its stat, as the reader of /proc is shown it."""
        return task.start_ticks if task.start_ns is None else self.shown(task.start_ns)

    def shown(self, start_ns: int) -> int:
        """What the reader of /proc is shown of a start."""
        return shown_ticks(start_ns, self.ns_per_tick, self.start_offset_ns)

    # Acts

    def apply(self, event: events.Event) -> None:
        """Apply one event; those that make no state here are passed over.

        Raises:
            IllegalEvent: it cannot follow from what the table holds; nothing was changed.
        """
        act = self._apply.get(type(event))
        if act is not None:
            act(event)

    def _attached(self, event: events.PidAttached) -> None:
        if event.birth is None:
            self._changed(event)
        elif event.birth.tgid == event.tid:
            self._leader_born(event, event.birth)
        else:
            self._thread_born(event, event.birth)

    def _leader_born(self, event: events.PidAttached, birth: events.Birth) -> None:
        self._expect_free(event)
        for link in (birth.pgid, birth.sid):
            self._check(event, link)
        parent = self.group(birth.ppid)
        if parent is None and birth.ppid and not self.replay:
            raise IllegalEvent(f"birth of {event.tid} to unknown parent {birth.ppid}")
        pid = self._add_born(event.pid, birth)
        links = (self.resolve(birth.pgid), self.resolve(birth.sid))
        group = self.add_process(pid, links, parent, event.by)
        self.add_task(pid, group, birth.start_ns, birth.comm)

    def _thread_born(self, event: events.PidAttached, birth: events.Birth) -> None:
        self._expect_free(event)
        group = self.group(birth.tgid)
        if group is None:
            if self.replay:
                return  # released before the snapshot came to it, with all its threads
            raise IllegalEvent(f"birth of thread {event.tid} in unknown process {birth.tgid}")
        self.add_task(self._add_born(event.pid, birth), group, birth.start_ns, birth.comm)

    def _changed(self, event: events.PidAttached) -> None:
        task = self.task(event.tid)
        if task is None:
            if self.replay:
                return
            raise IllegalEvent(f"change of {event.pid_type.name} of unknown task {event.tid}")
        if event.pid_type not in (events.PidType.PGID, events.PidType.SID):
            raise IllegalEvent(f"change of {event.pid_type.name} of task {event.tid}")
        self._check(event, event.pid)
        new = self.resolve(event.pid)
        if event.pid_type is events.PidType.PGID:
            self._relink(task.group, new, task.group.sid)
        else:
            self._relink(task.group, task.group.pgid, new)

    def _detached(self, event: events.PidDetached) -> None:
        task = self.task(event.tid)
        if task is None:
            if self.replay:
                return
            raise IllegalEvent(f"release of unknown task {event.tid}")
        pid, group = task.pid, task.group
        assert pid is not None
        if group.tgid is pid and group.threaded:
            raise IllegalEvent(f"release of leader {event.tid} before its threads")
        self.release(task)

    def _exchanged(self, event: events.TidsExchanged) -> None:
        thread, leader = self.task(event.tid), self.task(event.leader)
        if self.replay:
            # The snapshot may have either side of it: rows stay, start times are set.
            if thread is not None:
                thread.start_ns = event.leader_start_ns
            return
        if thread is None or leader is None or thread.group is not leader.group:
            raise IllegalEvent(f"exchange of {event.tid} and {event.leader}: not one process")
        if leader.pid is not leader.group.tgid:
            raise IllegalEvent(f"exchange of {event.tid} and {event.leader}: not its leader")
        thread.exchange(leader)
        thread.start_ns, leader.start_ns = event.start_ns, event.leader_start_ns

    def _named(self, event: events.TaskExecuted | events.TaskRenamed) -> None:
        task = self.task(event.tid)
        if task is not None:
            task.comm = event.comm

    def _exited(self, event: events.TaskExited) -> None:
        self.note_exit(event.tid)

    # Their parts

    def note_exit(self, nr: int) -> None:
        """Count the exit of a thread, if it is known."""
        task = self.task(nr)
        if task is not None:
            task.group.exits += 1

    def release(self, task: Task) -> None:
        """``__unhash_process()``: a leader's process ends with it."""
        pid, group = task.pid, task.group
        assert pid is not None
        pid.task = task.pid = None
        group.remove_thread(task)
        if group.tgid is pid:
            pid.process = group.tgid = group.parent = None
            for link in group.detach():
                self._put(link)
        self._put(pid)

    def _relink(self, group: ThreadGroup, pgid: Pid | None, sid: Pid | None) -> None:
        """``change_pid()``: a process leaves its group and session for these."""
        before = group.detach()
        group.attach(pgid, sid)
        for link in before:
            self._put(link)

    def group(self, tgid: int) -> ThreadGroup | None:
        """The process with this number in the initial namespace."""
        pid = self.root.pids.get(tgid)
        return pid.process if pid is not None else None

    def _expect_free(self, event: events.PidAttached) -> None:
        """Refuse a birth on a number in use, or in an unknown namespace."""
        pid, birth = event.pid, event.birth
        assert birth is not None
        if event.tid in self.root.pids:
            raise IllegalEvent(f"birth of {event.tid}, which is still in use")
        if pid.level == 0:
            if pid.ns != self.root.inum:
                raise IllegalEvent(f"birth of {event.tid} at level 0 in namespace {pid.ns}")
            return
        ns = self.namespaces.get(pid.ns)
        if ns is None or (pid.numbers[-1] == 1 and not ns.pids):
            parent = self._outer(birth.ns_parent, pid.level)
            if not self.replay and (pid.numbers[-1] != 1 or parent is None):
                raise IllegalEvent(f"birth of {event.tid} in unknown namespace {pid.ns}")
        elif ns.level != pid.level or (ns.parent and ns.parent.inum != birth.ns_parent):
            raise IllegalEvent(f"birth of {event.tid} at level {pid.level} of {ns!r}")
        else:
            parent = ns
        while parent is not None:
            if pid.numbers[parent.level] in parent.pids:
                raise IllegalEvent(f"birth of {pid.numbers} in {parent!r}, where it is in use")
            parent = parent.parent

    def is_plain_birth(self, numbers: tuple[int, ...], ns: Namespace, parent_inum: int) -> bool:
        """Whether `_expect_free` has nothing against it, and it makes no namespace.

        That is asked of each birth in a fork storm; of what is rare it may be False as well.
        """
        if len(numbers) != ns.level + 1 or numbers[-1] == 1:
            return False
        if ns.level and (ns.parent is None or self.namespaces.get(parent_inum) is not ns.parent):
            return False
        outer: Namespace | None = ns
        while outer is not None:
            if numbers[outer.level] in outer.pids:
                return False
            outer = outer.parent
        return True

    def _namespace(self, pid: events.PidNumbers, parent_inum: int) -> Namespace:
        """The namespace of a birth; number 1 makes it."""
        ns = self.namespaces.get(pid.ns)
        if ns is None or (pid.numbers[-1] == 1 and pid.level and not ns.pids):
            ns = self.add_namespace(pid.ns, self._outer(parent_inum, pid.level), pid.level)
        return ns

    def _outer(self, inum: int, level: int) -> Namespace | None:
        """The namespace around one of ``level``; None: none of that inum can be."""
        ns = self.namespaces.get(inum)
        return ns if ns is not None and ns.level == level - 1 else None

    def add_namespace(
        self, inum: int, parent: Namespace | None, level: int, ordinal: int | None = None
    ) -> Namespace:
        """Make a namespace known under ``inum``, in place of any dead one that had it.

        ``ordinal`` is its own from the table before, if it had one there.
        """
        if ordinal is None:
            self._namespaces_made += 1
            ordinal = self._namespaces_made
        ns = self.namespaces[inum] = Namespace(inum, ordinal, parent, level)
        return ns

    def _add_born(self, pid: events.PidNumbers, birth: events.Birth) -> Pid:
        return self.add_pid(pid.numbers, self._namespace(pid, birth.ns_parent))

    def add_pid(
        self, numbers: tuple[int, ...], ns: Namespace, generation: int | None = None
    ) -> Pid:
        """A struct pid of the next generation, or of one it took before; its numbers are free."""
        if generation is None:
            self.generation += 1
            generation = self.generation
        pid = Pid(numbers, ns, generation)
        self.enter(pid)
        return pid

    def enter(self, pid: Pid) -> None:
        """Put a struct pid into the IDR of each of its namespaces."""
        numbers = pid.numbers
        ns: Namespace | None = pid.ns
        while ns is not None:
            ns.pids[numbers[ns.level]] = pid
            ns = ns.parent
        # A replay may not know the parents of the namespace; the root always has the number.
        self.root.pids[numbers[0]] = pid

    def add_process(
        self, pid: Pid, links: tuple[Pid | None, Pid | None], parent: ThreadGroup | None, by: int
    ) -> ThreadGroup:
        """Attach a process to an entered struct pid, and to its group and session.

        ``parent`` is remembered if it is known to stay the parent: if it was running, because it
        was forking. A task that was exiting before the start has no `TaskExited` here, so another
        parent (CLONE_PARENT) may be replaced by a reaper without notice.
        """
        group = self.attach_process(pid, links)
        forker = self.task(by)
        if parent is not None and forker is not None and forker.group is parent:
            group.parent, group.parent_exits = parent, parent.exits
        return group

    def attach_process(self, pid: Pid, links: tuple[Pid | None, Pid | None]) -> ThreadGroup:
        """The same of a process whose parent is not known to stay the parent."""
        group = pid.process = ThreadGroup(pid)
        group.attach(*links)
        return group

    def add_task(self, pid: Pid, group: ThreadGroup, start_ns: int | None, comm: bytes) -> Task:
        """Attach a thread of a process to an entered struct pid."""
        task = pid.task = Task(pid, group, comm)
        task.start_ns = start_ns
        group.add_thread(task)
        return task

    def _check(self, event: events.PidAttached, link: events.PidNumbers) -> None:
        """Refuse a group or session that does not exist, or has other numbers."""
        pid = self.init_struct_pid if link.nr == 0 else self.root.pids.get(link.nr)
        if pid is None:
            if not self.replay:
                raise IllegalEvent(f"task {event.tid} joins unknown struct pid {link.numbers}")
        elif link.numbers[: len(pid.numbers)] != pid.numbers or (
            not pid.partial and (link.level != pid.level or link.ns != pid.ns.inum)
        ):
            raise IllegalEvent(f"task {event.tid} joins {link.numbers}, known as {pid!r}")

    def resolve(self, link: events.PidNumbers) -> Pid:
        """The struct pid of a checked link, completed if it was partial."""
        if link.nr == 0:
            return self.init_struct_pid
        pid = self.root.pids.get(link.nr)
        if pid is None:
            pid = self._unknown(link)
        elif pid.partial:
            self._complete(pid, link)
        return pid

    def _unknown(self, link: events.PidNumbers) -> Pid:
        """A struct pid that a replay meets first as the group or session of a process.

        Its namespace may have no task left in it from which its parents could have been read.
        """
        ns = self.namespaces.get(link.ns)
        if ns is None or ns.level != link.level:
            pid = Pid(link.numbers[:1], self.root, self.generation, partial=True)
        else:
            pid = Pid(link.numbers, ns, self.generation)
        self.enter(pid)
        return pid

    def _complete(self, pid: Pid, link: events.PidNumbers) -> None:
        ns = self.namespaces.get(link.ns)
        if ns is None or ns.level != link.level or ns.at(pid.level) is not pid.ns:
            return  # a namespace that no task is in, and whose parents are not known
        pid.numbers, pid.ns, pid.outside = link.numbers, ns, None
        self.enter(pid)

    def _put(self, pid: Pid | None) -> None:
        """``free_pid()``: take an unused struct pid out of all its namespaces."""
        if pid is None or pid.task or pid.process or pid.groups or pid.sessions:
            return
        if pid is self.init_struct_pid:
            return
        numbers = pid.numbers
        ns: Namespace | None = pid.ns
        while ns is not None:
            self._take_out(pid, numbers[ns.level], ns)
            ns = ns.parent
        self._take_out(pid, numbers[0], self.root)  # as `enter` does

    def _take_out(self, pid: Pid, nr: int, ns: Namespace) -> None:
        pids = ns.pids
        if pids.get(nr) is pid:
            del pids[nr]
            if not pids and self.namespaces.get(ns.inum) is ns and ns is not self.root:
                del self.namespaces[ns.inum]
