"""Identity across a gap in the stream: which struct pids of the table before are still there.

A number alone proves nothing, because it may have been given out again in the gap. Together with
the start of its task in nanoseconds it does. Without an exchange a task's start is the moment at
which its struct pid was born: two struct pids of one number are born one after the other, with a
release in between, so their starts differ. An exchange (``de_thread()``, fs/exec.c) gives the
exec'ing thread the leader's start first and the leader's struct pid then, so

- under a process's own number the start stays that of the struct pid's birth;
- under a thread's number it may be the leader's start, at which no struct pid of that number was
  born: a thread that started with its leader is taken for a new one.

What is not proved is new: a row without a start in nanoseconds (/proc gives ticks), and a struct
pid without a task. Of the latter one can be proved. A process is in the session it was born in
until it makes its own (``ksys_setsid()``, kernel/sys.c), whose struct pid is its own: so a process
that is still there, and still in a session that has another number than its own, is in the same
one. (A group it may have left, and joined another of the same number.)

A struct pid never changes its namespaces and keeps them: where one is still there, they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pidscope.events import PidNumbers
from pidscope.table.pid import Namespace, Pid
from pidscope.table.snapshot_rows import Row
from pidscope.table.table import Table


class CarriedOver(NamedTuple):
    """The identities that go on."""

    generations: dict[int, int]  # by number in the initial namespace
    ordinals: dict[int, int]  # by inum


def carry_over(before: Table | None, rows: Iterable[Row]) -> CarriedOver:
    """Find in ``rows`` what the table before had already."""
    kept: dict[int, Pid] = {}
    if before is not None:
        known = {row.nr: row for row in rows}
        for row in known.values():
            old = before.root.pids.get(row.nr)
            if old is not None and _is(row, old) and not _touched(row, known.get(row.tgid)):
                kept[row.nr] = old
                session = _session(row, old)
                if session is not None:
                    kept[session.nr] = session
    return CarriedOver(
        {nr: pid.generation for nr, pid in kept.items()},
        {ns.inum: ns.ordinal for pid in kept.values() for ns in _outwards(pid.ns)},
    )


def _is(row: Row, old: Pid) -> bool:
    return (
        old.task is not None
        and row.start_ns is not None
        and (row.start_ns, row.numbers, row.ns) == (old.task.start_ns, old.numbers, old.ns.inum)
    )


def _touched(row: Row, leader: Row | None) -> bool:
    """Whether it may be, or have been, in the middle of an exchange as the thread."""
    return not row.leads and (leader is None or leader.start_ns == row.start_ns)


def _session(row: Row, old: Pid) -> Pid | None:
    """The session of a process that is still there, if it is proved to be the same."""
    sid = old.process.sid if row.leads and old.process is not None else None
    if sid is None or not isinstance(row.sid, PidNumbers):
        return None
    return sid if sid.nr == row.sid.nr and sid.nr not in (0, row.nr) else None


def _outwards(ns: Namespace | None) -> Iterable[Namespace]:
    while ns is not None:
        yield ns
        ns = ns.parent
