"""The index of a sealed segment: for each number in each namespace, the rows that had it.

A key is the inum of a namespace, and in the lower half a number in it. Keys are sorted and cut into
pages; the first key of each page stands in the segment's last frame, so that a look-up reads that
frame and one page.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import NamedTuple

from pidscope.errors import RecordingError
from pidscope.history.blocks import row_words
from pidscope.wire.lives import Class

PAGE = 2_048  # keys
_ROW_BITS = 16
_ROW = (1 << _ROW_BITS) - 1


def key_of(ns: int, number: int) -> int:
    """Return the key of a number in the namespace with this inum."""
    return ns << 32 | number


class Place(NamedTuple):
    """Where a row is: which frame of the segment, which row of its block."""

    frame: int
    row: int


class Keys:
    """The keys of a segment as they are collected, block by block."""

    def __init__(self) -> None:
        self._keys: list[int] = []
        self._places: list[int] = []

    def add(self, of: Class, rows: bytes, frame: int) -> None:
        """Add all numbers, at every level, of the whole rows of a block."""
        words, where = memoryview(rows).cast("I"), row_words(of)
        count = len(words) // where.size
        for level in range(of.levels):
            inums = words[where.inums + level :: where.size].tolist()
            if level and not any(inums):
                return
            pairs = array("I", bytes(8 * count))
            view = memoryview(pairs)
            view[0::2] = words[where.numbers + level :: where.size]
            view[1::2] = words[where.inums + level :: where.size]
            keys = view.cast("B").cast("Q").tolist()
            first = frame << _ROW_BITS
            places = range(first, first + count)
            self._keys += keys if level == 0 else compress(keys, inums)
            self._places += places if level == 0 else compress(places, inums)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield the first key of each page, and the page."""
        keys = self._keys
        order = sorted(range(len(keys)), key=keys.__getitem__)
        for at in range(0, len(order), PAGE):
            these = order[at : at + PAGE]
            page = memoryview(array("Q", map(keys.__getitem__, these))).cast("B").cast("I")
            places = array("I", map(self._places.__getitem__, these))
            yield (
                keys[these[0]],
                page[0::2].tobytes() + page[1::2].tobytes() + places.tobytes(),
            )


def page_range(firsts: Sequence[int], key: int) -> range:
    """Return which pages may have a key, given the first key of each page."""
    return range(max(0, bisect_left(firsts, key) - 1), bisect_right(firsts, key))


def find_in_page(page: bytes, key: int) -> list[Place]:
    """Return where the rows with this key are, by one page; raises RecordingError."""
    count, rest = divmod(len(page), 12)
    if rest:
        raise RecordingError("a page of the index has an odd length")
    words = memoryview(page).cast("I")
    pairs = array("I", bytes(8 * count))
    view = memoryview(pairs)
    view[0::2], view[1::2] = words[:count], words[count : 2 * count]
    keys = view.cast("B").cast("Q")
    found = range(bisect_left(keys, key), bisect_right(keys, key))
    return [
        Place(place >> _ROW_BITS, place & _ROW)
        for place in words[2 * count :][found.start : found.stop]
    ]


class Contents(NamedTuple):
    """The last frame of a sealed segment: where its other frames are."""

    frames: Sequence[int]  # offset of each
    firsts: Sequence[int]  # first key of each page of the index
    pages: Sequence[int]  # offset of each page's frame

    def pack(self) -> bytes:
        """Return the frame's content."""
        counts = struct.pack("<II", len(self.frames), len(self.pages))
        return counts + array("Q", [*self.frames, *self.firsts, *self.pages]).tobytes()


def parse_contents(data: bytes) -> Contents:
    """Return what the last frame says; raises RecordingError."""
    if len(data) < 8:
        raise RecordingError("its table of contents is cut")
    frames, pages = struct.unpack_from("<II", data)
    if len(data) != 8 + 8 * (frames + 2 * pages):
        raise RecordingError("its table of contents has another length than it says")
    words = memoryview(data[8:]).cast("Q")
    return Contents(words[:frames], words[frames : frames + pages], words[frames + pages :])
