"""What the task iterator writes in one reading: a record of each task, one behind the other.

`pidscope.wire.decode.decode` knows each of them. Here they are unpacked in runs, because a reading
has thousands at once, and a start or a repair waits for them. Most tasks are in the group and
session of others, so these two are looked up by their bytes in the record.
"""

from __future__ import annotations

from pidscope.errors import WireError
from pidscope.events import Birth, PidNumbers, TaskSeen
from pidscope.wire.decode import decode
from pidscope.wire.layout import BIRTH_LEVELS, LAYOUTS, STRUCTS, RecordType

# A record's bytes that name its group and session: their levels, their inums, their numbers.
LINK_LEVELS, LINK_INUMS, LINK_NUMBERS = (
    ("pgid_level", "sid_level"),
    ("pgid_ns", "sid_ns"),
    ("pgid", "sid"),
)
_LINKS = LAYOUTS[RecordType.BIRTH].pick(*LINK_LEVELS, *LINK_INUMS, *LINK_NUMBERS).unpack_from
_SEEN = LAYOUTS[RecordType.SEEN].pick(
    *("level", LINK_LEVELS, "ts_ns", "by", "tid", "start_ns", "tgid", "ppid", "comm"),
    *("ns", "ns_parent", LINK_INUMS, "pid", LINK_NUMBERS),
)

_TID_WORD = LAYOUTS[RecordType.SEEN].offset("tid") // 4

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


def decode_batch(data: bytes) -> list[TaskSeen]:
    """Decode all that one reading wrote, in its order.

    Raises:
        WireError: as `decode`; a record is cut off, or is not one of a task that was read.
    """
    view, at = memoryview(data), 0
    tasks: list[TaskSeen] = []
    while at < len(view):
        run = _run(view, at)
        if run:
            tasks += _shallow(view[at : at + run])
            at += run
        else:
            layout = STRUCTS.get(view[at])
            size = layout.size if layout is not None else len(view)
            event = decode(view[at : at + size]).event
            if not isinstance(event, TaskSeen):
                raise WireError(f"the task iterator wrote a {type(event).__name__}")
            tasks.append(event)
            at += size
    return tasks


def split_batch(data: bytes) -> tuple[list[int], list[bytes]]:
    """The task of each record of one reading, and its bytes.

    Raises:
        WireError: a record is cut off, or is not one of a task that was read.
    """
    view, at = memoryview(data), 0
    tids: list[int] = []
    records: list[bytes] = []
    while at < len(data):
        size = STRUCTS[_type_of_row(view, at)].size
        end = at + max(_run(view, at), size)
        if end > len(data):
            raise WireError("the task iterator's last record is cut off")
        tids += view[at:end].cast("I")[_TID_WORD :: size >> 2]
        records += [data[place : place + size] for place in range(at, end, size)]
        at = end
    return tids, records


def _type_of_row(view: memoryview, at: int) -> int:
    if view[at] not in (RecordType.SEEN, RecordType.SEEN_DEEP):
        raise WireError(f"the task iterator wrote a record of type {view[at]}")
    return view[at]


def _run(view: memoryview, at: int) -> int:
    """The bytes of the whole records of type SEEN that begin at ``at``."""
    whole = (len(view) - at) // _SEEN.size
    types = view[at :: _SEEN.size].tobytes()
    same = len(types) - len(types.lstrip(bytes([RecordType.SEEN])))
    return min(whole, same) * _SEEN.size


def _shallow(view: memoryview) -> list[TaskSeen]:
    links: dict[bytes, tuple[PidNumbers, PidNumbers]] = {}
    names: dict[bytes, bytes] = {}
    tasks: list[TaskSeen] = []
    for values in _SEEN.iter_unpack(view):
        level, levels, ts_ns, by, tid, start_ns, tgid, ppid, comm, ns, outer, inums = values[:12]
        if level >= BIRTH_LEVELS:
            raise WireError(f"level {level} in a record with room for {BIRTH_LEVELS}")
        key = levels + inums + values[-1]
        known = links.get(key)
        if known is None:
            known = links[key] = read_links(view, len(tasks) * _SEEN.size)
        name = names.get(comm)
        if name is None:
            name = names[comm] = comm.partition(b"\0")[0]
        birth = _new(Birth, (tgid, ppid, start_ns, name, outer, *known))
        pid = _new(PidNumbers, (values[12 : 13 + level], ns))
        tasks.append(_new(TaskSeen, (ts_ns, by, tid, pid, birth)))
    return tasks


def read_links(memory: memoryview, at: int) -> tuple[PidNumbers, PidNumbers]:
    """The group and the session in the record of a birth, or of a task that was read, at ``at``.

    Raises:
        WireError: a level is out of range.
    """
    pgid_level, sid_level, pgid_ns, sid_ns, *numbers = _LINKS(memory, at)
    if max(pgid_level, sid_level) >= BIRTH_LEVELS:
        raise WireError(f"levels {pgid_level} and {sid_level} in a record of {BIRTH_LEVELS}")
    pgid, sid = numbers[: pgid_level + 1], numbers[BIRTH_LEVELS : BIRTH_LEVELS + sid_level + 1]
    return PidNumbers(tuple(pgid), pgid_ns), PidNumbers(tuple(sid), sid_ns)
