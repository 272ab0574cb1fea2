"""Rows of lives and births: values to bytes, through columns, and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from pidscope.errors import WireError
from pidscope.history.lives import BLOCK, Block, Columns
from pidscope.wire.lives import (
    BIRTHS,
    BIRTHS_DEEP,
    CLASSES,
    LIVES,
    LIVES_DEEP,
    Born,
    Life,
    LifeKind,
    columns_of,
    pack_born,
    pack_life,
    to_life,
)

u32 = strategies.integers(0, 2**32 - 1)
u64 = strategies.integers(0, 2**64 - 1)
comms = strategies.binary(max_size=16).map(lambda raw: raw.partition(b"\0")[0])
levels = strategies.integers(1, 33)


def tuples_of(depth: int) -> strategies.SearchStrategy[tuple[int, ...]]:
    return strategies.tuples(*[u32] * depth)


lives = levels.flatmap(
    lambda depth: strategies.builds(
        Life,
        kind=strategies.sampled_from(LifeKind),
        numbers=tuples_of(depth),
        inums=tuples_of(depth),
        start_ns=u64.map(lambda ns: ns or None),
        end_ns=u64,
        tgid=u32,
        leader_start_ns=u64,
        ppid=u32,
        parent_start_ns=u64,
        pgid=u32,
        sid=u32,
        comm=comms,
        uid=u32,
        status=strategies.none() | u32,
        cgroup_id=u64,
        joined=strategies.none() | strategies.booleans(),
        by_thread=strategies.booleans(),
    )
)
births = levels.flatmap(
    lambda depth: strategies.builds(
        Born,
        numbers=tuples_of(depth),
        ns=u32,
        start_ns=u64,
        tgid=u32,
        ppid=u32,
        parent_start_ns=u64,
        by=u32,
    )
)


def one_block(rows: bytes, columns: Columns) -> Block:
    assert list(columns.add(rows)) == []
    return columns.flush()


@given(lives)
def test_a_life_goes_through_its_row_and_columns(life: Life) -> None:
    of, row = pack_life(life)
    assert of is (LIVES if len(life.numbers) <= 4 else LIVES_DEEP) and len(row) == of.size
    assert one_block(row, Columns(of, 2)).life(0) == life


@given(births)
def test_a_birth_does(born: Born) -> None:
    of, row = pack_born(born)
    assert of is (BIRTHS if len(born.numbers) <= 4 else BIRTHS_DEEP)
    assert one_block(row, Columns(of, 2)).born(0) == born


def test_numbers_that_are_not_known_are_none() -> None:
    life = Life(
        *(LifeKind.EXECED, (7, None), (1, 2), None, 9, 5, 4, 1, 1, 5, 5, b"sh", 0, 0, 1, False)
    )
    assert one_block(pack_life(life)[1], Columns(LIVES, 1 + 1)).life(0) == life


@settings(max_examples=30)
@given(strategies.lists(births, max_size=23), strategies.lists(u32, max_size=5))
def test_blocks_do_not_depend_on_how_rows_come(found: list[Born], cuts: list[int]) -> None:
    rows = [row for of, row in map(pack_born, found) if of is BIRTHS]
    columns, blocks = Columns(BIRTHS, 4), []
    edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for start, end in zip(edges, edges[1:]):
        blocks += list(columns.add(b"".join(rows[start:end])))
    assert [block.rows for block in blocks] == [4] * (len(rows) // 4)
    assert columns.waiting == len(rows) % 4
    blocks.append(columns.flush())
    back = [block.born(at) for block in blocks for at in range(block.rows)]
    assert back == [born for born in found if len(born.numbers) <= 4]


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.name)
def test_every_byte_of_a_row_is_in_one_column_but_header_and_padding(of: object) -> None:
    assert of in CLASSES
    layout, size = of.layout, of.size  # type: ignore[attr-defined]
    covered = [
        at
        for column in columns_of(layout)
        for at in range(
            column.offset, column.offset + {"Q": 8, "I": 4, "H": 2, "B": 1}[column.code]
        )
    ]
    assert len(covered) == len(set(covered))
    padding = sum(int(code[:-1]) for _, code in layout.fields if code.endswith("x"))
    assert len(covered) == size - 8 - padding


def test_what_is_no_row_is_refused() -> None:
    columns = Columns(LIVES)
    with pytest.raises(WireError):
        list(columns.add(bytes(127)))
    with pytest.raises(WireError):
        one_block(bytes(128), columns).life(0)  # kind 0
    with pytest.raises(WireError):
        to_life({})
    life = Life(*(LifeKind.THREAD, (1,), (1,), 1, 1, 1, 1, 1, 1, 1, 1, b"x" * 3, 0, 0, 1, False))
    with pytest.raises(WireError):
        pack_life(life._replace(tgid=1 << 32))


def test_a_full_block_is_what_the_issue_says() -> None:
    assert BLOCK == 8_192
    columns = Columns(LIVES)
    blocks = list(columns.add(bytes(128 * (BLOCK + 1))))
    assert [block.rows for block in blocks] == [BLOCK] and columns.waiting == 1
    assert len(blocks[0].columns["start_ns"]) == BLOCK
