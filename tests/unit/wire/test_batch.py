"""The task iterator's output: in runs as one by one, and nothing but WireError of other bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import WireError
from pidscope.events import Birth, PidNumbers, TaskExited, TaskSeen
from pidscope.wire.batch import decode_batch
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from pidscope.wire.layout import LAYOUTS, RecordType
from tests.unit.wire.test_wire import EVENTS, FLAT

DEEP = PidNumbers(tuple(range(1, 10)), 7)
LEVEL, PGID_LEVEL, SID_LEVEL = 1, 2, 3  # their bytes in a record


def seen(pid: PidNumbers, pgid: PidNumbers = FLAT, sid: PidNumbers = FLAT) -> TaskSeen:
    return TaskSeen(5, 6, pid.nr, pid, Birth(1, 0, 9, b"c", 0, pgid, sid))


@given(st.lists(EVENTS[TaskSeen], max_size=9))
def test_what_was_written_is_read_in_its_order(tasks: Any) -> None:
    data = b"".join(map(encode, tasks))
    assert decode_batch(data) == tasks == [decode(encode(task)).event for task in tasks]


def test_runs_end_at_a_deep_one() -> None:
    tasks = [seen(FLAT), seen(FLAT), seen(DEEP), seen(DEEP), seen(FLAT)]
    assert decode_batch(b"".join(map(encode, tasks))) == tasks
    assert decode_batch(b"") == []


def test_links_with_the_same_numbers_elsewhere_are_not_taken_for_each_other() -> None:
    """Levels, inums and numbers each make a difference."""
    one, two, inner = (PidNumbers((3, 4), 7), PidNumbers((3, 4), 8), PidNumbers((3, 4, 5), 7))
    tasks = [seen(FLAT, pgid, sid) for pgid in (one, two, inner) for sid in (one, two, inner)]
    assert decode_batch(b"".join(map(encode, tasks))) == tasks


@pytest.mark.parametrize("pid", [FLAT, DEEP])
def test_a_walk_that_was_cut_off_is_refused(pid: PidNumbers) -> None:
    data = encode(seen(FLAT)) + encode(seen(pid))
    for cut in (1, 60, 119, 121, len(data) - 1):
        with pytest.raises(WireError):
            decode_batch(data[:cut])


@pytest.mark.parametrize("place", [LEVEL, PGID_LEVEL, SID_LEVEL])
def test_a_level_out_of_range_is_refused(place: int) -> None:
    data = bytearray(encode(seen(FLAT)) * 2)
    data[LAYOUTS[RecordType.SEEN].compile().size + place] = 4
    with pytest.raises(WireError):
        decode_batch(bytes(data))


def test_anything_else_is_refused() -> None:
    with pytest.raises(WireError, match="TaskExited"):
        decode_batch(encode(seen(FLAT)) + encode(TaskExited(0, 1, 1, 1, 0)))


@given(st.binary(max_size=400))
def test_any_bytes_are_tasks_or_a_wire_error(data: bytes) -> None:
    try:
        tasks = decode_batch(bytes([RecordType.SEEN]) + data)
    except WireError:
        return
    assert all(isinstance(task, TaskSeen) for task in tasks)
