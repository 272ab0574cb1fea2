"""The record on both sides: the C header against LAYOUTS, events there and back, runs of them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from pidscope import events
from pidscope.errors import WireError
from pidscope.live.source_folder import SOURCE_FOLDER
from pidscope.wire import layout as layout_module
from pidscope.wire import lives
from pidscope.wire.batch import decode_batch, split_batch
from pidscope.wire.decode import Record, decode
from pidscope.wire.encode import encode
from pidscope.wire.layout import LAYOUTS, RecordType
from pidscope.wire.lives import CLASSES, LifeFlag, LifeKind
from tests.unit.wire.compiled import compiled_layouts

HEADER = SOURCE_FOLDER / "record.h"
_CONSTANTS = ("NR_LEVELS", "BIRTH_LEVELS", "PID_LEVELS", "COMM_LEN")
_ALL = (*LAYOUTS.values(), *(of.layout for of in CLASSES))
_ENUMERATORS = {
    **{f"RECORD_{kind.name}": int(kind) for kind in RecordType},
    **{f"LIFE_{each.name}": int(each) for each in (*LifeKind, *LifeFlag)},
    **{name: getattr(lives, name) for name in ("LIFE_LAYOUT", "LIFE_WRITING")},
}


# The C side: a program made from LAYOUTS prints what the compiler makes of record.h


def c_side(header: Path, folder: Path) -> dict[str, tuple[int, ...]]:
    """What gcc says of everything that LAYOUTS names."""
    return compiled_layouts([header], folder, [*_CONSTANTS, *_ENUMERATORS], _ALL)


def python_side() -> dict[str, tuple[int, ...]]:
    """The same of layout.py."""
    said: dict[str, tuple[int, ...]] = {
        **{name: (getattr(layout_module, name), 0) for name in _CONSTANTS},
        **{name: (value, 0) for name, value in _ENUMERATORS.items()},
    }
    for layout in _ALL:
        offset = 0
        for path, code in layout.fields:
            size = struct.calcsize("=" + code)
            said[f"{layout.struct_name}.{path}"] = (offset, size)
            offset += size
        said[layout.struct_name] = (offset, 0)
        assert layout.compile().size == offset
    return said


def test_both_sides_have_one_layout(tmp_path: Path) -> None:
    assert c_side(HEADER, tmp_path) == python_side()


@pytest.mark.parametrize(
    ("found", "planted"),
    [
        ("u32 by;", "u64 by;"),
        ("u64 ts_ns;", "u32 ts_ns; u32 more;"),
        ("u32 tgid;\n\tu32  ppid;", "u32 ppid;\n\tu32  tgid;"),
        ("u32 pgid[BIRTH_LEVELS];\n\tu32 sid[", "u32 sid[BIRTH_LEVELS];\n\tu32 pgid["),
        ("u32 leader;", "u32 more; u32 leader;"),
        ("u64 start_ns;\t\t/* of head.tid", "u64 leader_start_ns;\n\tu64 start_ns;\t/*"),
        ("#define COMM_LEN\t16", "#define COMM_LEN\t8"),
        ("RECORD_CHANGED_DEEP,", ""),
        ("u32  sid;\n\tu32  uid;", "u32  uid;\n\tu32  sid;"),
        ("u16  flags;", "u32  flags;"),
        ("LIFE_LEADER,", "LIFE_MORE, LIFE_LEADER,"),
        ("#define LIFE_LAYOUT\t\t1", "#define LIFE_LAYOUT\t\t2"),
        ("u32 ns;\n\tu32 pid_type;\t\t/* enum", "u32 pid_type;\n\tu32 ns;\t/*"),
    ],
)
def test_a_moved_field_is_found(tmp_path: Path, found: str, planted: str) -> None:
    text = HEADER.read_text().replace("u32  tgid", "u32 tgid")
    assert found in text
    text = text.replace(found, planted, 1)
    if "leader_start_ns;\n\tu64 start_ns" in planted:
        text = text.replace("\tu64 leader_start_ns;\n\tu64 pad2;", "\tu64 pad2;")
    if not planted:
        text = text.replace("RECORD_MOVED,", "RECORD_MOVED, RECORD_CHANGED_DEEP,")
    header = tmp_path / "record.h"
    header.write_text(text)
    assert c_side(header, tmp_path) != python_side()


def test_the_enum_has_no_type_that_python_lacks() -> None:
    block = re.search(r"enum record_type \{(.*?)\};", HEADER.read_text(), re.DOTALL)
    assert block is not None
    assert set(re.findall(r"RECORD_(\w+)", block[1])) == {kind.name for kind in RecordType}
    assert set(LAYOUTS) == set(RecordType)


@pytest.mark.parametrize("kind", RecordType, ids=lambda kind: kind.name)
def test_picked_fields_are_those_of_the_whole_record(kind: RecordType) -> None:
    """Each field alone, the first number of each, and the bytes from each to the last."""
    layout, values, at = LAYOUTS[kind], [], 0
    record = bytes(number & 0xFF for number in range(1, layout.compile().size + 1))
    names = [path.rpartition(".")[2] for path, code in layout.fields if code[-1] != "x"]
    for path, code in layout.fields:
        name, of_field = path.rpartition(".")[2], struct.unpack_from("=" + code, record, at)
        assert layout.offset(name) == at
        at += struct.calcsize("=" + code)
        if of_field:
            assert layout.pick(name).unpack(record) == of_field
        if of_field and at > 1:
            assert layout.pick((names[0], name)).unpack(record) == (record[:at],)
        if code[-1] not in "sx":
            assert layout.pick(f"{name}[0]").unpack(record) == of_field[:1]
        values += of_field
    assert layout.pick(*names).unpack(record) == tuple(values) == layout.compile().unpack(record)


def test_fields_that_a_record_lacks_or_in_another_order_are_refused() -> None:
    with pytest.raises(KeyError):
        LAYOUTS[RecordType.EXITED].pick("comm")
    with pytest.raises(struct.error):
        LAYOUTS[RecordType.EXITED].pick("tgid", "tid")


def test_records_fill_whole_slots() -> None:
    for kind, layout in LAYOUTS.items():
        assert (layout.compile().size - 56) % 64 == 0, kind
    assert LAYOUTS[RecordType.CHANGED].compile().size == 56
    assert LAYOUTS[RecordType.BIRTH].compile().size == 120


# There and back

U32 = strategies.integers(0, (1 << 32) - 1)
U64 = strategies.integers(0, (1 << 64) - 1)
LEVEL = strategies.integers(0, 255)
COMM = strategies.binary(max_size=16).filter(lambda raw: b"\0" not in raw)
TYPE = strategies.sampled_from(events.PidType)
BORN = strategies.just(events.PidType.PID)


@strategies.composite
def pids(draw: Any) -> events.PidNumbers:
    depth = draw(strategies.one_of(strategies.integers(1, 7), strategies.integers(1, 33)))
    numbers = strategies.lists(U32, min_size=depth, max_size=depth)
    return events.PidNumbers(tuple(draw(numbers)), draw(U32))


FLAT = events.PidNumbers((1,), 7)
BIRTH = strategies.builds(events.Birth, U32, U32, U64, COMM, U32, pids(), pids())
_FIELDS: dict[type, tuple[Any, ...]] = {  # behind ts_ns and by
    events.PidDetached: (U32, U32, U32),
    events.TidsExchanged: (U32, U32, U64, U64),
    events.PidTransferred: (U32, U32, TYPE),
    events.PidAllocated: (pids(),),
    events.PidFreed: (pids(),),
    events.PidRefused: (U32,),
    events.TaskCreated: (U32, U64, U64, U32),
    events.ForkFailed: (U32, U64, U64, U32),
    events.NamespaceCreated: (U32, U32, LEVEL),
    events.NamespaceDying: (U32, U32, LEVEL),
    events.TaskExecuted: (U32, U32, COMM),
    events.TaskRenamed: (U32, COMM),
    events.TaskExited: (U32, U32, U32),
    events.TaskMoved: (U32, U64),
    events.TaskSeen: (U32, pids(), BIRTH),
    events.TaskFreed: (U32, U32, U64),
}
EVENTS = {
    events.PidAttached: strategies.one_of(
        strategies.builds(events.PidAttached, U64, U32, U32, TYPE, pids(), strategies.none()),
        strategies.builds(events.PidAttached, U64, U32, U32, BORN, pids(), BIRTH),
    ),
    **{kind: strategies.builds(kind, U64, U32, *fields) for kind, fields in _FIELDS.items()},
}


def test_every_event_that_a_hook_tells_has_a_strategy() -> None:
    assert {*EVENTS, events.Lost, events.Repaired} == set(events.Event.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_there_and_back(kind: type) -> None:
    @settings(max_examples=150)
    @given(EVENTS[kind], U32)
    def check(event: events.Event, lost: int) -> None:
        data = encode(event, lost)
        assert (len(data) - 56) % 64 == 0
        assert decode(data) == Record(lost, event)
        assert decode(memoryview(data)).event == event

    check()


@pytest.mark.parametrize("level", range(33))
def test_each_depth_takes_the_smallest_record(level: int) -> None:
    pid = events.PidNumbers(tuple(range(1, level + 2)), 7)
    assert len(encode(events.PidAllocated(0, 0, pid))) == (56 if level < 6 else 184)
    for pgid, sid, own in ((pid, FLAT, FLAT), (FLAT, pid, FLAT), (FLAT, FLAT, pid)):
        birth = events.Birth(1, 1, 1, b"c", 1, pgid, sid)
        event = events.PidAttached(0, 0, 1, events.PidType.PID, own, birth)
        assert len(encode(event)) == (120 if level < 4 else 504)
        assert decode(encode(event)).event == event


@pytest.mark.parametrize(
    "event",
    [
        events.Lost(1, 2),
        events.PidAllocated(0, 0, events.PidNumbers(tuple(range(34)), 7)),
        events.PidAllocated(0, 0, events.PidNumbers((), 7)),
        events.PidAllocated(0, 0, events.PidNumbers((1 << 32,), 7)),
        events.PidDetached(-1, 0, 1, 1, 0),
        events.PidDetached(1 << 64, 0, 1, 1, 0),
        events.TaskRenamed(0, 0, 1, b"x" * 17),
        events.TaskRenamed(0, 0, 1, b"a\0b"),
        events.PidAttached(
            0, 0, 1, events.PidType.SID, FLAT, events.Birth(1, 1, 1, b"", 0, FLAT, FLAT)
        ),
        events.PidAttached(
            0,
            0,
            1,
            events.PidType.PID,
            FLAT,
            events.Birth(1, 1, 1, b"", 0, events.PidNumbers((1,) * 34, 7), FLAT),
        ),
        events.NamespaceCreated(0, 0, 1, 1, 256),
    ],
)
def test_what_does_not_fit_is_refused(event: events.Event) -> None:
    with pytest.raises(WireError):
        encode(event)


def test_lost_is_a_count_modulo_2_to_the_32() -> None:
    assert decode(encode(events.TaskMoved(0, 0, 1, 1), (1 << 32) + 5)).lost == 5


# Whatever lies in the ring


@settings(max_examples=400)
@given(strategies.binary(max_size=600))
def test_any_bytes_are_an_event_or_a_wire_error(data: bytes) -> None:
    _only_wire_error(data)


@settings(max_examples=600)
@given(strategies.sampled_from(RecordType), strategies.randoms(use_true_random=False))
def test_any_bytes_of_the_right_size_too(kind: RecordType, rng: Any) -> None:
    raw = bytes(rng.randrange(256) for _ in range(LAYOUTS[kind].compile().size))
    small = bytes(rng.randrange(40) for _ in range(3))
    _only_wire_error(bytes([kind]) + raw[1:])
    _only_wire_error(bytes([kind]) + small + raw[4:])


# An exec and its task, as one record


@strategies.composite
def executed_as(draw: Any) -> tuple[events.TaskExecuted, events.TaskSeen]:
    seen = draw(EVENTS[events.TaskSeen])
    birth = seen.birth._replace(tgid=seen.tid)
    exec_ = events.TaskExecuted(seen.ts_ns, seen.by, seen.tid, draw(U32), birth.comm)
    return exec_, seen._replace(birth=birth)


@settings(max_examples=150)
@given(executed_as(), U32)
def test_an_exec_and_its_task_are_one_record(told: Any, lost: int) -> None:
    executed, seen = told
    data = encode(executed, lost, seen)
    deep = max(map(len, (seen.pid[0], seen.birth.pgid[0], seen.birth.sid[0]))) > 4
    assert len(data) == (504 if deep else 120)
    assert decode(data) == Record(lost, executed, seen)


def test_an_exec_is_one_record_with_its_own_task_only() -> None:
    executed = events.TaskExecuted(5, 1, 1, 2, b"c")
    birth = events.Birth(1, 0, 9, b"c", 0, FLAT, FLAT)
    mine = events.TaskSeen(5, 1, 1, FLAT, birth)
    assert decode(encode(executed, then=mine)).then == mine
    others = [
        *(mine._replace(**{field: 7}) for field in ("ts_ns", "by", "tid")),
        *(mine._replace(birth=birth._replace(**other)) for other in ({"tgid": 2}, {"comm": b"d"})),
    ]
    for other in others:
        with pytest.raises(WireError):
            encode(executed, then=other)
    with pytest.raises(WireError):
        encode(events.TaskRenamed(5, 1, 1, b"c"), then=mine)


def _only_wire_error(data: bytes) -> None:
    try:
        event = decode(data).event
    except WireError:
        return
    assert isinstance(event, tuple(EVENTS))


@pytest.mark.parametrize("kind", RecordType)
def test_a_wrong_size_or_level_is_refused(kind: RecordType) -> None:
    size = LAYOUTS[kind].compile().size
    for other in (size - 1, size + 1, size + 64, 8):
        with pytest.raises(WireError, match="bytes"):
            decode(bytes([kind]) + bytes(other - 1))
    if "pid" in dict(LAYOUTS[kind].fields) or "nr" in dict(LAYOUTS[kind].fields):
        with pytest.raises(WireError, match="level"):
            decode(bytes([kind, 33]) + bytes(size - 2))


@pytest.mark.parametrize("kind", [0, max(RecordType) + 1, 255])
def test_an_unknown_type_is_refused(kind: int) -> None:
    with pytest.raises(WireError, match="unknown record type"):
        decode(bytes([kind]) + bytes(55))


# The task iterator's output: in runs as one by one

DEEP = events.PidNumbers(tuple(range(1, 10)), 7)


def seen(
    pid: events.PidNumbers, pgid: events.PidNumbers = FLAT, sid: events.PidNumbers = FLAT
) -> events.TaskSeen:
    return events.TaskSeen(5, 6, pid.nr, pid, events.Birth(1, 0, 9, b"c", 0, pgid, sid))


@given(strategies.lists(EVENTS[events.TaskSeen], max_size=9))
def test_what_was_written_is_read_in_its_order(tasks: Any) -> None:
    data = b"".join(map(encode, tasks))
    assert decode_batch(data) == tasks == [decode(encode(task)).event for task in tasks]
    assert split_batch(data) == ([task.tid for task in tasks], [encode(task) for task in tasks])


def test_runs_end_at_a_deep_one() -> None:
    tasks = [seen(FLAT), seen(FLAT), seen(DEEP), seen(DEEP), seen(FLAT)]
    assert decode_batch(b"".join(map(encode, tasks))) == tasks
    assert decode_batch(b"") == []


def test_links_with_the_same_numbers_elsewhere_are_not_taken_for_each_other() -> None:
    """Levels, inums and numbers each make a difference."""
    one, two, inner = (
        events.PidNumbers((3, 4), 7),
        events.PidNumbers((3, 4), 8),
        events.PidNumbers((3, 4, 5), 7),
    )
    tasks = [seen(FLAT, pgid, sid) for pgid in (one, two, inner) for sid in (one, two, inner)]
    assert decode_batch(b"".join(map(encode, tasks))) == tasks


@pytest.mark.parametrize("pid", [FLAT, DEEP])
def test_a_walk_that_was_cut_off_is_refused(pid: events.PidNumbers) -> None:
    data = encode(seen(FLAT)) + encode(seen(pid))
    for cut in (1, 60, 119, 121, len(data) - 1):
        for read in (decode_batch, split_batch):
            with pytest.raises(WireError):
                read(data[:cut])


def test_another_record_among_the_iterators_is_refused() -> None:
    with pytest.raises(WireError, match="wrote a record of type 17"):
        split_batch(encode(seen(FLAT)) + encode(events.TaskRenamed(0, 0, 1, b"c")))


@pytest.mark.parametrize("place", [1, 2, 3], ids=["level", "pgid_level", "sid_level"])
def test_a_level_in_a_run_that_is_out_of_range_is_refused(place: int) -> None:
    data = bytearray(encode(seen(FLAT)) * 2)
    data[LAYOUTS[RecordType.SEEN].compile().size + place] = 4
    with pytest.raises(WireError):
        decode_batch(bytes(data))


def test_a_run_of_anything_else_is_refused() -> None:
    with pytest.raises(WireError, match="TaskExited"):
        decode_batch(encode(seen(FLAT)) + encode(events.TaskExited(0, 1, 1, 1, 0)))


@given(strategies.binary(max_size=400))
def test_any_bytes_behind_a_task_are_tasks_or_a_wire_error(data: bytes) -> None:
    try:
        tasks = decode_batch(bytes([RecordType.SEEN]) + data)
    except WireError:
        return
    assert all(isinstance(task, events.TaskSeen) for task in tasks)
