"""A session's table as rows of the task iterator, from which a start makes the same table.

The recorder keeps them each minute: a replay that lacks a part goes on from the next ones. They
stand for one position of the stream, so the window of that start is empty. Pure.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pidscope.errors import RecordingError
from pidscope.events import Birth, PidNumbers, TaskSeen
from pidscope.snapshot import Snapshot
from pidscope.table.pid import Pid, Task
from pidscope.table.table import Table
from pidscope.wire.batch import decode_batch
from pidscope.wire.encode import encode

_HEAD = struct.Struct("<QII")  # the position, how many namespaces, zero
_PAIR = struct.Struct("<II")  # inum, and that of the parent


class TableRows(NamedTuple):
    """A table at one position of the stream."""

    position: int
    snapshot: Snapshot


def pack_table(table: Table, position: int) -> bytes | None:
    """Return the table as bytes; None: some of it is not known whole."""
    rows = [_row(task, table) for task in table.tasks()]
    whole = [encode(row) for row in rows if row is not None]
    if len(whole) < len(rows):
        return None
    spaces = [
        (ns.inum, ns.parent.inum) for ns in table.namespaces.values() if ns.parent is not None
    ]
    pairs = b"".join(_PAIR.pack(*it) for it in spaces)
    return b"".join((_HEAD.pack(position, len(spaces), 0), pairs, *whole))


def parse_table(data: memoryview) -> TableRows:
    """Return the same again; raises RecordingError, WireError."""
    if len(data) < _HEAD.size:
        raise RecordingError("a table that is cut off")
    position, count, _ = _HEAD.unpack_from(data)
    begin = _HEAD.size + count * _PAIR.size
    if begin > len(data):
        raise RecordingError("a table whose namespaces are cut off")
    parents = dict(_PAIR.iter_unpack(data[_HEAD.size : begin]))
    rows = decode_batch(bytes(data[begin:]))
    # Leaders before threads, outer namespaces before inner ones.
    rows.sort(key=lambda row: (row.tid != row.birth.tgid, len(row.pid.numbers)))
    return TableRows(position, Snapshot((), parents, tuple(rows)))


def _row(task: Task, table: Table) -> TaskSeen | None:
    """Return a task as the iterator shows one; None: a struct pid of it is not known whole."""
    group, pid = task.group, task.pid
    if pid is None or group.tgid is None or group.pgid is None or group.sid is None:
        return None
    start_ns, ticks = task.start_ns, task.start_ticks
    if start_ns is None and ticks is not None:
        start_ns = max(0, ticks * table.ns_per_tick - table.start_offset_ns)
    if start_ns is None or any(it.partial for it in (pid, group.tgid, group.pgid, group.sid)):
        return None
    parent = group.parent
    ppid = 0 if parent is None or parent.tgid is None else parent.tgid.nr
    outer = 0 if pid.ns.parent is None else pid.ns.parent.inum
    links = _numbers(group.pgid), _numbers(group.sid)
    birth = Birth(group.tgid.nr, ppid, start_ns, task.comm, outer, *links)
    return TaskSeen(0, pid.nr, pid.nr, _numbers(pid), birth)


def _numbers(pid: Pid) -> PidNumbers:
    return PidNumbers(pid.numbers, pid.ns.inum)
