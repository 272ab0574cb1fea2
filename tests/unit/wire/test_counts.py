"""What the kernel counts: one layout on both sides, and what keys and values mean."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pidscope.errors import WireError
from pidscope.live.source_folder import SOURCE_FOLDER
from pidscope.query.fork_counts import MAX_ROWS
from pidscope.wire.counts import (
    COMM_LAYOUT,
    COUNT_LEVEL_SHIFT,
    COUNTED_LAYOUT,
    INIT_LAYOUT,
    KEY,
    MAX_KEYS,
    NS_LAYOUT,
    Counted,
    CountedNs,
    Init,
    InitKind,
    decode_comm,
    decode_counted,
    decode_init,
    decode_ns,
)
from tests.unit.wire.compiled import compiled_layouts

HEADERS = SOURCE_FOLDER / "record.h", SOURCE_FOLDER / "counts.h"
LAYOUTS = COMM_LAYOUT, NS_LAYOUT, COUNTED_LAYOUT, INIT_LAYOUT
ROOT, INNER = 4026531836, 4026532177


def test_both_sides_have_one_layout(tmp_path: Path) -> None:
    fields = {}
    for layout in LAYOUTS:
        at = 0
        for path, code in layout.fields:
            size = struct.calcsize("=" + code)
            fields[f"{layout.struct_name}.{path}"] = (at, size)
            at += size
        fields[layout.struct_name] = (at, 0)
    kinds = {f"COUNT_INIT_{kind.name}": (kind.value, 0) for kind in InitKind}
    names = {"COUNT_LEVEL_SHIFT": (COUNT_LEVEL_SHIFT, 0), **kinds}
    assert compiled_layouts(HEADERS, tmp_path, names, LAYOUTS) == {**fields, **names}
    assert {NS_LAYOUT.compile().size, COMM_LAYOUT.compile().size} == {KEY}


def test_a_stream_and_the_kernel_have_room_for_as_many_rows() -> None:
    assert MAX_ROWS == MAX_KEYS


def ns_key(ns: int, level: int, init: int, start_ns: int) -> bytes:
    return NS_LAYOUT.compile().pack(ns, level << COUNT_LEVEL_SHIFT | init, start_ns)


@pytest.mark.parametrize(
    ("key", "ns"),
    [
        (ns_key(INNER, 1, 42, 7), CountedNs(INNER, 1, 42, 7)),
        (ns_key(INNER, 32, (1 << 22) - 1, 1 << 60), CountedNs(INNER, 32, (1 << 22) - 1, 1 << 60)),
        (ns_key(INNER, 0, 0, 0), CountedNs(INNER, None, None, 0)),
        (bytes(KEY), CountedNs(ROOT, 0, 1, 0)),
    ],
)
def test_a_namespace(key: bytes, ns: CountedNs) -> None:
    assert decode_ns(key, ROOT) == ns


def test_a_name_ends_with_its_nul() -> None:
    assert decode_comm(b"sh".ljust(KEY, b"\0")) == b"sh"
    assert decode_comm(b"fifteen letters\0") == b"fifteen letters"


def test_counts_are_sums_over_all_cpus() -> None:
    values = struct.pack("=9Q", 1, 10, 100, 2, 20, 200, 1 << 40, 0, 0)
    assert decode_counted(values, 3) == Counted((1 << 40) + 3, 30, 300)


def test_what_a_number_1_did() -> None:
    row = INIT_LAYOUT.compile().pack(2, 1, 42, INNER, ROOT, 0, 7, 9, b"sh")
    assert decode_init(row) == Init(InitKind.EXECUTED, 1, 42, INNER, ROOT, 7, 9, b"sh")
    for bad in (row[:-1], row + b"\0", INIT_LAYOUT.compile().pack(4, *[0] * 7, b"")):
        with pytest.raises(WireError):
            decode_init(bad)
