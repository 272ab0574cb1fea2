"""The record's bytes, as bpf/record.h describes them.

The C header is the source of truth. `LAYOUTS` repeats it field by field, and a test compares
the two. All fields are naturally aligned, in the machine's byte order, so one ``struct`` format a
record decodes it whole.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

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
    EXECUTED_AS = 24
    EXECUTED_AS_DEEP = 25


class Layout(NamedTuple):
    """A C struct: its name, and each field's path and ``struct`` format."""

    struct_name: str
    fields: tuple[tuple[str, str], ...]

    def compile(self) -> struct.Struct:
        """The format of the whole record; ``=`` since the header leaves no padding to guess."""
        return struct.Struct("=" + "".join(code for _, code in self.fields))

    def offset(self, name: str) -> int:
        """The place of a field, by the last part of its path, in bytes; raises KeyError."""
        return self._places()[name][0]

    def pick(self, *wanted: str | tuple[str, str]) -> struct.Struct:
        """The format of the whole record that unpacks only the ``wanted`` fields.

        A field is named by the last part of its path, ``NAME[0]`` is the first of its numbers. A
        pair of fields is one value: the bytes from the first to the last.

        Raises:
            KeyError: the record has no such field.
            struct.error: the fields are not in the order of the record.
        """
        places, picked, at = self._places(), "=", 0
        for one in wanted:
            first, last = (one, one) if isinstance(one, str) else one
            (start, _, code), (_, end, _) = places[first], places[last]
            picked += f"{start - at}x" + (code if first == last else f"{end - start}s")
            at = end
        return struct.Struct(f"{picked}{self.compile().size - at}x")

    def _places(self) -> dict[str, tuple[int, int, str]]:
        """Where each field begins and ends, and its format."""
        places, at = {}, 0
        for path, code in self.fields:
            name, end = path.rpartition(".")[2], at + struct.calcsize("=" + code)
            places[name] = (at, end, code)
            places[f"{name}[0]"] = (at, at + struct.calcsize("=" + code[-1]), code[-1])
            at = end
        return places


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
    RecordType.EXECUTED_AS: _BIRTH,
    RecordType.EXECUTED_AS_DEEP: _BIRTH_DEEP,
}
STRUCTS = {int(record_type): layout.compile() for record_type, layout in LAYOUTS.items()}
