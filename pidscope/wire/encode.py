"""Events as the records that a kernel would write of them: what the simulated hooks send."""

from __future__ import annotations

import operator
import struct
from typing import Any, Callable

from pidscope import events
from pidscope.errors import WireError
from pidscope.wire.decode import to_pid_type
from pidscope.wire.layout import BIRTH_LEVELS, COMM_LEN, NR_LEVELS, PID_LEVELS, STRUCTS, RecordType


def _pack(
    record_type: RecordType,
    lost: int,
    event: Any,
    tid: int,
    *values: Any,
    levels: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    return STRUCTS[record_type].pack(
        record_type, *levels, lost, event.ts_ns, event.by, tid, *values
    )


def _padded(pid: events.PidNumbers, width: int) -> tuple[int, ...]:
    return pid.numbers + (0,) * (width - len(pid.numbers))


def _name(comm: bytes) -> bytes:
    """Refuse what would come back cut."""
    if len(comm) > COMM_LEN or b"\0" in comm:
        raise WireError(f"{comm!r} is no comm")
    return comm


def _pack_born(
    flat: RecordType,
    event: events.PidAttached | events.TaskSeen,
    birth: events.Birth,
    lost: int,
) -> bytes:
    pid, pgid, sid = event.pid, birth.pgid, birth.sid
    levels = (len(pid.numbers) - 1, len(pgid.numbers) - 1, len(sid.numbers) - 1)
    record_type, width = flat, BIRTH_LEVELS
    if max(levels) >= BIRTH_LEVELS:
        record_type, width = _DEEP[flat], NR_LEVELS
    return _pack(
        record_type,
        lost,
        event,
        event.tid,
        *(birth.start_ns, birth.tgid, birth.ppid, _name(birth.comm)),
        *(pid.ns, birth.ns_parent, pgid.ns, sid.ns),
        *_padded(pid, width),
        *_padded(pgid, width),
        *_padded(sid, width),
        levels=levels,
    )


def _pack_attached(e: events.PidAttached, lost: int) -> bytes:
    if e.birth is not None:
        if e.pid_type is not events.PidType.PID:
            raise WireError(f"a birth is of type PID, not {e.pid_type!r}")
        return _pack_born(RecordType.BIRTH, e, e.birth, lost)
    return _pack_one(RecordType.CHANGED, lost, e, e.tid, e.pid, to_pid_type(e.pid_type))


def _pack_one(
    flat: RecordType, lost: int, event: Any, tid: int, pid: events.PidNumbers, pid_type: int = 0
) -> bytes:
    level = len(pid.numbers) - 1
    record_type, width = flat, PID_LEVELS
    if level >= PID_LEVELS:
        record_type, width = _DEEP[flat], NR_LEVELS
    numbers = _padded(pid, width)
    return _pack(record_type, lost, event, tid, pid.ns, pid_type, *numbers, levels=(level, 0, 0))


def _pack_unborn(record_type: RecordType) -> Callable[[Any, int], bytes]:
    """Of a struct pid that is no task's: the head names it by its first number."""
    return lambda e, lost: _pack_one(record_type, lost, e, e.pid.numbers[0], e.pid)


def _pack_flat(record_type: RecordType, *fields: str) -> Callable[[Any, int], bytes]:
    """Of an event whose fields stand in the record as they are."""
    values = operator.attrgetter("tid", *fields)
    return lambda e, lost: _pack(record_type, lost, e, *values(e))


def _pack_ns(record_type: RecordType) -> Callable[[Any, int], bytes]:
    return lambda e, lost: _pack(record_type, lost, e, 0, e.ns, e.parent, levels=(e.level, 0, 0))


def _pack_transferred(e: events.PidTransferred, lost: int) -> bytes:
    return _pack(RecordType.TRANSFERRED, lost, e, e.tid, e.old, to_pid_type(e.pid_type))


_DEEP = {
    RecordType.BIRTH: RecordType.BIRTH_DEEP,
    RecordType.SEEN: RecordType.SEEN_DEEP,
    RecordType.EXECUTED_AS: RecordType.EXECUTED_AS_DEEP,
    RecordType.CHANGED: RecordType.CHANGED_DEEP,
    RecordType.ALLOCATED: RecordType.ALLOCATED_DEEP,
    RecordType.FREED: RecordType.FREED_DEEP,
}


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    events.PidAttached: _pack_attached,
    events.PidDetached: _pack_flat(RecordType.RELEASED, "tgid", "exit_code"),
    events.TidsExchanged: _pack_flat(RecordType.EXCHANGED, "leader", "start_ns", "leader_start_ns"),
    events.PidTransferred: _pack_transferred,
    events.PidAllocated: _pack_unborn(RecordType.ALLOCATED),
    events.PidFreed: _pack_unborn(RecordType.FREED),
    events.TaskCreated: lambda e, lost: _pack(RecordType.CREATED, lost, e, *e[2:], 0),
    events.ForkFailed: lambda e, lost: _pack(RecordType.FORK_FAILED, lost, e, 0, *e[3:], e.errno),
    events.NamespaceCreated: _pack_ns(RecordType.NS_CREATED),
    events.NamespaceDying: _pack_ns(RecordType.NS_DYING),
    events.TaskExecuted: lambda e, lost: _pack(
        RecordType.EXECUTED, lost, e, e.tid, e.old_tid, _name(e.comm)
    ),
    events.TaskRenamed: lambda e, lost: _pack(RecordType.RENAMED, lost, e, e.tid, 0, _name(e.comm)),
    events.TaskExited: _pack_flat(RecordType.EXITED, "tgid", "exit_code"),
    events.TaskMoved: _pack_flat(RecordType.MOVED, "cgroup_id"),
    events.TaskSeen: lambda e, lost: _pack_born(RecordType.SEEN, e, e.birth, lost),
    events.TaskFreed: _pack_flat(RecordType.TASK_FREED, "tgid", "start_ns"),
    events.PidRefused: lambda e, lost: _pack(RecordType.REFUSED, lost, e, 0, e.errno),
}


def _pack_executed_as(event: events.TaskExecuted, then: events.TaskSeen, lost: int) -> bytes:
    birth = then.birth
    common = (event.ts_ns, event.by, event.tid, event.tid, event.comm)
    if common != (then.ts_ns, then.by, then.tid, birth.tgid, birth.comm):
        raise WireError(f"{then} is not {event.tid} at its exec")
    return _pack_born(RecordType.EXECUTED_AS, then, birth._replace(tgid=event.old_tid), lost)


def encode(event: events.Event, lost: int = 0, then: events.TaskSeen | None = None) -> bytes:
    """The one record that `decode` makes this event of; ``lost`` is taken modulo 2**32.

    ``then`` is the task as it is after an exec, as tracepoint mode reports it with the exec.

    Raises:
        WireError: no record reports such an event, or a value of it does not fit.
    """
    encoder = _ENCODERS.get(type(event))
    if encoder is None or (then is not None and not isinstance(event, events.TaskExecuted)):
        raise WireError(f"{type(event).__name__} has no record")
    try:
        if then is not None and isinstance(event, events.TaskExecuted):
            return _pack_executed_as(event, then, lost & 0xFFFFFFFF)
        return encoder(event, lost & 0xFFFFFFFF)
    except (struct.error, IndexError) as error:
        raise WireError(f"{event} does not fit a record: {error}") from error
