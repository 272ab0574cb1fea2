"""The rows of the listing: one layout on both sides, and what /proc would print of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import WireError
from pidscope.live.source_folder import SOURCE_FOLDER
from pidscope.snapshot import Status
from pidscope.wire.layout import NR_LEVELS
from pidscope.wire.listing import LAYOUT, LEVEL_FIELDS, LISTED_LEVELS, Ask, Listed, decode_listing
from tests.unit.wire.compiled import compiled_layouts

HEADERS = SOURCE_FOLDER / "record.h", SOURCE_FOLDER / "listing.h"
HOST, INNER = 4026531836, 4026532177


def row(*levels: tuple[int, ...], **of_task: Any) -> bytes:
    """One row as the program writes it, by the layout."""
    values = {"tid": 42, "level": len(levels) - 1, "start_ns": 7, "comm": b"x", **of_task}
    for at, level in enumerate(levels):
        values.update((f"{at}.{name}", it) for name, it in zip(LEVEL_FIELDS, level))
    plain = (path.replace("levels[", "").replace("].", ".") for path, _ in LAYOUT.fields)
    names = [path.removeprefix("task.") for path in plain]
    return LAYOUT.compile().pack(*(values.get(name, 0) for name in names))


def one(*levels: tuple[int, ...], **of_task: Any) -> Listed:
    [listed] = decode_listing(row(*(levels or ((HOST, 42, 42, 42, 42),)), **of_task))
    return listed


def test_both_sides_have_one_layout(tmp_path: Path) -> None:
    at, fields = 0, {}
    for path, code in LAYOUT.fields:
        size = struct.calcsize("=" + code)
        fields[f"listed.{path}"] = (at, size)
        at += size
    fields["listed"] = (at, 0)
    fields["LISTED_LEVELS"] = (LISTED_LEVELS, 0)
    assert compiled_layouts(HEADERS, tmp_path, ["LISTED_LEVELS"], [LAYOUT]) == fields


def test_a_task_in_a_container() -> None:
    """Its group has no number inside, so its session neither."""
    listed = one(
        (HOST, 42, 40, 30, 20), (INNER, 7, 5, 0, 0), ppid=30, state=1, tracer=9, threads=2,
        cgroup_id=77,
    )  # fmt: skip
    status = Status(b"x", "S", 30, 40, 42, (40, 5), (42, 7), (30, 0), (20, 0))
    assert listed == Listed(status, (HOST, INNER), 7, 77, Ask.NOTHING, 9, 2)
    assert not listed.is_leader


@pytest.mark.parametrize(
    ("state", "exit_state", "letter"),
    [
        (0, 0, "R"), (1, 0, "S"), (0x2001, 0, "S"), (2, 0, "D"), (0x102, 0, "D"), (0x402, 0, "I"),
        (4, 0, "T"), (0x104, 0, "T"), (8, 0, "t"), (0x40, 0, "P"), (0x80, 0x20, "Z"),
        (0x80, 0x10, "X"), (0x80, 0x30, "Z"), (0x800, 0, "R"), (0x200, 0, "R"), (0x80, 0, "R"),
    ],
)  # fmt: skip
def test_the_letter_of_a_state(state: int, exit_state: int, letter: str) -> None:
    """get_task_state(), fs/proc/array.c, with the bits of include/linux/sched.h."""
    assert one(state=state, exit_state=exit_state).status.state == letter


@pytest.mark.parametrize(
    ("comm", "name"),
    [(b"a\nb", b"a\\nb"), (b"a\\n", b"a\\\\n"), (b"x\0rest", b"x"), (b"", b""), (b"c" * 16, None)],
)
def test_a_name_as_a_status_has_it(comm: bytes, name: bytes | None) -> None:
    assert one(comm=comm).status.name == (comm if name is None else name)


@pytest.mark.parametrize(
    ("of_task", "ask"),
    [
        ({"flags": 0x200000, "comm": b"kthreadd"}, Ask.NOTHING),
        ({"flags": 0x200000, "comm": b"c" * 15}, Ask.NAME),
        ({"flags": 0x200020, "comm": b"kworker/0:1"}, Ask.NAME),
        ({"flags": 0x20, "comm": b"c" * 15}, Ask.NOTHING),  # PF_WQ_WORKER is a kernel thread's
        ({"state": 0x8000}, Ask.ALL),
        ({"state": 0x1002}, Ask.ALL),
        ({"tid": 43}, Ask.ALL),
        ({"level": 4}, Ask.ALL),
        ({"level": NR_LEVELS - 1}, Ask.ALL),
    ],
)
def test_what_is_asked_of_proc(of_task: dict[str, Any], ask: Ask) -> None:
    assert one(**of_task).ask is ask


@given(st.binary(max_size=3 * LAYOUT.compile().size))
def test_other_bytes_are_refused_or_are_rows(data: bytes) -> None:
    size = LAYOUT.compile().size
    if len(data) % size:
        with pytest.raises(WireError, match=f"in rows of {size}"):
            decode_listing(data)
    else:
        assert len(decode_listing(data)) == len(data) // size
