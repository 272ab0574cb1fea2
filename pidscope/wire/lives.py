"""Lives and births as records: their layouts, and the value that is made of one row on demand.

bpf/record.h is the source of truth, and a test compares the two, field by field. What a drain
gives is many rows of one class, one behind the other: `pidscope.history.lives` makes columns of
them without looking at one; only a question about one task makes a `Life`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from pidscope.errors import WireError
from pidscope.wire.layout import BIRTH_LEVELS, COMM_LEN, NR_LEVELS, Layout

LIFE_LAYOUT = 1  # the number of these layouts; whatever keeps lives keeps it, too
UID_UNKNOWN = (1 << 32) - 1  # INVALID_UID (include/linux/uidgid.h): no task has it
LIFE_WRITING = (1 << 64) - 1  # the sequence of a slot that is being written


class LifeKind(enum.IntEnum):
    """``enum life_kind``: what ended."""

    PROCESS = 1
    THREAD = 2
    LEADER = 3
    EXECED = 4


class LifeFlag(enum.IntFlag):
    """``enum life_flags``."""

    JOINED = 1
    JOINED_UNKNOWN = 2
    BY_THREAD = 4
    STATUS_UNKNOWN = 8
    NUMBERS_UNKNOWN = 16


class Class(NamedTuple):
    """One class of records: a map of its own, rows of one size."""

    name: str  # of the map
    layout: Layout
    levels: int
    births: bool

    @property
    def size(self) -> int:
        """Bytes of a row."""
        return self.layout.compile().size


def _life(struct_name: str, levels: int, pad: tuple[tuple[str, str], ...]) -> Layout:
    return Layout(
        struct_name,
        (
            ("head.header", "Q"),
            ("head.start_ns", "Q"),
            ("head.end_ns", "Q"),
            ("head.leader_start_ns", "Q"),
            ("head.parent_start_ns", "Q"),
            ("head.cgroup_id", "Q"),
            ("head.comm", f"{COMM_LEN}s"),
            ("head.tgid", "I"),
            ("head.ppid", "I"),
            ("head.pgid", "I"),
            ("head.sid", "I"),
            ("head.uid", "I"),
            ("head.status", "I"),
            ("head.kind", "B"),
            ("head.level", "B"),
            ("head.flags", "H"),
            ("head.pad", "4x"),
            ("nr", f"{levels}I"),
            ("ns", f"{levels}I"),
            *pad,
        ),
    )


def _born(struct_name: str, levels: int, pad: tuple[tuple[str, str], ...]) -> Layout:
    return Layout(
        struct_name,
        (
            ("born.header", "Q"),
            ("born.start_ns", "Q"),
            ("born.parent_start_ns", "Q"),
            ("born.tgid", "I"),
            ("born.ppid", "I"),
            ("born.by", "I"),
            ("born.ns", "I"),
            ("born.level", "I"),
            ("born.pad", "4x"),
            ("nr", f"{levels}I"),
            *pad,
        ),
    )


LIVES = Class("lives", _life("life", BIRTH_LEVELS, ()), BIRTH_LEVELS, False)
LIVES_DEEP = Class(
    "lives_deep", _life("life_deep", NR_LEVELS, (("pad2", "24x"),)), NR_LEVELS, False
)
BIRTHS = Class("births", _born("born", BIRTH_LEVELS, ()), BIRTH_LEVELS, True)
BIRTHS_DEEP = Class(
    "births_deep", _born("born_deep", NR_LEVELS, (("pad2", "12x"),)), NR_LEVELS, True
)
CLASSES = (LIVES, LIVES_DEEP, BIRTHS, BIRTHS_DEEP)  # the order of the counters in bpf/lives.c


class Column(NamedTuple):
    """One number of each row: where it stands in the row, and its ``struct`` format."""

    name: str
    code: str
    offset: int


def columns_of(layout: Layout) -> tuple[Column, ...]:
    """Every column of a class but the ring's header; ``NAME_0`` and so on of an array.

    A name is two columns of 8 bytes each: nothing that is as long as it can be strided over.
    """
    columns, at = [], 0
    for path, code in layout.fields:
        size = struct.calcsize("=" + code)
        name = path.rpartition(".")[2]
        if not code.endswith("x") and name != "header":
            one = "Q" if code.endswith("s") else code[-1]
            step = struct.calcsize("=" + one)
            names = [name] if step == size else [f"{name}_{i}" for i in range(size // step)]
            columns += [Column(each, one, at + i * step) for i, each in enumerate(names)]
        at += size
    return tuple(columns)


def offset_of(of: Class, name: str) -> int:
    """Return where a column of a class stands in its rows, in bytes."""
    return next(it.offset for it in columns_of(of.layout) if it.name == name)


class Life(NamedTuple):
    """One row of lives: what ended, and all that was known of it when it did.

    A bare number is one in the initial PID namespace. ``numbers`` and ``inums`` run from there
    inwards.
    """

    kind: LifeKind
    numbers: tuple[int | None, ...]  # None: not known, of a thread that called exec
    inums: tuple[int, ...]  # of the namespaces
    start_ns: int | None  # CLOCK_BOOTTIME; None: not known, of a thread that called exec
    end_ns: int  # of its exit
    tgid: int
    leader_start_ns: int
    ppid: int  # thread group of the parent at its end
    parent_start_ns: int
    pgid: int
    sid: int
    comm: bytes
    uid: int  # the real one, in the initial user namespace
    status: int | None  # as wait() gives it; of a thread, its own; None: not known
    cgroup_id: int
    joined: bool | None  # its process came from outside; None: not known
    by_thread: bool = False  # its last thread told it, whose own exit is another record

    @property
    def is_exit(self) -> bool:
        """Whether a task exited as this was told: there is one such record of each task."""
        return self.kind is not LifeKind.EXECED and not self.by_thread


class Born(NamedTuple):
    """One row of births; a bare number is one in the initial PID namespace."""

    numbers: tuple[int, ...]
    ns: int  # inum of the innermost namespace
    start_ns: int
    tgid: int
    ppid: int  # thread group of the parent
    parent_start_ns: int
    by: int  # the task that forked


_NAME = struct.Struct("=2Q")
_KINDS = {int(kind): kind for kind in LifeKind}
# As plain numbers: an operation on flags runs Python's code.
_JOINED, _JOINED_UNKNOWN = int(LifeFlag.JOINED), int(LifeFlag.JOINED_UNKNOWN)
_BY_THREAD, _STATUS_UNKNOWN = int(LifeFlag.BY_THREAD), int(LifeFlag.STATUS_UNKNOWN)
_NUMBERS_UNKNOWN = int(LifeFlag.NUMBERS_UNKNOWN)
_SIZE, _DEEP_SIZE = LIVES.size, LIVES_DEEP.size
_LEVEL = offset_of(LIVES, "level")
Values = Mapping[str, int]  # of one row, by the names of its columns


def to_life(values: Values) -> Life:
    """The value of a row; raises WireError if the row is no life's."""
    v = values
    try:
        levels = range(v["level"] + 1)
        numbers = tuple([v[f"nr_{i}"] for i in levels])
        inums = tuple([v[f"ns_{i}"] for i in levels])
        times = v["start_ns"], v["end_ns"], v["leader_start_ns"], v["parent_start_ns"]
        ids = v["tgid"], v["ppid"], v["pgid"], v["sid"], v["uid"], v["status"]
        name = _NAME.pack(v["comm_0"], v["comm_1"])
        return _life_of(times, v["cgroup_id"], name, ids, v["kind"], v["flags"], numbers, inums)
    except KeyError as error:
        raise WireError(f"no life: {error}") from None


def unpack_life(of: Class, row: bytes) -> Life:
    """The value of a whole row, as `to_life` makes it; raises WireError if it is no life's."""
    values = _row_format(of).unpack(row)
    kind, level, flags = values[13:16]
    if level >= of.levels:
        raise WireError(f"no life: {level + 1} levels")
    numbers = values[16 : 17 + level]
    inums = values[16 + of.levels : 17 + of.levels + level]
    return _life_of(values[1:5], values[5], values[6], values[7:13], kind, flags, numbers, inums)


@lru_cache(maxsize=len(CLASSES))
def _row_format(of: Class) -> struct.Struct:
    return of.layout.compile()


def _life_of(
    times: tuple[int, ...],
    cgroup_id: int,
    name: bytes,
    ids: tuple[int, ...],
    kind: int,
    flags: int,
    numbers: tuple[int | None, ...],
    inums: tuple[int, ...],
) -> Life:
    """The value of fields that stand in this order in a row; raises WireError."""
    known = _KINDS.get(kind)
    if known is None:
        raise WireError(f"no life: {kind} is no kind of one")
    if flags & _NUMBERS_UNKNOWN:
        numbers = (numbers[0], *[None] * (len(numbers) - 1))
    start_ns, end_ns, leader_start_ns, parent_start_ns = times
    tgid, ppid, pgid, sid, uid, status = ids
    return Life(
        kind=known,
        numbers=numbers,
        inums=inums,
        start_ns=start_ns or None,
        end_ns=end_ns,
        tgid=tgid,
        leader_start_ns=leader_start_ns,
        ppid=ppid,
        parent_start_ns=parent_start_ns,
        pgid=pgid,
        sid=sid,
        comm=name.partition(b"\0")[0],
        uid=uid,
        status=None if flags & _STATUS_UNKNOWN else status,
        cgroup_id=cgroup_id,
        joined=None if flags & _JOINED_UNKNOWN else bool(flags & _JOINED),
        by_thread=bool(flags & _BY_THREAD),
    )


def to_born(values: Values) -> Born:
    """The value of a row; raises WireError if the row is no birth's."""
    try:
        numbers = tuple([values[f"nr_{i}"] for i in range(values["level"] + 1)])
        names = ("ns", "start_ns", "tgid", "ppid", "parent_start_ns", "by")
        return Born(numbers, *[values[name] for name in names])
    except KeyError as error:
        raise WireError(f"no birth: {error}") from None


def split_rows(data: bytes) -> list[tuple[Class, bytes]]:
    """Return rows of lives of all classes, one behind the other, class by class; raises WireError.

    How long a row is follows from its level.
    """
    at, size = 0, len(data)
    shallow, deep = bytearray(), bytearray()
    while at < size:
        is_deep = at + _LEVEL < size and data[at + _LEVEL] >= LIVES.levels
        length = _DEEP_SIZE if is_deep else _SIZE
        if at + length > size:
            raise WireError(f"{size - at} bytes behind the last whole row")
        (deep if is_deep else shallow).extend(data[at : at + length])
        at += length
    both = ((LIVES, bytes(shallow)), (LIVES_DEEP, bytes(deep)))
    return [(of, rows) for of, rows in both if rows]


def pack_life(life: Life, header: int = 0) -> tuple[Class, bytes]:
    """The row that a kernel would write of a life, and its class; raises WireError."""
    of = LIVES if len(life.numbers) <= LIVES.levels else LIVES_DEEP
    flags = LifeFlag.BY_THREAD if life.by_thread else LifeFlag(0)
    if life.joined is None:
        flags |= LifeFlag.JOINED_UNKNOWN
    elif life.joined:
        flags |= LifeFlag.JOINED
    if life.status is None:
        flags |= LifeFlag.STATUS_UNKNOWN
    if None in life.numbers:
        flags |= LifeFlag.NUMBERS_UNKNOWN
    values = (
        *(header, life.start_ns or 0, life.end_ns, life.leader_start_ns, life.parent_start_ns),
        *(life.cgroup_id, life.comm, life.tgid, life.ppid, life.pgid, life.sid, life.uid),
        *(life.status or 0, life.kind, len(life.numbers) - 1, flags),
        *_padded([number or 0 for number in life.numbers], of.levels),
        *_padded(life.inums, of.levels),
    )
    return of, _packed(of, values)


def pack_born(born: Born, header: int = 0) -> tuple[Class, bytes]:
    """The row that a kernel would write of a birth, and its class; raises WireError."""
    of = BIRTHS if len(born.numbers) <= BIRTHS.levels else BIRTHS_DEEP
    values = (
        *(header, born.start_ns, born.parent_start_ns, born.tgid, born.ppid, born.by, born.ns),
        len(born.numbers) - 1,
        *_padded(born.numbers, of.levels),
    )
    return of, _packed(of, values)


def _packed(of: Class, values: tuple[object, ...]) -> bytes:
    try:
        return of.layout.compile().pack(*values)
    except struct.error as error:
        raise WireError(f"it does not fit a row of {of.name}: {error}") from error


def _padded(numbers: Sequence[int], width: int) -> tuple[int, ...]:
    return (*numbers, *[0] * (width - len(numbers)))
