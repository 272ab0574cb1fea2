"""One record's bytes, by the layout of its type, as what the kernel reported: one event or two."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from pidscope import events
from pidscope.errors import WireError
from pidscope.wire.layout import STRUCTS, RecordType


class Record(NamedTuple):
    """One decoded record: what happened, and how many records had been lost before it."""

    lost: int  # modulo 2**32
    event: events.Event
    then: events.Event | None = None  # of the same moment: the task as it is after an exec


# A NamedTuple from a tuple of its fields: its own constructor takes three times as long.
_new = tuple.__new__

# Unpacked values stand in the order of the layout: the head is the first eight.
_LEVEL, _PGID_LEVEL, _SID_LEVEL, _LOST, _TS, _BY, _TID = range(1, 8)
_Values = tuple[Any, ...]


def _numbers(values: _Values, start: int, level: int, width: int, ns: int) -> events.PidNumbers:
    if level >= width:
        raise WireError(f"level {level} in a record with room for {width}")
    return _new(events.PidNumbers, (values[start : start + level + 1], ns))


def _comm(raw: bytes) -> bytes:
    return raw.partition(b"\0")[0]


def _born(v: _Values) -> tuple[events.PidNumbers, events.Birth]:
    start_ns, tgid, ppid, comm, ns, ns_parent, pgid_ns, sid_ns = v[8:16]
    width = (len(v) - 16) // 3
    birth = _new(
        events.Birth,
        (
            tgid,
            ppid,
            start_ns,
            _comm(comm),
            ns_parent,
            _numbers(v, 16 + width, v[_PGID_LEVEL], width, pgid_ns),
            _numbers(v, 16 + 2 * width, v[_SID_LEVEL], width, sid_ns),
        ),
    )
    return _numbers(v, 16, v[_LEVEL], width, ns), birth


def _decode_birth(v: _Values) -> events.Event:
    return events.PidAttached(v[_TS], v[_BY], v[_TID], events.PidType.PID, *_born(v))


def _decode_seen(v: _Values) -> events.TaskSeen:
    return _new(events.TaskSeen, (v[_TS], v[_BY], v[_TID], *_born(v)))


def _decode_executed_as(v: _Values) -> events.Event:
    """Where a birth has its thread group there is the number before."""
    return events.TaskExecuted(v[_TS], v[_BY], v[_TID], v[9], _comm(v[11]))


def _decode_as(v: _Values) -> events.Event:
    """The task of the same record, which leads its process."""
    seen = _decode_seen(v)
    return seen._replace(birth=seen.birth._replace(tgid=seen.tid))


def to_pid_type(value: int) -> events.PidType:
    """Return the ``enum pid_type`` of a record; raises WireError if there is none such."""
    try:
        return events.PidType(value)
    except ValueError:
        raise WireError(f"{value} is no enum pid_type") from None


def _one_pid(v: _Values) -> events.PidNumbers:
    return _numbers(v, 10, v[_LEVEL], len(v) - 10, v[8])


_DECODE: dict[RecordType, Callable[[_Values], events.Event]] = {
    RecordType.BIRTH: _decode_birth,
    RecordType.BIRTH_DEEP: _decode_birth,
    RecordType.CHANGED: lambda v: events.PidAttached(
        v[_TS], v[_BY], v[_TID], to_pid_type(v[9]), _one_pid(v)
    ),
    RecordType.RELEASED: lambda v: events.PidDetached(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.EXCHANGED: lambda v: events.TidsExchanged(
        v[_TS], v[_BY], v[_TID], v[8], v[9], v[10]
    ),
    RecordType.TRANSFERRED: lambda v: events.PidTransferred(
        v[_TS], v[_BY], v[_TID], v[8], to_pid_type(v[9])
    ),
    RecordType.ALLOCATED: lambda v: events.PidAllocated(v[_TS], v[_BY], _one_pid(v)),
    RecordType.FREED: lambda v: events.PidFreed(v[_TS], v[_BY], _one_pid(v)),
    RecordType.CREATED: lambda v: events.TaskCreated(v[_TS], v[_BY], v[_TID], v[8], v[9], v[10]),
    RecordType.FORK_FAILED: lambda v: events.ForkFailed(v[_TS], v[_BY], v[11], v[8], v[9], v[10]),
    RecordType.NS_CREATED: lambda v: events.NamespaceCreated(v[_TS], v[_BY], v[8], v[9], v[_LEVEL]),
    RecordType.NS_DYING: lambda v: events.NamespaceDying(v[_TS], v[_BY], v[8], v[9], v[_LEVEL]),
    RecordType.EXECUTED: lambda v: events.TaskExecuted(v[_TS], v[_BY], v[_TID], v[8], _comm(v[9])),
    RecordType.RENAMED: lambda v: events.TaskRenamed(v[_TS], v[_BY], v[_TID], _comm(v[9])),
    RecordType.EXITED: lambda v: events.TaskExited(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.MOVED: lambda v: events.TaskMoved(v[_TS], v[_BY], v[_TID], v[8]),
    RecordType.SEEN: _decode_seen,
    RecordType.SEEN_DEEP: _decode_seen,
    RecordType.TASK_FREED: lambda v: events.TaskFreed(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.REFUSED: lambda v: events.PidRefused(v[_TS], v[_BY], v[8]),
    RecordType.EXECUTED_AS: _decode_executed_as,
    RecordType.EXECUTED_AS_DEEP: _decode_executed_as,
}

_DECODE[RecordType.CHANGED_DEEP] = _DECODE[RecordType.CHANGED]
_DECODE[RecordType.ALLOCATED_DEEP] = _DECODE[RecordType.ALLOCATED]
_DECODE[RecordType.FREED_DEEP] = _DECODE[RecordType.FREED]

_DECODERS = {int(record_type): decoder for record_type, decoder in _DECODE.items()}
_OF_TWO = (RecordType.EXECUTED_AS, RecordType.EXECUTED_AS_DEEP)


def decode(data: bytes | memoryview) -> Record:
    """Decode one record as it lies in the ring, without the ring's own header.

    Raises:
        WireError: the type is unknown, the size is not its type's, or a level or a type inside
            is out of range. Anything else is a bug.
    """
    record_type = data[0] if len(data) else 0
    layout = STRUCTS.get(record_type)
    if layout is None:
        raise WireError(f"unknown record type {record_type}, {len(data)} bytes")
    if layout.size != len(data):
        raise WireError(f"record type {record_type} has {layout.size} bytes, not {len(data)}")
    values = layout.unpack(data)
    then = _decode_as(values) if record_type in _OF_TWO else None
    return Record(values[_LOST], _DECODERS[record_type](values), then)


# One packer an event, as there is one decoder a record: a simulated kernel waits for each.
