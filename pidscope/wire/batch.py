"""What the task iterator writes in one walk: records of every task, one behind the other.

`pidscope.wire.decode.decode` knows each of them. Here they are unpacked in runs, since a walk gives
thousands at once and a start, or a repair, waits for them. Most tasks are in the group and session
of others, so what a record says of these two is kept in its bytes and looked up.
"""

from __future__ import annotations

from struct import Struct

from pidscope.errors import WireError
from pidscope.events import Birth, PidNumbers, TaskSeen
from pidscope.wire.decode import decode
from pidscope.wire.layout import BIRTH_LEVELS, LAYOUTS, RecordType

# `pidscope.wire.layout.LAYOUTS`, with the levels, the inums and the numbers of both links as bytes.
_SEEN = Struct(f"=xB2s4xQIIQII16sII8s{BIRTH_LEVELS}I{8 * BIRTH_LEVELS}s")
_LINKS = Struct(f"=2B2I{2 * BIRTH_LEVELS}I").unpack
_SIZES = {int(kind): layout.compile().size for kind, layout in LAYOUTS.items()}

_Links = tuple[PidNumbers, PidNumbers]

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


def decode_walk(data: bytes) -> list[TaskSeen]:
    """Decode all that one walk wrote, in its order.

    Raises:
        WireError: as `decode`; a record is cut off, or is none of a task that was seen.
    """
    view, at = memoryview(data), 0
    tasks: list[TaskSeen] = []
    while at < len(view):
        run = _run(view, at)
        if run:
            tasks += _shallow(view[at : at + run])
            at += run
        else:
            size = _SIZES.get(view[at], len(view))
            event = decode(view[at : at + size]).event
            if not isinstance(event, TaskSeen):
                raise WireError(f"a walk told {type(event).__name__}")
            tasks.append(event)
            at += size
    return tasks


def _run(view: memoryview, at: int) -> int:
    """The bytes of the whole records of type SEEN that begin at ``at``."""
    whole = (len(view) - at) // _SEEN.size
    types = view[at :: _SEEN.size].tobytes()
    same = len(types) - len(types.lstrip(bytes([RecordType.SEEN])))
    return min(whole, same) * _SEEN.size


def _shallow(view: memoryview) -> list[TaskSeen]:
    links: dict[bytes, _Links] = {}
    names: dict[bytes, bytes] = {}
    tasks = []
    for values in _SEEN.iter_unpack(view):
        level, levels, ts_ns, by, tid, start_ns, tgid, ppid, comm, ns, outer, inums = values[:12]
        if level >= BIRTH_LEVELS:
            raise WireError(f"level {level} in a record with room for {BIRTH_LEVELS}")
        key = levels + inums + values[-1]
        known = links.get(key)
        if known is None:
            known = links[key] = _links(key)
        name = names.get(comm)
        if name is None:
            name = names[comm] = comm.partition(b"\0")[0]
        birth = _new(Birth, (tgid, ppid, start_ns, name, outer, *known))
        pid = _new(PidNumbers, (values[12 : 13 + level], ns))
        tasks.append(_new(TaskSeen, (ts_ns, by, tid, pid, birth)))
    return tasks


def _links(key: bytes) -> _Links:
    """The group and the session that are told of in these bytes."""
    pgid_level, sid_level, pgid_ns, sid_ns, *numbers = _LINKS(key)
    if max(pgid_level, sid_level) >= BIRTH_LEVELS:
        raise WireError(f"levels {pgid_level} and {sid_level} in a record of {BIRTH_LEVELS}")
    pgid, sid = numbers[: pgid_level + 1], numbers[BIRTH_LEVELS : BIRTH_LEVELS + sid_level + 1]
    return PidNumbers(tuple(pgid), pgid_ns), PidNumbers(tuple(sid), sid_ns)
