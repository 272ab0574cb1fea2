"""The record's bytes, as bpf/record.h describes them: pure, both ways.

The C header is the source of truth. `LAYOUTS` repeats it field by field, and a test compares
the two. All fields are naturally aligned, in the machine's byte order, so one ``struct`` format a
record decodes it whole.
"""

from __future__ import annotations

import enum
import operator
import struct
from typing import Any, Callable, NamedTuple

from pidscope.errors import WireError
from pidscope.event import (
    Birth,
    Event,
    ForkFailed,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidNumbers,
    PidRefused,
    PidTransferred,
    PidType,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskFreed,
    TaskMoved,
    TaskRenamed,
    TaskSeen,
    TidsExchanged,
)

NR_LEVELS = 33
BIRTH_LEVELS = 4
PID_LEVELS = 6
COMM_LEN = 16


class RecordType(enum.IntEnum):
    """``enum record_type``."""

    BIRTH = 1
    BIRTH_DEEP = 2
    CHANGED = 3
    CHANGED_DEEP = 4
    RELEASED = 5
    EXCHANGED = 6
    TRANSFERRED = 7
    ALLOCATED = 8
    ALLOCATED_DEEP = 9
    FREED = 10
    FREED_DEEP = 11
    CREATED = 12
    FORK_FAILED = 13
    NS_CREATED = 14
    NS_DYING = 15
    EXECUTED = 16
    RENAMED = 17
    EXITED = 18
    MOVED = 19
    SEEN = 20
    SEEN_DEEP = 21
    TASK_FREED = 22
    REFUSED = 23


class Layout(NamedTuple):
    """A C struct: its name, and each field's path and ``struct`` format."""

    struct_name: str
    fields: tuple[tuple[str, str], ...]

    def compile(self) -> struct.Struct:
        """The format of the whole record; ``=`` since the header leaves no padding to guess."""
        return struct.Struct("=" + "".join(code for _, code in self.fields))


def _head(path: str) -> tuple[tuple[str, str], ...]:
    names = ("type", "level", "pgid_level", "sid_level", "lost", "ts_ns", "by", "tid")
    return tuple((f"{path}.{name}", code) for name, code in zip(names, "BBBBIQII"))


def _birth(struct_name: str, levels: int, pad: tuple[tuple[str, str], ...]) -> Layout:
    return Layout(
        struct_name,
        (
            *_head("birth.head"),
            ("birth.start_ns", "Q"),
            ("birth.tgid", "I"),
            ("birth.ppid", "I"),
            ("birth.comm", f"{COMM_LEN}s"),
            ("ns.ns", "I"),
            ("ns.ns_parent", "I"),
            ("ns.pgid_ns", "I"),
            ("ns.sid_ns", "I"),
            ("pid", f"{levels}I"),
            ("pgid", f"{levels}I"),
            ("sid", f"{levels}I"),
            *pad,
        ),
    )


def _of(struct_name: str, *fields: tuple[str, str]) -> Layout:
    return Layout(struct_name, _head("head") + fields)


_BIRTH = _birth("birth", BIRTH_LEVELS, ())
_BIRTH_DEEP = _birth("birth_deep", NR_LEVELS, (("pad", "36x"),))
_NS_AND_TYPE = (("ns", "I"), ("pid_type", "I"))
_ONE = _of("one_pid", *_NS_AND_TYPE, ("nr", f"{PID_LEVELS}I"))
_ONE_DEEP = _of("one_pid_deep", *_NS_AND_TYPE, ("nr", f"{NR_LEVELS}I"), ("pad", "20x"))
_RELEASED = _of("released", ("tgid", "I"), ("exit_code", "I"), ("pad", "24x"))
_CREATED = _of(
    "created",
    ("flags", "Q"),
    ("cgroup_id", "Q"),
    ("children_ns", "I"),
    ("error", "I"),
    ("pad", "8x"),
)
_NS = _of("ns_event", ("ns", "I"), ("ns_parent", "I"), ("pad", "24x"))
_NAMED = _of("named", ("old_tid", "I"), ("comm", f"{COMM_LEN}s"), ("pad", "12x"))

LAYOUTS: dict[RecordType, Layout] = {
    RecordType.BIRTH: _BIRTH,
    RecordType.BIRTH_DEEP: _BIRTH_DEEP,
    RecordType.CHANGED: _ONE,
    RecordType.CHANGED_DEEP: _ONE_DEEP,
    RecordType.RELEASED: _RELEASED,
    RecordType.EXCHANGED: _of(
        "exchanged",
        ("leader", "I"),
        ("pad", "4x"),
        ("start_ns", "Q"),
        ("leader_start_ns", "Q"),
        ("pad2", "8x"),
    ),
    RecordType.TRANSFERRED: _of("transferred", ("old", "I"), ("pid_type", "I"), ("pad", "24x")),
    RecordType.ALLOCATED: _ONE,
    RecordType.ALLOCATED_DEEP: _ONE_DEEP,
    RecordType.FREED: _ONE,
    RecordType.FREED_DEEP: _ONE_DEEP,
    RecordType.CREATED: _CREATED,
    RecordType.FORK_FAILED: _CREATED,
    RecordType.NS_CREATED: _NS,
    RecordType.NS_DYING: _NS,
    RecordType.EXECUTED: _NAMED,
    RecordType.RENAMED: _NAMED,
    RecordType.EXITED: _RELEASED,
    RecordType.MOVED: _of("moved", ("cgroup_id", "Q"), ("pad", "24x")),
    RecordType.SEEN: _BIRTH,
    RecordType.SEEN_DEEP: _BIRTH_DEEP,
    RecordType.TASK_FREED: _of(
        "task_freed", ("tgid", "I"), ("pad", "4x"), ("start_ns", "Q"), ("pad2", "16x")
    ),
    RecordType.REFUSED: _of("refused", ("error", "I"), ("pad", "28x")),
}


class Record(NamedTuple):
    """One decoded record: what happened, and how many records had been lost before it."""

    lost: int  # modulo 2**32
    event: Event


# A NamedTuple from a tuple of its fields: its own constructor takes three times as long.
_new = tuple.__new__

# Unpacked values stand in the order of the layout: the head is the first eight.
_LEVEL, _PGID_LEVEL, _SID_LEVEL, _LOST, _TS, _BY, _TID = range(1, 8)
_Values = tuple[Any, ...]


def _numbers(values: _Values, start: int, level: int, width: int, ns: int) -> PidNumbers:
    if level >= width:
        raise WireError(f"level {level} in a record with room for {width}")
    return _new(PidNumbers, (values[start : start + level + 1], ns))


def _comm(raw: bytes) -> bytes:
    return raw.partition(b"\0")[0]


def _born(v: _Values) -> tuple[PidNumbers, Birth]:
    start_ns, tgid, ppid, comm, ns, ns_parent, pgid_ns, sid_ns = v[8:16]
    width = (len(v) - 16) // 3
    birth = _new(
        Birth,
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


def _decode_birth(v: _Values) -> Event:
    return PidAttached(v[_TS], v[_BY], v[_TID], PidType.PID, *_born(v))


def _decode_seen(v: _Values) -> Event:
    return _new(TaskSeen, (v[_TS], v[_BY], v[_TID], *_born(v)))


def _pid_type(value: int) -> PidType:
    try:
        return PidType(value)
    except ValueError:
        raise WireError(f"{value} is no enum pid_type") from None


def _one_pid(v: _Values) -> PidNumbers:
    return _numbers(v, 10, v[_LEVEL], len(v) - 10, v[8])


_DECODE: dict[RecordType, Callable[[_Values], Event]] = {
    RecordType.BIRTH: _decode_birth,
    RecordType.BIRTH_DEEP: _decode_birth,
    RecordType.CHANGED: lambda v: PidAttached(
        v[_TS], v[_BY], v[_TID], _pid_type(v[9]), _one_pid(v)
    ),
    RecordType.RELEASED: lambda v: PidDetached(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.EXCHANGED: lambda v: TidsExchanged(v[_TS], v[_BY], v[_TID], v[8], v[9], v[10]),
    RecordType.TRANSFERRED: lambda v: PidTransferred(
        v[_TS], v[_BY], v[_TID], v[8], _pid_type(v[9])
    ),
    RecordType.ALLOCATED: lambda v: PidAllocated(v[_TS], v[_BY], _one_pid(v)),
    RecordType.FREED: lambda v: PidFreed(v[_TS], v[_BY], _one_pid(v)),
    RecordType.CREATED: lambda v: TaskCreated(v[_TS], v[_BY], v[_TID], v[8], v[9], v[10]),
    RecordType.FORK_FAILED: lambda v: ForkFailed(v[_TS], v[_BY], v[11], v[8], v[9], v[10]),
    RecordType.NS_CREATED: lambda v: NamespaceCreated(v[_TS], v[_BY], v[8], v[9], v[_LEVEL]),
    RecordType.NS_DYING: lambda v: NamespaceDying(v[_TS], v[_BY], v[8], v[9], v[_LEVEL]),
    RecordType.EXECUTED: lambda v: TaskExecuted(v[_TS], v[_BY], v[_TID], v[8], _comm(v[9])),
    RecordType.RENAMED: lambda v: TaskRenamed(v[_TS], v[_BY], v[_TID], _comm(v[9])),
    RecordType.EXITED: lambda v: TaskExited(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.MOVED: lambda v: TaskMoved(v[_TS], v[_BY], v[_TID], v[8]),
    RecordType.SEEN: _decode_seen,
    RecordType.SEEN_DEEP: _decode_seen,
    RecordType.TASK_FREED: lambda v: TaskFreed(v[_TS], v[_BY], v[_TID], v[8], v[9]),
    RecordType.REFUSED: lambda v: PidRefused(v[_TS], v[_BY], v[8]),
}
_DECODE[RecordType.CHANGED_DEEP] = _DECODE[RecordType.CHANGED]
_DECODE[RecordType.ALLOCATED_DEEP] = _DECODE[RecordType.ALLOCATED]
_DECODE[RecordType.FREED_DEEP] = _DECODE[RecordType.FREED]

_STRUCTS = {int(record_type): layout.compile() for record_type, layout in LAYOUTS.items()}
_DECODERS = {int(record_type): _DECODE[record_type] for record_type in LAYOUTS}


def decode(data: bytes | memoryview) -> Record:
    """Decode one record as it lies in the ring, without the ring's own header.

    Raises:
        WireError: the type is unknown, the size is not its type's, or a level or a type inside
            is out of range. Anything else is a bug.
    """
    record_type = data[0] if len(data) else 0
    layout = _STRUCTS.get(record_type)
    if layout is None:
        raise WireError(f"unknown record type {record_type}, {len(data)} bytes")
    if layout.size != len(data):
        raise WireError(f"record type {record_type} has {layout.size} bytes, not {len(data)}")
    values = layout.unpack(data)
    return Record(values[_LOST], _DECODERS[record_type](values))


# One packer an event, as there is one decoder a record: a simulated kernel waits for each.


def _pack(
    record_type: RecordType,
    lost: int,
    event: Any,
    tid: int,
    *values: Any,
    levels: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    return _PACK[record_type](record_type, *levels, lost, event.ts_ns, event.by, tid, *values)


def _padded(pid: PidNumbers, width: int) -> tuple[int, ...]:
    return pid.numbers + (0,) * (width - len(pid.numbers))


def _name(comm: bytes) -> bytes:
    """Refuse what would come back cut."""
    if len(comm) > COMM_LEN or b"\0" in comm:
        raise WireError(f"{comm!r} is no comm")
    return comm


def _pack_born(flat: RecordType, event: PidAttached | TaskSeen, birth: Birth, lost: int) -> bytes:
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


def _pack_attached(e: PidAttached, lost: int) -> bytes:
    if e.birth is not None:
        if e.pid_type is not PidType.PID:
            raise WireError(f"a birth is of type PID, not {e.pid_type!r}")
        return _pack_born(RecordType.BIRTH, e, e.birth, lost)
    return _pack_one(RecordType.CHANGED, lost, e, e.tid, e.pid, _pid_type(e.pid_type))


def _pack_one(
    flat: RecordType, lost: int, event: Any, tid: int, pid: PidNumbers, pid_type: int = 0
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


def _pack_transferred(e: PidTransferred, lost: int) -> bytes:
    return _pack(RecordType.TRANSFERRED, lost, e, e.tid, e.old, _pid_type(e.pid_type))


_DEEP = {
    RecordType.BIRTH: RecordType.BIRTH_DEEP,
    RecordType.SEEN: RecordType.SEEN_DEEP,
    RecordType.CHANGED: RecordType.CHANGED_DEEP,
    RecordType.ALLOCATED: RecordType.ALLOCATED_DEEP,
    RecordType.FREED: RecordType.FREED_DEEP,
}
_PACK = {record_type: layout.compile().pack for record_type, layout in LAYOUTS.items()}
_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    PidAttached: _pack_attached,
    PidDetached: _pack_flat(RecordType.RELEASED, "tgid", "exit_code"),
    TidsExchanged: _pack_flat(RecordType.EXCHANGED, "leader", "start_ns", "leader_start_ns"),
    PidTransferred: _pack_transferred,
    PidAllocated: _pack_unborn(RecordType.ALLOCATED),
    PidFreed: _pack_unborn(RecordType.FREED),
    TaskCreated: lambda e, lost: _pack(RecordType.CREATED, lost, e, *e[2:], 0),
    ForkFailed: lambda e, lost: _pack(RecordType.FORK_FAILED, lost, e, 0, *e[3:], e.errno),
    NamespaceCreated: _pack_ns(RecordType.NS_CREATED),
    NamespaceDying: _pack_ns(RecordType.NS_DYING),
    TaskExecuted: lambda e, lost: _pack(
        RecordType.EXECUTED, lost, e, e.tid, e.old_tid, _name(e.comm)
    ),
    TaskRenamed: lambda e, lost: _pack(RecordType.RENAMED, lost, e, e.tid, 0, _name(e.comm)),
    TaskExited: _pack_flat(RecordType.EXITED, "tgid", "exit_code"),
    TaskMoved: _pack_flat(RecordType.MOVED, "cgroup_id"),
    TaskSeen: lambda e, lost: _pack_born(RecordType.SEEN, e, e.birth, lost),
    TaskFreed: _pack_flat(RecordType.TASK_FREED, "tgid", "start_ns"),
    PidRefused: lambda e, lost: _pack(RecordType.REFUSED, lost, e, 0, e.errno),
}


def encode(event: Event, lost: int = 0) -> bytes:
    """The one record that `decode` makes this event of; ``lost`` is taken modulo 2**32.

    Raises:
        WireError: no record tells of such an event, or a value of it does not fit.
    """
    encoder = _ENCODERS.get(type(event))
    if encoder is None:
        raise WireError(f"{type(event).__name__} has no record")
    try:
        return encoder(event, lost & 0xFFFFFFFF)
    except (struct.error, IndexError) as error:
        raise WireError(f"{event} does not fit a record: {error}") from error
