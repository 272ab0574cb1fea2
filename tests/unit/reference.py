"""The kernel's PID rules once more, plain and slow: what the tests judge by.

Nothing of pidscope is imported but the names of the events. An act is a generator: it reserves a
record, then writes one pointer after the other, as kernel/pid.c, fork.c and exit.c do, and yields
in between. It yields True while it holds the tasklist lock with a write outstanding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from pidscope import events

ROOT = 0xEFFFFFFC
NS_PER_TICK = 10_000_000
Act = Generator[bool, None, None]
KINDS = (events.PidType.TGID, events.PidType.PGID, events.PidType.SID)


@dataclass(eq=False)
class Ns:
    """struct pid_namespace."""

    inum: int
    parent: Ns | None
    level: int
    idr: dict[int, SPid] = field(default_factory=dict)
    started: bool = False
    dying: bool = False

    def chain(self) -> tuple[Ns, ...]:
        """From the initial one inwards."""
        return (*self.parent.chain(), self) if self.parent else (self,)


@dataclass(eq=False)
class SPid:
    """struct pid."""

    numbers: tuple[int, ...]
    spaces: tuple[Ns, ...]
    task: Thread | None = None
    attached: set[tuple[Process, events.PidType]] = field(default_factory=set)
    listed: bool = False  # /proc shows it to readdir

    @property
    def nr(self) -> int:
        return self.numbers[0]

    @property
    def ns(self) -> Ns:
        return self.spaces[-1]

    @property
    def used(self) -> bool:
        return self.task is not None or bool(self.attached)

    def nr_in(self, ns: Ns) -> int:
        if ns.level < len(self.spaces) and self.spaces[ns.level] is ns:
            return self.numbers[ns.level]
        return 0

    def names(self) -> events.PidNumbers:
        return events.PidNumbers(self.numbers, self.ns.inum)


@dataclass(eq=False)
class Process:
    """struct signal_struct."""

    pids: dict[events.PidType, SPid | None]
    threads: list[Thread] = field(default_factory=list)
    leader: Thread | None = None
    leads_session: bool = False
    tgid: int = 0  # task_struct.tgid of all its threads: stays when the links are gone


@dataclass(eq=False)
class Thread:
    """struct task_struct."""

    pid: SPid | None
    process: Process
    start_ns: int
    comm: bytes
    parent: Thread | None
    fork_ns: Ns | None = None
    exited: bool = False
    released: bool = False

    @property
    def leads(self) -> bool:
        return self.process.leader is self

    def at(self, kind: events.PidType) -> SPid | None:
        return self.pid if kind is events.PidType.PID else self.process.pids[kind]


class Kernel:
    """A machine: every act appends to ``records`` before it writes."""

    def __init__(self, pid_max: int = 40, inum_max: int = 5) -> None:
        self.records: list[events.Event] = []
        self.now = 5_000_000_000
        self.forks = 0  # total_forks
        self.root = Ns(ROOT, None, 0, started=True)
        self.zero = SPid((0,), (self.root,))
        self.pid_max = pid_max
        self.inums = [4026532000 + n for n in range(inum_max)]
        self.spaces: list[Ns] = [self.root]
        self.act: Act | None = None
        self.pending = False
        self.early_listing = False  # since 5.8 readdir may be ahead of the birth's record
        self.pick_number: Callable[[list[int]], int] = min
        links = {events.PidType.PGID: self.zero, events.PidType.SID: self.zero}
        self.run(self._born(None, 0, self._alloc(self.root), None, links, b"init"))
        assert self.records

    # Running acts: one at a time, as the tasklist lock has it

    def begin(self, act: Act) -> None:
        assert self.act is None
        self.act = act
        self.step()

    def step(self) -> None:
        assert self.act is not None
        try:
            self.pending = next(self.act)
        except StopIteration:
            self.act, self.pending = None, False

    def finish(self) -> None:
        """What a fence waits for (and a little more)."""
        while self.act is not None:
            self.step()

    def settle(self) -> None:
        """Do every write whose record is reserved, and no more."""
        while self.pending:
            self.step()

    def run(self, act: Act) -> None:
        self.finish()
        self.begin(act)
        self.finish()

    # Questions

    def threads(self) -> list[Thread]:
        return [pid.task for pid in self.root.idr.values() if pid.task is not None]

    def held(self) -> list[SPid]:
        return [pid for pid in self.root.idr.values() if pid.task is None and pid.used]

    def find(self, nr: int) -> Thread:
        task = self.root.idr[nr].task
        assert task is not None
        return task

    @property
    def init(self) -> Thread:
        return self.find(1)

    # Acts

    def fork(self, by: Thread, thread: bool = False, clone_parent: bool = False) -> Act:
        """copy_process()."""
        assert by.pid is not None
        ns = by.fork_ns or by.pid.ns
        pid = None if ns.dying else self._alloc(ns)
        if pid is None:
            self._tell(events.ForkFailed(self._tick(), by.pid.nr, 11, 0, 1, ns.inum))
            return
        self._tell(events.PidAllocated(self._tick(), by.pid.nr, pid.names()))
        yield False
        parent = by.parent if thread or clone_parent else by
        if thread:
            yield from self._born(by.process, by.pid.nr, pid, parent, {}, by.comm)
        else:
            pgid, sid = by.process.pids[events.PidType.PGID], by.process.pids[events.PidType.SID]
            assert pgid is not None and sid is not None
            links = {events.PidType.PGID: pgid, events.PidType.SID: sid}
            yield from self._born(None, by.pid.nr, pid, parent, links, by.comm)
        self._tell(events.TaskCreated(self._tick(), by.pid.nr, pid.nr, 0, 1, ns.inum))

    def failed_fork(self, by: Thread) -> Act:
        """A fork that fails after alloc_pid()."""
        assert by.pid is not None
        ns = by.pid.ns
        pid = self._alloc(ns)
        if pid is None:
            return
        self._tell(events.PidAllocated(self._tick(), by.pid.nr, pid.names()))
        yield False
        self._tell(events.PidFreed(self._tick(), by.pid.nr, pid.names()))
        self._free(pid)
        self._tell(events.ForkFailed(self._tick(), by.pid.nr, 14, 0, 1, ns.inum))

    def _born(
        self,
        process: Process | None,
        by: int,
        pid: SPid | None,
        parent: Thread | None,
        links: dict[events.PidType, SPid],
        comm: bytes,
    ) -> Act:
        assert pid is not None
        leads = process is None
        if process is None:
            process = Process({events.PidType.TGID: pid, **links}, tgid=pid.nr)
            pid.listed = self.early_listing
        task = Thread(pid, process, self._tick(), comm, parent)
        ppid = parent.process.pids[events.PidType.TGID] if parent else None
        tgid, pgid, sid = (process.pids[kind] for kind in KINDS)
        assert tgid and pgid and sid
        birth = events.Birth(
            tgid.nr,
            ppid.nr if ppid else 0,
            task.start_ns,
            comm,
            pid.ns.parent.inum if pid.ns.parent else 0,
            pgid.names(),
            sid.names(),
        )
        self._tell(
            events.PidAttached(self._tick(), by, pid.nr, events.PidType.PID, pid.names(), birth)
        )
        yield True
        if leads:
            process.leader = task
            for kind in KINDS:
                self._attach(process, kind)
        process.threads.append(task)
        pid.task, pid.listed = task, leads
        self.forks += 1

    def setpgid(self, task: Thread, target: SPid) -> Act:
        """setpgid() of a leader, by reference."""
        yield from self._change(task, events.PidType.PGID, target)

    def setsid(self, task: Thread) -> Act:
        """setsid(): SID first, then PGID, each only if it differs."""
        assert task.pid is not None
        task.process.leads_session = True
        for kind in (events.PidType.SID, events.PidType.PGID):
            if task.process.pids[kind] is not task.pid:
                yield from self._change(task, kind, task.pid)
                yield False

    def _change(self, task: Thread, kind: events.PidType, target: SPid) -> Act:
        assert task.pid is not None
        nr = task.pid.nr
        self._tell(events.PidAttached(self._tick(), nr, nr, kind, target.names()))
        yield True
        self._detach(task.process, kind)
        task.process.pids[kind] = target
        self._attach(task.process, kind)

    def exit(self, task: Thread) -> Act:
        """do_exit(): the tracepoint, then the children get another parent."""
        assert task.pid is not None
        tgid = task.process.pids[events.PidType.TGID]
        assert tgid is not None
        task.exited, task.fork_ns = True, None
        self._sweep()
        self._tell(events.TaskExited(self._tick(), task.pid.nr, task.pid.nr, tgid.nr, 0))
        yield False
        heir = self._heir(task)
        for child in self.threads():
            if child.parent is task:
                child.parent = heir
                yield False
        if task.pid.numbers[-1] == 1 and task.leads:
            task.pid.ns.dying = True

    def release(self, task: Thread) -> Act:
        """__unhash_process(): PID, and for a leader TGID, PGID, SID."""
        pid, process, leads = task.pid, task.process, task.leads
        assert pid is not None
        tgid = process.pids[events.PidType.TGID]
        assert tgid is not None
        self._tell(events.PidDetached(self._tick(), 1, pid.nr, tgid.nr, 0))
        yield True
        pid.task = None
        yield True
        task.pid, task.released = None, True
        yield True
        if leads:
            for kind in KINDS:
                self._detach(process, kind)
                process.pids[kind] = None
                yield True
        process.threads.remove(task)
        self._put(pid)

    def exchange(self, task: Thread) -> Act:
        """de_thread(): the start time, exchange_tids(), transfer_pid()."""
        leader = task.process.leader
        assert leader is not None and task.pid is not None and leader.pid is not None
        mine, theirs = task.pid, leader.pid
        task.start_ns = leader.start_ns  # before any record tells of it
        yield False
        self._tell(
            events.TidsExchanged(
                self._tick(), mine.nr, mine.nr, theirs.nr, task.start_ns, leader.start_ns
            )
        )
        yield True
        mine.task = leader
        yield True
        theirs.task = task
        yield True
        task.pid = theirs
        yield True
        leader.pid = mine
        for kind in KINDS:
            self._tell(events.PidTransferred(self._tick(), mine.nr, theirs.nr, mine.nr, kind))
        task.process.leader = task
        task.process.threads.sort(key=lambda one: not one.leads)

    def execute(self, task: Thread, comm: bytes = b"exec") -> Act:
        """What is left of an exec: the name."""
        assert task.pid is not None
        task.comm = comm
        nr = task.pid.nr
        self._tell(events.TaskExecuted(self._tick(), nr, nr, nr, comm))
        yield False

    def unshare(self, task: Thread) -> Act:
        """unshare(CLONE_NEWPID)."""
        assert task.pid is not None
        free = [n for n in self.inums if n not in {ns.inum for ns in self.spaces}]
        if not free:
            return
        ns = Ns(free[0], task.pid.ns, task.pid.ns.level + 1)
        self.spaces.append(ns)
        task.fork_ns = ns
        assert ns.parent is not None
        self._tell(
            events.NamespaceCreated(self._tick(), task.pid.nr, ns.inum, ns.parent.inum, ns.level)
        )
        yield False

    def setns(self, task: Thread, ns: Ns | None) -> Act:
        """setns(): only who is born next is concerned."""
        task.fork_ns = ns
        self._sweep()
        yield False

    # What is legal

    def may_release(self, task: Thread) -> bool:
        if not task.exited or task.released or task.pid is None or task is self.init:
            return False
        if not task.leads:
            return True
        if task.process.threads != [task]:
            return False
        if task.pid.numbers[-1] == 1:  # zap_pid_ns_processes() waits for the others
            return list(task.pid.ns.idr.values()) == [task.pid]
        return True

    def may_exchange(self, task: Thread) -> bool:
        leader = task.process.leader
        assert leader is not None
        return (
            not task.leads
            and not task.exited
            and leader.exited
            and set(task.process.threads) == {task, leader}
        )

    def groups_for(self, task: Thread) -> list[SPid]:
        """The groups setpgid() may put ``task`` into."""
        if not task.leads or task.process.leads_session or task.pid is None:
            return []
        if task.pid.numbers[-1] == 1:  # in an inner one's group it could never end: zap would wait
            return [] if task.process.pids[events.PidType.PGID] is task.pid else [task.pid]
        session = task.process.pids[events.PidType.SID]
        return [
            pid
            for pid in self.root.idr.values()
            if pid.nr_in(task.pid.ns)
            and pid is not task.process.pids[events.PidType.PGID]
            and (
                pid is task.pid
                or any(
                    kind is events.PidType.PGID and other.pids[events.PidType.SID] is session
                    for other, kind in pid.attached
                )
            )
        ]

    def may_setsid(self, task: Thread) -> bool:
        return (
            task.leads
            and not task.exited
            and not task.process.leads_session
            and task.pid is not None
            and not any(kind is events.PidType.PGID for _, kind in task.pid.attached)
        )

    def random_act(self, rng: random.Random) -> Act | None:
        """Some legal act, or None."""
        task = rng.choice(self.threads())
        assert task.pid is not None
        full = len(self.root.idr) > self.pid_max - 4
        choice = rng.choice(_DYING if full else _LIVING)
        if choice == "die":
            if self.may_release(task):
                return self.release(task)
            others = len(self.threads()) > 3
            return self.exit(task) if not task.exited and others and task.pid.nr != 1 else None
        if choice == "group":
            groups = self.groups_for(task)
            return self.setpgid(task, rng.choice(groups)) if groups else None
        if choice == "session":
            return self.setsid(task) if self.may_setsid(task) else None
        if choice == "exec":
            return self._exec(task)
        if task.exited:
            return None
        if choice == "thread":
            if task.fork_ns is not None or task.pid.nr == 1:
                return None
            return self.fork(task, thread=True)
        if choice == "namespace":
            return self._enter(task, rng)
        if choice == "fail":
            return self.failed_fork(task)
        is_init = task.pid.numbers[-1] == 1
        return self.fork(task, clone_parent=not is_init and rng.random() < 0.15)

    def _exec(self, task: Thread) -> Act | None:
        if self.may_exchange(task):
            return self.exchange(task)
        leader = task.process.leader
        assert leader is not None
        if task.leads or task.exited:
            return self.execute(task)
        for other in task.process.threads:  # zap_other_threads()
            if other is not task and not other.exited:
                return self.exit(other) if other.pid is not None and other.pid.nr != 1 else None
        return None

    def _enter(self, task: Thread, rng: random.Random) -> Act | None:
        assert task.pid is not None
        if task.fork_ns is None and task.pid.ns.level < 4 and rng.random() < 0.5:
            return self.unshare(task)
        inner = [ns for ns in self.spaces if task.pid.ns in ns.chain() and ns.started]
        ns = rng.choice(inner)
        return self.setns(task, None if ns is task.pid.ns else ns)

    # Parts

    def _tick(self) -> int:
        self.now += 7_000_001
        return self.now

    def _tell(self, event: events.Event) -> None:
        self.records.append(event)

    def _heir(self, task: Thread) -> Thread:
        for other in task.process.threads:
            if not other.exited:
                return other
        assert task.pid is not None
        reaper = task.pid.ns.idr[1].task
        if reaper is None or reaper is task:
            return self.init
        return reaper

    def _alloc(self, ns: Ns) -> SPid | None:
        """alloc_pid(): the lowest free numbers, so that they come again at once."""
        numbers = []
        for space in ns.chain():
            free = [n for n in range(2, self.pid_max) if n not in space.idr]
            if not space.started or (space is self.root and not space.idr):
                free = [1]
            if not free:
                return None
            numbers.append(self.pick_number(free))
        pid = SPid(tuple(numbers), ns.chain())
        for space, number in zip(pid.spaces, numbers):
            space.idr[number] = pid
            space.started = True
        return pid

    def _attach(self, process: Process, kind: events.PidType) -> None:
        pid = process.pids[kind]
        if pid is not None and pid is not self.zero:
            pid.attached.add((process, kind))

    def _detach(self, process: Process, kind: events.PidType) -> None:
        pid = process.pids[kind]
        if pid is not None and pid is not self.zero:
            pid.attached.discard((process, kind))
            self._put(pid)

    def _put(self, pid: SPid) -> None:
        if not pid.used:
            self._free(pid)

    def _free(self, pid: SPid) -> None:
        pid.listed = False
        for space, number in zip(pid.spaces, pid.numbers):
            if space.idr.get(number) is pid:
                del space.idr[number]
        self._sweep()

    def _sweep(self) -> None:
        """Give back the inums of namespaces that nothing refers to any more."""
        wanted = {thread.fork_ns for thread in self.threads()}
        for space in list(self.spaces):
            if not space.idr and space not in wanted and space is not self.root:
                self.spaces.remove(space)


_LIVING = (
    *("fork",) * 6,
    *("thread",) * 4,
    *("die",) * 9,
    *("group",) * 4,
    *("session",) * 2,
    *("exec",) * 4,
    *("namespace",) * 3,
    "fail",
)
_DYING = (*("die",) * 9, *("group",) * 2, *("exec",) * 2)
