"""Rows of lives as a recording keeps them: 32-bit words, column by column, times as differences.

A row (bpf/record.h) is a number of words. A block has, for each word but the ring's header and the
padding, that word of all rows, one behind the other. Before that, three times of each row are made
small: its end is what it is later than the end of the row before, its start how long it lived, the
start of its leader how much later that is than its own. All of that modulo 2^64.

What works on whole columns runs in the interpreter's C code: no row becomes a Python object.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from pidscope.errors import RecordingError
from pidscope.wire.lives import CLASSES, Class, Life, columns_of, unpack_life

_WORD = 4
_MASK = (1 << 64) - 1
_META = struct.Struct("<BxHIQQQQII")


class Summary(NamedTuple):
    """What a frame's meta says of its rows, to pass by those that cannot hold an answer."""

    of: int  # index of the class in `pidscope.wire.lives.CLASSES`
    rows: int
    first_start_ns: int  # the least start; 0: of some row it is not known
    first_end_ns: int
    last_end_ns: int
    taken_ns: int  # CLOCK_BOOTTIME: everything that ended before it is in this frame or before it
    least: int  # of the numbers in the initial namespace
    greatest: int

    def pack(self) -> bytes:
        """Return the meta."""
        return _META.pack(self.of, 0, *self[1:])


def parse_summary(meta: bytes) -> Summary:
    """Return what a meta says; raises RecordingError."""
    if len(meta) != _META.size or meta[0] >= len(CLASSES):
        raise RecordingError("a block without its summary")
    of, _, *values = _META.unpack(meta)
    return Summary(of, *values)


class RowWords(NamedTuple):
    """Which words of a row are kept, and those that begin a time or a number."""

    size: int  # words of a row
    kept: tuple[int, ...]
    runs: tuple[tuple[int, int, int], ...]  # of neighbours in these: place, word, how many
    start: int
    end: int
    leader: int
    numbers: int
    inums: int


@lru_cache(maxsize=len(CLASSES))
def row_words(of: Class) -> RowWords:
    """Return the words of a class of lives."""
    columns = columns_of(of.layout)
    at = {column.name: column.offset // _WORD for column in columns}
    kept = sorted(
        {
            column.offset // _WORD + more
            for column in columns
            for more in range(2 if column.code == "Q" else 1)
        }
    )
    return RowWords(
        of.size // _WORD,
        tuple(kept),
        tuple(_runs(kept)),
        at["start_ns"],
        at["end_ns"],
        at["leader_start_ns"],
        at["nr_0"],
        at["ns_0"],
    )


def _runs(kept: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    begin = 0
    for place in range(1, len(kept) + 1):
        if place == len(kept) or kept[place] != kept[place - 1] + 1:
            yield begin, kept[begin], place - begin
            begin = place


def summary(of: Class, rows: bytes, taken_ns: int) -> Summary:
    """Return what is to be said of whole rows, at least one, that were taken at ``taken_ns``."""
    words, where = memoryview(rows).cast("I"), row_words(of)
    longs = memoryview(rows).cast("Q")
    step = where.size // 2
    starts = longs[where.start // 2 :: step].tolist()
    ends = longs[where.end // 2 :: step].tolist()
    numbers = words[where.numbers :: where.size].tolist()
    return Summary(
        CLASSES.index(of),
        len(numbers),
        min(starts),
        min(ends),
        max(ends),
        taken_ns,
        min(numbers),
        max(numbers),
    )


def merged(summaries: Sequence[Summary]) -> Summary:
    """Return what is to be said of the rows of several blocks of one class, in their order."""
    last, columns = summaries[-1], list(zip(*summaries))
    return Summary(
        last.of,
        sum(columns[1]),
        *(min(columns[2]), min(columns[3]), max(columns[4])),
        last.taken_ns,
        *(min(columns[6]), max(columns[7])),
    )


def pack_rows(of: Class, rows: bytes) -> bytes:
    """Return whole rows as a block's content."""
    where, words, longs = row_words(of), array("I", rows), array("Q", rows)
    step = where.size // 2
    ends = longs[where.end // 2 :: step].tobytes()
    starts = longs[where.start // 2 :: step].tobytes()
    leaders = longs[where.leader // 2 :: step].tobytes()
    small = {
        where.end: _differences(ends, bytes(8) + ends[:-8]),
        where.start: _differences(ends, starts),
        where.leader: _differences(leaders, starts),
    }
    parts: list[bytes] = []
    for at in where.kept:
        if at in small:
            low_high = array("I", small[at])
            parts += (low_high[0::2].tobytes(), low_high[1::2].tobytes())
        elif at - 1 not in small:
            parts.append(words[at :: where.size].tobytes())
    return b"".join(parts)


def _differences(these: bytes, others: bytes) -> bytes:
    """Return each 64-bit number less the other, modulo 2^64.

    A column is one long integer here. The highest bits are kept out of the subtraction, so that
    none borrows from its neighbour, and are put in behind it.
    """
    signs = int.from_bytes(bytes((0, 0, 0, 0, 0, 0, 0, 0x80)) * (len(these) // 8), "little")
    one, other = int.from_bytes(these, "little"), int.from_bytes(others, "little")
    lower = (one | signs) - (other ^ (other & signs))
    return (lower ^ signs ^ ((one ^ other) & signs)).to_bytes(len(these), "little")


class Rows:
    """The rows of a block; each is made when it is asked for.

    Args:
        of: the class.
        count: rows.
    """

    def __init__(self, of: Class, count: int) -> None:
        self.of = of
        self.count = count
        self._where = row_words(of)

    def row(self, at: int) -> bytes:
        """Return a row as the kernel wrote it, its header 0."""
        raise NotImplementedError

    def life(self, at: int) -> Life:
        """Return a row as a value; raises WireError."""
        return unpack_life(self.of, self.row(at))

    def word(self, word: int) -> memoryview:
        """Return a word of every row."""
        raise NotImplementedError

    def starts(self) -> Sequence[int]:
        """Return the start of each, CLOCK_BOOTTIME in ns; 0: not known."""
        raise NotImplementedError

    def ends(self) -> Sequence[int]:
        """Return the end of each, CLOCK_BOOTTIME in ns."""
        raise NotImplementedError

    def having(self, ns: int, number: int) -> Iterator[int]:
        """Yield the rows that have a number in the namespace with this inum."""
        for level in range(self.of.levels):
            inums = self.word(self._where.inums + level)
            if level and not any(inums):
                return
            yield from (at for at in self._numbered(level, number) if inums[at] == ns)

    def first_inside(self) -> Iterator[int]:
        """Yield the rows that are number 1 of a namespace inside the initial one."""
        for level in range(1, self.of.levels):
            inums = self.word(self._where.inums + level)
            if not any(inums):
                return
            yield from (at for at in self._numbered(level, 1) if inums[at])

    def _numbered(self, level: int, number: int) -> Iterator[int]:
        """Yield the rows that have a number at a level."""
        wanted = number.to_bytes(_WORD, "little")
        numbers = self.word(self._where.numbers + level).tobytes()
        at = numbers.find(wanted)
        while at >= 0:
            if not at % _WORD:
                yield at // _WORD
            at = numbers.find(wanted, at + 1)


class PlainRows(Rows):
    """Whole rows, as the kernel wrote them.

    Raises RecordingError: the content is not as long as so many rows.
    """

    def __init__(self, of: Class, content: bytes, count: int) -> None:
        super().__init__(of, count)
        _expect(len(content) == of.size * count, content, self)
        self._rows = content

    def row(self, at: int) -> bytes:
        """Return a row as the kernel wrote it."""
        return self._rows[at * self.of.size : (at + 1) * self.of.size]

    def word(self, word: int) -> memoryview:
        """Return a word of every row."""
        return memoryview(self._rows).cast("I")[word :: self._where.size]

    def starts(self) -> Sequence[int]:
        """Return the start of each."""
        return self._long(self._where.start)

    def ends(self) -> Sequence[int]:
        """Return the end of each."""
        return self._long(self._where.end)

    def _long(self, word: int) -> memoryview:
        return memoryview(self._rows).cast("Q")[word // 2 :: self._where.size // 2]


class PackedRows(Rows):
    """Rows that `pack_rows` has packed.

    Raises RecordingError: the content is not as long as so many rows.
    """

    def __init__(self, of: Class, content: bytes, count: int) -> None:
        super().__init__(of, count)
        _expect(len(content) == len(self._where.kept) * _WORD * count, content, self)
        self._content = memoryview(content).cast("I")
        self._ends: array[int] | None = None  # of all rows, once one is asked for

    def row(self, at: int) -> bytes:
        """Return a row as the kernel wrote it, its header 0."""
        if not 0 <= at < self.count:
            raise IndexError(at)
        where = self._where
        row = array("I", bytes(where.size * _WORD))
        kept = self._content[at :: self.count]
        view = memoryview(row)
        for place, word, words in where.runs:
            view[word : word + words] = kept[place : place + words]
        longs = view.cast("B").cast("Q")
        start, end, leader = where.start // 2, where.end // 2, where.leader // 2
        longs[end] = self.ends()[at]
        longs[start] = (longs[end] - longs[start]) & _MASK
        longs[leader] = (longs[start] + longs[leader]) & _MASK
        return row.tobytes()

    def word(self, word: int) -> memoryview:
        """Return a word of every row, of those that are no time."""
        place = self._where.kept.index(word)
        return self._content[place * self.count : (place + 1) * self.count]

    def starts(self) -> Sequence[int]:
        """Return the start of each."""
        lived = self._small(self._where.start, self.count)
        return [(end - ns) & _MASK for end, ns in zip(self.ends(), lived)]

    def ends(self) -> Sequence[int]:
        """Return the end of each."""
        if self._ends is None:
            self._ends = _sums(self._small(self._where.end, self.count))
        return self._ends

    def _small(self, word: int, count: int) -> list[int]:
        """Return what stands for a time in the first rows, given the word that it begins at."""
        pairs = array("I", bytes(8 * count))
        view = memoryview(pairs)
        view[0::2], view[1::2] = self.word(word)[:count], self.word(word + 1)[:count]
        return view.cast("B").cast("Q").tolist()


def _sums(differences: Sequence[int]) -> "array[int]":
    """Return the running sums modulo 2^64, of what `_differences` made."""
    signed = memoryview(array("Q", differences)).cast("B").cast("q").tolist()
    try:
        sums = array("q", accumulate(signed))
    except OverflowError:
        return array("Q", [time & _MASK for time in accumulate(differences)])
    return array("Q", sums.tobytes())


def _expect(right: bool, content: bytes, rows: Rows) -> None:
    if not right:
        raise RecordingError(f"{len(content)} bytes are no {rows.count} rows of {rows.of.name}")
