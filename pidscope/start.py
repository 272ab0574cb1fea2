"""The start: a table that is exact from one position of the stream on, without stopping anything.

All hooks are attached, then p0 is the ring's position, then a fence, then /proc is read while
events stream in, then b is the position. Call the events in (p0, b] the window. What /proc gave
is not one moment's state, but each thing in it was read after everything up to p0 had happened and
before b. So for each fact of a task:

- no event of the window touches it: it was the same all the time, and was read right;
- an event touches it: the event carries the new value whole, so replaying the window sets it,
  whatever was read. Facts that an event will set are left unset here, so that nothing torn or
  already outdated is ever taken for a link.

Hence: rows born in the window are dropped (the birth carries all); removals of unknown rows are
ignored (released before they were read); a link to a struct pid born in the window, or one whose
change is in the window, waits for its event; and of an exchange only the start times are taken,
since rows are struct pids and stay where they are. After the replay nothing may be left unset.

A struct pid that lives only as a group or a session has no status of its own: it is known from its
members' lines, as far inwards as they reach, and marked partial. Where a member's line has a 0, it
has no number in that namespace.

Two things cannot be mended by replaying, and are the caller's. A process that lost a thread while
its threads were listed has to be listed again (`cut_short`), since the kernel's listing ends early
when the thread it stands at is released (``next_tid()``, fs/proc/base.c). And a process that did an
exchange has to be read again (`to_read_again`), since NSpid may be of two struct pids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pidscope.errors import HostError, IllegalEvent
from pidscope.escape import unescape_status_name
from pidscope.event import Event, PidAttached, PidDetached, PidType, TidsExchanged
from pidscope.pid import Namespace, Pid, Task, ThreadGroup
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.table import Table


@dataclass(frozen=True)
class _Window:
    """What the events of the window will set themselves."""

    born: frozenset[int]
    changed: frozenset[tuple[int, PidType]]
    released: frozenset[int]

    @classmethod
    def of(cls, events: Sequence[Event]) -> _Window:
        attached = [event for event in events if isinstance(event, PidAttached)]
        return cls(
            frozenset(event.tid for event in attached if event.birth),
            frozenset((event.tid, event.pid_type) for event in attached if not event.birth),
            frozenset(event.tid for event in events if isinstance(event, PidDetached)),
        )


def cut_short(process: int, events: Iterable[Event]) -> bool:
    """Whether a listing of the process's threads may be cut short, if made during these events.

    A fence has to stand before the listing, for releases told of earlier but not done yet.
    """
    return any(
        isinstance(event, PidDetached) and event.tgid == process and event.tid != process
        for event in events
    )


def to_read_again(events: Iterable[Event]) -> set[int]:
    """The processes (tgids) whose reading during these events cannot be mended by replay."""
    return {event.leader for event in events if isinstance(event, TidsExchanged)}


def start(
    snapshot: Snapshot,
    window: Sequence[Event],
    root: int,
    ns_per_tick: int,
    before: Table | None = None,
) -> Table:
    """The table as it stands at the end of the window.

    Args:
        snapshot: what /proc told, read between the two ends of the window.
        window: every event in (p0, b], in order.
        root: inum of the initial PID namespace.
        ns_per_tick: 1e9 / USER_HZ.
        before: the table that lost its way, if this is a repair.

    Raises:
        IllegalEvent: snapshot and events contradict each other, so events are missing.
        HostError: the namespace of a task that is alive could not be read.
    """
    table = Table(root, ns_per_tick, before)
    _Base(table, snapshot, _Window.of(window)).build()
    table.replay = True
    for event in window:
        table.apply(event)
    table.replay = False
    _expect_whole(table)
    return table


class _Base:
    """The table as the snapshot gives it, less what the window's events will set."""

    def __init__(self, table: Table, snapshot: Snapshot, window: _Window) -> None:
        self._table = table
        self._snapshot = snapshot
        self._window = window
        self._unset: list[tuple[ThreadGroup, TaskReading]] = []

    def build(self) -> None:
        rows = [row for row in self._snapshot.tasks if self._usable(row)]
        leaders = [row for row in rows if row.status.ns_tgid[0] == row.number]
        threads = [row for row in rows if row.status.ns_tgid[0] != row.number]
        for row in leaders:
            self._add_leader(row)
        for row in threads:
            leader = self._table.task(row.status.ns_tgid[0])
            if leader is not None:
                self._add_task(row, leader.group)
        for group, row in self._unset:
            self._link(group, row)

    def _usable(self, row: TaskReading) -> bool:
        """Whether it was read whole: if not, it was released, and its event is in the window."""
        return (
            row.number not in self._window.born
            and row.status.ns_pid[0] == row.number
            and 0 not in row.status.ns_pid
            and row.start_ticks is not None
            and self._namespace(self._inum(row), len(row.status.ns_pid) - 1) is not None
        )

    def _inum(self, row: TaskReading) -> int:
        """The inum of the task's namespace; with one number it is the root's, link or no link."""
        if row.ns is not None:
            return row.ns
        if len(row.status.ns_pid) == 1:
            return self._table.root.inum
        raise HostError(
            f"may not read the PID namespace of task {row.number}, which is alive",
            "give this process CAP_SYS_PTRACE; an LSM may refuse it too",
        )

    def _namespace(self, inum: int, level: int) -> Namespace | None:
        ns = self._table.namespaces.get(inum)
        if ns is not None or level == 0:
            return ns if ns is not None and ns.level == level else None
        outer = self._snapshot.ns_parents.get(inum)
        parent = self._namespace(outer, level - 1) if outer else None
        return self._table.add_namespace(inum, parent, level) if parent is not None else None

    def _add_task(self, row: TaskReading, group: ThreadGroup | None = None) -> Task:
        ns = self._table.namespaces[self._inum(row)]
        pid = Pid(row.status.ns_pid, ns, self._table.generation)
        self._table.enter(pid)
        if group is None:
            group = pid.process = ThreadGroup(pid, None, None)
        task = pid.task = Task(pid, group, unescape_status_name(row.status.name))
        task.start_ticks = row.start_ticks
        group.threads[task] = None
        return task

    def _add_leader(self, row: TaskReading) -> None:
        self._unset.append((self._add_task(row).group, row))

    def _link(self, group: ThreadGroup, row: TaskReading) -> None:
        group.pgid = self._find(row, PidType.PGID, row.status.ns_pgid)
        group.sid = self._find(row, PidType.SID, row.status.ns_sid)
        if group.pgid is not None:
            group.pgid.groups[group] = None
        if group.sid is not None:
            group.sid.sessions[group] = None

    def _find(self, row: TaskReading, pid_type: PidType, numbers: tuple[int, ...]) -> Pid | None:
        nr = numbers[0]
        if nr in self._window.born or (row.number, pid_type) in self._window.changed:
            return None
        if nr == 0:
            return self._table.init_struct_pid
        known = self._table.root.pids.get(nr)
        if known is None or known.partial:
            return self._partial(row, numbers, known)
        return known

    def _partial(self, row: TaskReading, numbers: tuple[int, ...], known: Pid | None) -> Pid:
        """The struct pid of a group or session without a process, as far as ``row`` sees it."""
        inside = self._table.namespaces[self._inum(row)]
        visible = numbers[: numbers.index(0)] if 0 in numbers else numbers
        ns = inside.at(len(visible) - 1)
        assert ns is not None
        if known is None:
            known = Pid(visible, ns, self._table.generation, partial=True)
        elif len(visible) > len(known.numbers):
            known.numbers, known.ns = visible, ns
        if len(visible) < len(numbers) and row.number not in self._window.released:
            outside = inside.at(len(visible))
            assert outside is not None
            known.outside += (outside,)
        self._table.enter(known)
        return known


def _expect_whole(table: Table) -> None:
    for task in table.tasks():
        group = task.group
        if group.pgid is None or group.sid is None:
            raise IllegalEvent(f"task {task.pid!r} is in no group or session after the start")
    for ns in table.namespaces.values():
        if ns.parent is None and ns is not table.root:
            raise IllegalEvent(f"{ns!r} at level {ns.level} has no known parent after the start")
