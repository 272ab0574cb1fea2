"""The start: a table that is exact from one position of the stream on, without stopping anything.

All hooks are attached, then p0 is the ring's position, then a fence, then every task is read while
events stream in, then b is the position. Call the events in (p0, b] the window. What was read is
not one moment's state, but each thing in it was read after everything up to p0 had happened and
before b. So for each fact of a task:

- no event of the window touches it: it was the same all the time, and was read right;
- an event touches it: the event carries the new value whole, so replaying the window sets it,
  whatever was read. Facts that an event will set are left unset here, so that nothing torn or
  already outdated is ever taken for a link.

Hence: rows born in the window are dropped (the birth carries all); removals of unknown rows are
ignored (released before they were read); a link to a struct pid born in the window, or one whose
change is in the window, waits for its event; and of an exchange only the start times are taken,
since rows are struct pids and stay where they are. After the replay nothing may be left unset.

Tasks are read in two ways, which may be mixed in one start: by the task iterator, or in /proc.
`pidscope.session.read_tasks` reads each process whole in one of them.

The iterator (kernel/bpf/task_iter.c) finds the next number that has a struct pid, then its task,
and runs the program on it, without a lock. So each of its rows is as torn as a file of /proc, and
no more: the argument above is the same. The program leaves out a task that has a pointer cleared:
it was released, and its event is in the window. It holds no place in a list that could be lost, so
no task is left out because another one ended. In an exchange the row may be of two struct pids.

Of a link the iterator shows the whole struct pid, dead leaders' too. In a file of /proc a struct
pid that lives only as a group or a session is known from its members' lines, as far inwards as
they reach, and marked partial. Where a member's line has a 0, it has no number in that namespace.
By the iterator it stays partial in one case: deeper than level 1, in a namespace that no task is
in any more, so that nothing shows its parents.

Two things cannot be mended by replaying, and are the caller's. A process that lost a thread while
its threads were listed in /proc has to be listed again (`cut_short`), since the kernel's listing
ends early when the thread it stands at is released (``next_tid()``, fs/proc/base.c). And a process
that did an exchange has to be read again (`to_read_again`), since NSpid, or the row, may be of two
struct pids; in /proc, because the iterator cannot be run on one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pidscope.errors import HostError, IllegalEvent
from pidscope.events import Event, PidAttached, PidDetached, PidNumbers, PidType, TidsExchanged
from pidscope.snapshot import Snapshot
from pidscope.table.carry_over import carry_over
from pidscope.table.pid import Namespace, Pid, ThreadGroup
from pidscope.table.snapshot_rows import Link, Row, parents, rows
from pidscope.table.table import Table


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

    A fence has to stand before the listing, for releases reported before but not done yet.
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
    start_offset_ns: int = 0,
) -> Table:
    """The table as it stands at the end of the window.

    Args:
        snapshot: what was read between the two ends of the window.
        window: every event in (p0, b], in order.
        root: inum of the initial PID namespace.
        ns_per_tick: 1e9 / USER_HZ.
        before: the suspect table, if this is a repair.
        start_offset_ns: what /proc adds to each start time (`pidscope.host.ticks`).

    Raises:
        IllegalEvent: snapshot and events contradict each other, so events are missing.
        HostError: the namespace of a task that is alive could not be read.
    """
    table = Table(root, ns_per_tick, before, start_offset_ns)
    _Base(table, snapshot, _Window.of(window), before).build()
    table.replay = True
    for event in window:
        table.apply(event)
    table.replay = False
    _expect_whole(table)
    return table


class _Base:
    """The table as the snapshot gives it, less what the window's events will set."""

    def __init__(
        self, table: Table, snapshot: Snapshot, window: _Window, before: Table | None
    ) -> None:
        self._table = table
        self._window = window
        self._rows = list(rows(snapshot, window.born, table.root.inum))
        self._parents = parents(snapshot, window.born)
        self._carried = carry_over(before, self._rows)
        self._unset: list[tuple[ThreadGroup, Row]] = []

    def build(self) -> None:
        for row in self._rows:
            if row.leads:
                self._add_leader(row)
        for row in self._rows:
            leader = self._table.task(row.tgid)
            if not row.leads and leader is not None:
                self._add_task(row, leader.group)
        for group, row in self._unset:
            self._link(group, row)

    def _namespace(self, inum: int, level: int) -> Namespace | None:
        """The namespace; None: its parents are not known, as if all in it were released."""
        ns = self._table.namespaces.get(inum)
        if ns is not None or level == 0:
            return ns if ns is not None and ns.level == level else None
        outer = self._parents.get(inum) if level > 1 else self._table.root.inum
        parent = self._namespace(outer, level - 1) if outer else None
        if parent is None:
            return None
        return self._table.add_namespace(inum, parent, level, self._carried.ordinals.get(inum))

    def _generation(self, nr: int) -> int:
        return self._carried.generations.get(nr, self._table.generation)

    def _add_leader(self, row: Row) -> None:
        group = self._add_task(row, None)
        if group is not None:
            self._unset.append((group, row))

    def _add_task(self, row: Row, group: ThreadGroup | None) -> ThreadGroup | None:
        ns = self._namespace(row.ns, len(row.numbers) - 1)
        if ns is None:
            if row.nr in self._window.released:
                return None
            raise HostError(
                f"cannot tell whose child pid:[{row.ns}] is, the namespace of task {row.nr}",
                "run pidscope in the initial PID namespace",
            )
        pid = Pid(row.numbers, ns, self._generation(row.nr))
        self._table.enter(pid)
        if group is None:
            group = self._table.add_process(pid, (None, None), None, 0)
        self._table.add_task(pid, group, row.start_ns, row.comm).start_ticks = row.start_ticks
        return group

    def _link(self, group: ThreadGroup, row: Row) -> None:
        pgid = self._find(row, PidType.PGID, row.pgid)
        group.attach(pgid, self._find(row, PidType.SID, row.sid))

    def _find(self, row: Row, pid_type: PidType, link: Link) -> Pid | None:
        nr = link.nr if isinstance(link, PidNumbers) else link[0]
        if nr in self._window.born or (row.nr, pid_type) in self._window.changed:
            return None
        if nr == 0:
            return self._table.init_struct_pid
        known = self._table.root.pids.get(nr)
        if known is None or known.partial:
            known = self._held(row, link, known)
            known.generation = self._generation(nr)
        return known

    def _held(self, row: Row, link: Link, known: Pid | None) -> Pid:
        """The struct pid of a group or session without a process."""
        if isinstance(link, PidNumbers):
            self._namespace(link.ns, link.level)
            return self._table.resolve(link)
        return self._partial(row, link, known)

    def _partial(self, row: Row, numbers: tuple[int, ...], known: Pid | None) -> Pid:
        """The same, as far as a member's lines of /proc reach."""
        inside = self._table.namespaces[row.ns]
        visible = numbers[: numbers.index(0)] if 0 in numbers else numbers
        ns = inside.at(len(visible) - 1)
        assert ns is not None
        if known is None:
            known = Pid(visible, ns, self._table.generation, partial=True)
        elif len(visible) > len(known.numbers):
            known.numbers, known.ns = visible, ns
        if len(visible) < len(numbers) and row.nr not in self._window.released:
            outside = inside.at(len(visible))
            assert outside is not None
            known.outside = (*(known.outside or ()), outside)
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
