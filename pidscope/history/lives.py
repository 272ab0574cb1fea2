"""Lives, and births, as columns: blocks of rows, each column one run of numbers.

What a drain gives is copied twice on its way, in long copies and strided ones, and not looked at:
no row becomes a Python object. One that is asked for does (`Block.life`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from pidscope.errors import WireError
from pidscope.wire.lives import Born, Class, Life, columns_of, to_born, to_life

BLOCK = 8_192  # rows


class Block(NamedTuple):
    """So many rows of one class, by column (`pidscope.wire.lives.columns_of`)."""

    of: Class
    rows: int
    columns: Mapping[str, memoryview]

    def life(self, at: int) -> Life:
        """One row of a class of lives; raises IndexError, WireError."""
        return to_life(self._values(at))

    def born(self, at: int) -> Born:
        """One row of a class of births; raises IndexError, WireError."""
        return to_born(self._values(at))

    def _values(self, at: int) -> dict[str, int]:
        return {name: column[at] for name, column in self.columns.items()}


class Columns:
    """Rows of one class as they come, cut into blocks.

    Args:
        of: the class.
        block: rows of a block.
    """

    def __init__(self, of: Class, block: int = BLOCK) -> None:
        self.of = of
        self._columns = columns_of(of.layout)
        self._size = of.size
        self._block = block * of.size
        self._rows = bytearray()  # a class that never comes takes no memory

    @property
    def waiting(self) -> int:
        """Rows that are in no block yet."""
        return len(self._rows) // self._size

    def add(self, rows: bytes) -> Iterator[Block]:
        """Take a run of whole rows; yield each block that becomes full, to be asked for.

        Raises WireError: it does not end with a row.
        """
        if len(rows) % self._size:
            raise WireError(f"{len(rows)} bytes are no rows of {self._size}")
        at = 0
        while at < len(rows):
            step = min(len(rows) - at, self._block - len(self._rows))
            self._rows += rows[at : at + step]
            at += step
            if len(self._rows) == self._block:
                yield self.flush()

    def flush(self) -> Block:
        """All that wait, as a block that may have room left."""
        rows, self._rows = self._rows, bytearray()
        with memoryview(rows) as view:
            columns = {
                column.name: _strided(view, column.offset, column.code, self._size)
                for column in self._columns
            }
        return Block(self.of, len(rows) // self._size, columns)


def _strided(rows: memoryview, offset: int, code: str, size: int) -> memoryview:
    """One column, copied: every ``size`` bytes the number at ``offset``."""
    letter: Any = code  # which mypy wants to know
    with rows.cast(letter) as numbers:
        step = numbers.itemsize
        with numbers[offset // step :: size // step] as column:
            return cast("memoryview[int]", memoryview(column.tobytes()).cast(letter))
