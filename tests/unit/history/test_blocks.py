"""Rows to a block's content and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.errors import RecordingError
from pidscope.history.blocks import (
    PackedRows,
    PlainRows,
    Summary,
    pack_rows,
    parse_summary,
    summary,
)
from pidscope.wire.lives import LIVES, LIVES_DEEP, Class, Life
from tests.unit.history.lives import HOST, any_lives, life, rows


@pytest.mark.parametrize("of", [LIVES, LIVES_DEEP])
@given(st.data())
def test_rows_come_back_as_they_were(of: Class, data: st.DataObject) -> None:
    made = data.draw(st.lists(any_lives(of is LIVES_DEEP), min_size=1, max_size=9))
    plain = rows(*made)
    packed = PackedRows(of, pack_rows(of, plain), len(made))
    written = PlainRows(of, plain, len(made))
    for found in (packed, written):
        assert b"".join(found.row(at) for at in range(found.count)) == plain
        assert [found.life(at) for at in range(found.count)] == made
        assert list(found.ends()) == [it.end_ns for it in made]
        assert list(found.starts()) == [it.start_ns or 0 for it in made]


@given(st.lists(any_lives(), min_size=1, max_size=9), st.data())
def test_a_number_is_found_at_every_level(made: list[Life], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(made))
    level = data.draw(st.integers(0, len(chosen.numbers) - 1))
    ns, number = chosen.inums[level], chosen.numbers[level]
    assert number is not None
    expected = [at for at, it in enumerate(made) if (ns, number) in zip(it.inums, it.numbers)]
    plain = rows(*made)
    for found in (
        PackedRows(LIVES, pack_rows(LIVES, plain), len(made)),
        PlainRows(LIVES, plain, len(made)),
    ):
        assert sorted(set(found.having(ns, number))) == expected or ns == 0


def test_a_number_across_two_others_is_none() -> None:
    """The bytes of two numbers side by side hold a third one."""
    found = PlainRows(LIVES, rows(life((0x01000000,)), life((0x02,))), 2)
    assert list(found.having(HOST, 0x0201)) == []
    assert list(found.having(HOST, 2)) == [1]


def test_a_summary() -> None:
    made = rows(life((7,), start_ns=5, end_ns=9), life((3,), start_ns=6, end_ns=8))
    found = summary(LIVES, made, 77)
    assert found == Summary(0, 2, 5, 8, 9, 77, 3, 7)
    assert parse_summary(found.pack()) == found


@pytest.mark.parametrize("meta", [b"", b"\0" * 47, b"\0" * 49, b"\4" + b"\0" * 47])
def test_no_summary_is_refused(meta: bytes) -> None:
    with pytest.raises(RecordingError, match="without its summary"):
        parse_summary(meta)


@pytest.mark.parametrize("rows_of", [PackedRows, PlainRows])
@pytest.mark.parametrize("size", [0, 127, 129])
def test_a_content_of_another_length_is_refused(
    rows_of: type[PackedRows | PlainRows], size: int
) -> None:
    with pytest.raises(RecordingError, match="are no 1 rows of lives"):
        rows_of(LIVES, bytes(size), 1)
