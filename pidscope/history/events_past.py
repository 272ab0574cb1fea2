"""Which task had a number at a time, from a recording of all events: exactly, as all was then.

The events are played back. What is asked about begins behind the start, and ends with the record:
in between each birth, exit, exec, change of name, group, session and cgroup is in it, in its order.
So the facts of a task at T are those after its last event up to T.

A parent is that at birth, or that which `/proc` showed at the begin, as long as no thread of it has
exited: then its children may have been given to another (``forget_original_parent()``), which has
no event. In tracepoint mode group and session are read once a second: they are not known at T.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pidscope import events
from pidscope.containers.container import Chain
from pidscope.history.answer import NO_CGROUP_IDS, Answer, Gap, Holder
from pidscope.history.listing_json import Listing
from pidscope.history.span import Stretch
from pidscope.query.endings import Endings
from pidscope.session.session import Session
from pidscope.table.pid import Task
from pidscope.table.table import Table
from pidscope.wire.hooks import TRACEPOINT

_CLONE_INTO_CGROUP = 0x200000000  # include/uapi/linux/sched.h


class _Lived:
    """A task, with its facts at the time asked for, or at its end if that was before."""

    def __init__(self, numbers: tuple[int, ...], inums: tuple[int, ...], tgid: int) -> None:
        self.numbers, self.inums, self.tgid = numbers, inums, tgid
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.status: int | None = None
        self.comm = b""
        self.ppid: int | None = None
        self.exits_before = 0  # of threads of the parent, when that was certain
        self.cgroup_id = 0

    @property
    def leads(self) -> bool:
        return self.numbers[0] == self.tgid


class EventsTracker:
    """Follows a session that is played back; `listen` is its listener.

    Args:
        asked: the time.
        begin: what /proc showed at the begin; None: that is damaged.
        way: the probe mode.
    """

    def __init__(self, asked: Stretch, begin: Listing | None, way: str) -> None:
        self._asked, self._way = asked, way
        self._begin = begin
        self._all: list[_Lived] = []
        self._now: dict[int, _Lived] = {}  # by number, from birth to release
        self._links: dict[int, list[int]] = {}  # group and session at the time asked, by tgid
        self._exits: Counter[int] = Counter()  # up to the time asked, by tgid
        self._endings: Endings | None = None
        self._known = False  # there is a table, and nothing is lost
        self._gap: tuple[int, int | None] | None = None  # that touches the time asked for
        self._lost_ns = 0
        self._cgroups: dict[int, int] = {}  # by number, as it is now
        self._learned: dict[int, Chain | None] = {}  # by cgroup id; None: contradicted

    # Following

    def begin(self, session: Session) -> None:
        """Take the tasks of the start."""
        assert session.table is not None
        parents = self._parents()
        self._enter_all(session.table, parents)
        self._known = True

    def listen(self, event: events.Event, session: Session) -> None:
        """Take note of an event, which the table has not had yet."""
        if isinstance(event, events.TaskExited) and event.ts_ns <= self._asked.last_ns:
            self._exits[event.tgid] += 1
        if isinstance(event, events.Lost):
            if self._known:
                self._lost_ns = event.ts_ns
            self._known = False
        elif isinstance(event, events.Repaired) and session.table is not None:
            self._missed(event.ts_ns)
            self._go_on(session.table, event.ts_ns)
            self._known = True
        elif self._known and session.table is not None:
            self._follow(event, session.table)

    def _follow(self, event: events.Event, table: Table) -> None:
        if self._endings is None:
            self._endings = Endings(table.generation)
        if isinstance(event, events.TaskExited):
            self._exited(event, table)
        elif isinstance(event, events.TidsExchanged):
            self._exchanged(event)
        elif isinstance(event, events.PidDetached):
            self._released(event)
        elif isinstance(event, events.TaskFreed):
            lived = self._now.get(event.tid)
            if lived is not None and lived.start_ns == event.start_ns:
                del self._now[event.tid]
        else:
            self._keep_cgroup(event)
            if event.ts_ns <= self._asked.last_ns:
                self._changed(event, table)
        self._endings.add(event, table)

    def _keep_cgroup(self, event: events.Event) -> None:
        """Keep the cgroup that a task is in now, and of which containers that is."""
        if isinstance(event, events.TaskMoved):
            self._cgroups[event.tid] = event.cgroup_id
        elif isinstance(event, events.TaskCreated):
            self._cgroups[event.tid] = event.cgroup_id
            forker = self._now.get(event.by)
            into = event.flags & _CLONE_INTO_CGROUP
            if forker is not None and forker.cgroup_id >= NO_CGROUP_IDS and not into:
                self._learn(event.cgroup_id, self._chain(forker.cgroup_id))

    def _learn(self, cgroup_id: int, chain: Chain | None) -> None:
        """Take the containers around a cgroup; what is found in two ways is not known."""
        if chain is not None and self._learned.setdefault(cgroup_id, chain) != chain:
            self._learned[cgroup_id] = None

    def _chain(self, place: int) -> Chain | None:
        chains = None if self._begin is None else self._begin.chains
        return None if chains is None else chains.get(place - NO_CGROUP_IDS)

    def _released(self, event: events.PidDetached) -> None:
        lived = self._now.pop(event.tid, None)
        self._cgroups.pop(event.tid, None)
        if lived is not None and lived.leads:
            lived.end_ns = event.ts_ns if lived.end_ns is None else lived.end_ns
            lived.status = event.exit_code

    def _changed(self, event: events.Event, table: Table) -> None:
        """Take what was so at the time asked for."""
        if isinstance(event, events.PidAttached):
            if event.birth is not None:
                self._born(event, event.birth, table)
            elif event.tid in self._now:
                links = self._links.setdefault(self._now[event.tid].tgid, [0, 0])
                links[event.pid_type is events.PidType.SID] = event.pid.nr
        elif isinstance(event, events.TaskExecuted):
            self._executed(event)
        elif isinstance(event, events.TaskRenamed) and event.tid in self._now:
            self._now[event.tid].comm = event.comm
        elif isinstance(event, events.TaskCreated) and event.tid in self._now:
            self._now[event.tid].cgroup_id = event.cgroup_id
        elif isinstance(event, events.TaskMoved) and event.tid in self._now:
            moved = self._now[event.tid]
            for lived in self._now.values():
                if lived.tgid == moved.tgid:  # perhaps the others, too
                    lived.cgroup_id = 0
            moved.cgroup_id = event.cgroup_id

    def _born(self, event: events.PidAttached, birth: events.Birth, table: Table) -> None:
        lived = _Lived(event.pid.numbers, _inums(event.pid, birth, table), birth.tgid)
        lived.start_ns, lived.comm = birth.start_ns, birth.comm
        lived.ppid, lived.exits_before = birth.ppid, self._exits[birth.ppid]
        if lived.leads:
            self._links[birth.tgid] = [birth.pgid.nr, birth.sid.nr]
        parent = self._now.get(event.by)
        lived.cgroup_id = 0 if parent is None else parent.cgroup_id  # until TaskCreated says it
        self._enter(lived)

    def _executed(self, event: events.TaskExecuted) -> None:
        if event.tid in self._now:
            self._now[event.tid].comm = event.comm
        if event.old_tid != event.tid and self._way == TRACEPOINT:
            self._end_of_number(event.old_tid, event.ts_ns)

    def _exited(self, event: events.TaskExited, table: Table) -> None:
        assert self._endings is not None
        lived, leader = self._same(event.tid, table), self._same(event.tgid, table)
        if lived is not None and not lived.leads:
            lived.end_ns, lived.status = event.ts_ns, event.exit_code
        if leader is not None and self._endings.is_last(event, table) is not False:
            leader.end_ns = event.ts_ns
            leader.status = event.exit_code if event.tid == event.tgid else None

    def _same(self, number: int, table: Table) -> _Lived | None:
        """Return the task that has a number now, if it was there at the time asked for."""
        lived, task = self._now.get(number), table.task(number)
        if lived is None or task is None:
            return None
        is_other = None not in (lived.start_ns, task.start_ns) and lived.start_ns != task.start_ns
        return None if is_other else lived

    def _exchanged(self, event: events.TidsExchanged) -> None:
        """The thread has the leader's number from now on; its own is let go."""
        self._end_of_number(event.tid, event.ts_ns)
        leader = self._now.get(event.leader)
        if leader is not None:
            leader.end_ns = leader.status = None

    def _end_of_number(self, number: int, ts_ns: int) -> None:
        lived = self._now.get(number)
        if lived is not None and lived.end_ns is None:
            lived.end_ns = ts_ns

    # Entering

    def _parents(self) -> Mapping[int, int]:
        if self._begin is None:
            return {}
        tasks = self._begin.reading.snapshot.tasks
        return {
            it.status.ns_tgid[0]: it.status.ppid for it in tasks if it.number in it.status.ns_tgid
        }

    def _enter_all(self, table: Table, parents: Mapping[int, int]) -> None:
        for task in table.tasks():
            lived = _of_table(task, table)
            if lived is None:
                continue
            if lived.tgid in parents:  # no thread of the parent has exited since it was read
                lived.ppid = parents[lived.tgid]
            lived.cgroup_id = self._place(lived.tgid)
            self._enter_with(lived, task)

    def _go_on(self, table: Table, repaired_ns: int) -> None:
        """Take the tasks that are there after a loss, of which some were there before."""
        before, self._now = self._now, {}
        is_before = repaired_ns <= self._asked.first_ns
        is_behind = self._asked.last_ns < self._lost_ns
        if is_before:
            self._all.clear()
        for task in table.tasks():
            lived = _of_table(task, table)
            known = None if lived is None else before.get(lived.numbers[0])
            if lived is None:
                continue
            if known is not None and known.start_ns == lived.start_ns and not is_before:
                self._now[lived.numbers[0]] = known
            elif not is_behind:
                self._enter_with(lived, task)

    def _enter_with(self, lived: _Lived, task: Task) -> None:
        if lived.leads:
            group = task.group
            links = [0 if it is None else it.nr for it in (group.pgid, group.sid)]
            self._links[lived.tgid] = links
        self._enter(lived)

    def _place(self, tgid: int) -> int:
        """Return what stands for the cgroup of a task that was there at the begin."""
        chains = None if self._begin is None else self._begin.chains
        return NO_CGROUP_IDS + tgid if chains is not None and tgid in chains else 0

    def _enter(self, lived: _Lived) -> None:
        self._all.append(lived)
        self._now[lived.numbers[0]] = lived

    # Answers

    def _missed(self, until_ns: int | None) -> None:
        """Note a gap that touches the time asked for; what lived before it ended who knows when."""
        asked, begin = self._asked, self._lost_ns
        if begin <= asked.last_ns and (until_ns is None or until_ns >= asked.first_ns):
            self._gap = self._gap or (begin, until_ns)

    def finish(self, end: Listing | None) -> None:
        """The record ends, with what /proc showed then; None: that is missing."""
        if not self._known:
            self._missed(None)
        for pid, chain in ((end.chains if end is not None else None) or {}).items():
            if pid in self._cgroups:
                self._learn(self._cgroups[pid], chain)

    def containers(self) -> Iterator[dict[str, Any]]:
        """Yield the containers of what stands for cgroups, as a recording's objects."""
        chains = (self._begin.chains if self._begin is not None else None) or {}
        known = {NO_CGROUP_IDS + pid: chain for pid, chain in chains.items()}
        known |= {key: chain for key, chain in self._learned.items() if chain is not None}
        of_all = {str(key): _chain_json(chain) for key, chain in known.items()}
        yield {"type": "containers", "containers": of_all}

    def answer(self, ns: int | None, number: int | None) -> Answer:
        """Return which tasks had a number in a namespace; None: return all."""
        asked = self._asked
        found = [
            self._holder(it)
            for it in self._all
            if (it.end_ns is None or it.end_ns >= asked.first_ns)
            and (it.start_ns or 0) <= asked.last_ns
            and (ns is None or number == dict(zip(it.inums, it.numbers)).get(ns))
        ]
        if self._gap is None:
            return Answer(tuple(found))
        begin, until = self._gap
        return Answer(tuple(found), Gap(asked.boot_id, begin, until, "records were lost"))

    def _holder(self, it: _Lived) -> Holder:
        facts_ns = self._asked.last_ns if it.end_ns is None else min(self._asked.last_ns, it.end_ns)
        sure = it.ppid is not None and self._exits[it.ppid] == it.exits_before
        links: list[int] | list[None] = self._links.get(it.tgid, [None, None])
        if self._way == TRACEPOINT:
            links = [None, None]
        return Holder(
            boot_id=self._asked.boot_id,
            numbers=it.numbers,
            inums=it.inums,
            tgid=it.tgid,
            start_ns=it.start_ns,
            end_ns=it.end_ns,
            status=it.status if it.end_ns is not None else None,
            facts_ns=facts_ns,
            comm=it.comm,
            ppid=it.ppid if sure else None,
            pgid=links[0],
            sid=links[1],
            uid=None,
            cgroup_id=it.cgroup_id,
        )


def _inums(pid: events.PidNumbers, birth: events.Birth, table: Table) -> tuple[int, ...]:
    """Return the inums of a struct pid's namespaces, outermost first; 0: not known."""
    inums = [pid.ns]
    outer = table.namespaces.get(birth.ns_parent) if pid.level else None
    while outer is not None:
        inums.append(outer.inum)
        outer = outer.parent
    if len(inums) != len(pid.numbers):
        inums = [pid.ns, *[0] * pid.level]
    return tuple(reversed(inums))


def _of_table(task: Task, table: Table) -> _Lived | None:
    pid, tgid = task.pid, task.group.tgid
    if pid is None or tgid is None:
        return None
    spaces = [pid.ns.at(level) for level in range(pid.level + 1)]
    inums = tuple(0 if it is None else it.inum for it in spaces)
    lived = _Lived(pid.numbers, inums, tgid.nr)
    ticks = task.start_ticks
    if task.start_ns is not None:
        lived.start_ns = task.start_ns
    elif ticks is not None:
        lived.start_ns = max(0, ticks * table.ns_per_tick - table.start_offset_ns)
    lived.comm = task.comm
    return lived


def _chain_json(chain: Chain) -> list[dict[str, Any]]:
    return [{k: v for k, v in it._asdict().items() if v is not None} for it in chain]
