"""The record decoder: what it makes of bytes goes back to the same bytes."""

from __future__ import annotations

from pidscope.errors import WireError
from pidscope.events import PidAllocated, PidFreed, PidType, TaskSeen
from pidscope.wire.batch import decode_batch
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from pidscope.wire.layout import COMM_LEN, LAYOUTS, RecordType
from pidscope_dev.fuzz.target import Target

_STRUCTS = {int(record_type): layout.compile() for record_type, layout in LAYOUTS.items()}
_TID = slice(20, 24)  # of the head; with a struct pid that is no task's, its first number again


def check(data: bytes) -> bool:
    """Decode, and encode again: the same record, its unused bytes zeroed, or a smaller one."""
    try:
        record = decode(data)
    except WireError:
        return False
    lost, event, then = record
    assert isinstance(getattr(event, "pid_type", PidType.PID), PidType)
    assert then is None or isinstance(then, TaskSeen)
    again = encode(event, lost, then)
    assert decode(again) == record, "another event after one more turn"
    assert decode(memoryview(data)) == record, "another event from a view"
    if isinstance(event, TaskSeen):
        assert decode_batch(data + again) == [event] * 2, "others in a row"
    assert len(again) <= len(data), "a larger record"
    if again[0] == data[0]:
        same = bytearray(again)
        if isinstance(event, (PidAllocated, PidFreed)):
            same[_TID] = data[_TID]
        zeroed = all(byte in (before, 0) for byte, before in zip(same, data))
        assert zeroed, "other bytes than were read"
    return True


def repair(data: bytes) -> bytes:
    """Give the record the size of its type."""
    layout = _STRUCTS.get(data[0] if data else 0)
    return data if layout is None else data[: layout.size].ljust(layout.size, b"\0")


def _record(record_type: RecordType) -> bytes:
    """One of this type, every field of which has its own value."""
    level = 32 if record_type.name.endswith("_DEEP") else 1
    known = {"type": record_type, "level": level, "pgid_level": 1, "sid_level": 0, "pid_type": 3}
    values: list[int | bytes] = []
    for path, code in LAYOUTS[record_type].fields:
        name = path.rpartition(".")[2]
        if code == f"{COMM_LEN}s":
            values.append(b"nginx: worker")
        elif not code.endswith("x"):
            values += [known.get(name, 40 + len(values)) for _ in range(int(code[:-1] or 1))]
    return _STRUCTS[record_type].pack(*values)


WIRE = Target(
    "wire",
    check,
    seeds=tuple(map(_record, RecordType)),
    words=(b"\0", bytes(64)),
    repair=repair,
    max_bytes=640,
)
