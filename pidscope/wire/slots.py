"""Reading an array of slots that others write to meanwhile: what may be taken, and what is lost.

The kernel's side (bpf/lives.c) has a cursor, which only grows, and an array of N slots, each with a
sequence, which lies apart. A writer takes a *place*, the cursor's old value, by an atomic addition;
its slot is the place modulo N. It then exchanges the slot's sequence for WRITING, by an atomic
compare-and-exchange, writes the record, and stores place + 1 as the sequence. It gives up, and
never touches the slot, if it finds WRITING there or the sequence of a later place. So one writer at
a time is in a slot, the sequences that a slot shows grow, and each place is either finished or
never will be.

The reader looks three times, and what it takes is whole:

1. *The cursor*: the places before it have been given out. More than N behind it are lost.
2. *The sequences*: a place is finished if its slot shows exactly place + 1.
3. The copy, of all the slots at once.
4. *The cursor again*, as C. A place p is kept if p + N >= C.

Claim: the copy of a place that is kept is the record of that place, whole. What its writer stored
was stored before the sequence that look 2 found, so the copy, made after it, has that or something
newer. Something newer is of a writer of p + N, or of a later lap. Such a writer moved the cursor
beyond p + N before it stored anything. Had the copy one byte of that, look 4, made after the copy,
would have found C > p + N, and the place would not be kept.

The claim needs four orders, two of each side. Of the writer: the cursor's move and the mark before
the record's bytes, and these before the sequence. Of the reader: look 2 before the copy, and the
copy before look 4. How each side gets them is said where it is done: bpf/lives.c, and
`pidscope.live.slots`, whose `Memory.barrier` stands for both of the reader's.

The count is exact. Each place is given back once, or counted as lost once: overwritten before it
was taken, or never finished. A place that is not finished yet stops nothing: the reader goes on
behind it, and looks again at each `take`, until it is there or a lap has passed over it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol


class Memory(Protocol):
    """The cursor and the slots, as others change them."""

    def cursor(self) -> int:
        """The next place to be given out: one load."""

    def are(self, slot: int, sequences: memoryview) -> bool:
        """Whether the slots from ``slot`` on show these sequences: one load of each."""

    def sequence(self, slot: int) -> int:
        """What one slot shows: one load."""

    def copy(self, slot: int, count: int) -> bytes:
        """So many slots from ``slot`` on, by loads in any order."""

    def barrier(self) -> None:
        """Every load before it comes before every load behind it."""


class SlotReader:
    """The reader of one array, from the place it is made at.

    Args:
        memory: the slots.
        capacity: how many there are, a power of two.
        row: bytes of a slot.
        position: the first place that is wanted; None: the next one to be given out.

    Attributes:
        position: the next place that was not looked at yet.
        taken: rows that were given back.
        lost: places that were overwritten before they were taken, or never finished.
    """

    def __init__(
        self, memory: Memory, capacity: int, row: int, position: int | None = None
    ) -> None:
        self._memory = memory
        self._capacity = capacity
        self._row = row
        self.position = memory.cursor() if position is None else position
        self.taken = 0
        self.lost = 0
        self._unfinished: list[int] = []

    @property
    def unfinished(self) -> int:
        """Places behind `position` that have been given out and not been finished yet."""
        return len(self._unfinished)

    def take(self) -> list[bytes]:
        """Every row that is there by now: runs of whole rows, first those that came late."""
        cursor = self._memory.cursor()
        overwritten = max(0, cursor - self._capacity - self.position)
        self.lost += overwritten
        self.position += overwritten
        late, self._unfinished = self._unfinished, []
        found = [rows for place in late for rows in self._run(place, 1)]
        for place, count in self._stretches(cursor):
            found += self._run(place, count)
        self.position = cursor
        self.taken += sum(map(len, found)) // self._row
        return found

    def _stretches(self, cursor: int) -> Iterator[tuple[int, int]]:
        """From the position to the cursor, without what would go around the array's end."""
        place = self.position
        while place < cursor:
            left = self._capacity - place % self._capacity
            count = min(left, cursor - place)
            yield place, count
            place += count

    def _run(self, place: int, count: int) -> list[bytes]:
        """The rows of these places that are whole, in runs."""
        memory, slot = self._memory, place % self._capacity
        wanted = memoryview(array("Q", range(place + 1, place + count + 1)))
        finished = memory.are(slot, wanted)
        which = [] if finished else self._finished(place, count)
        memory.barrier()
        rows = memory.copy(slot, count)
        memory.barrier()
        first = memory.cursor() - self._capacity  # what comes before it may have been written to
        if finished and first <= place:
            return [rows]
        return self._kept(rows, place, range(place, place + count) if finished else which, first)

    def _finished(self, place: int, count: int) -> list[int]:
        """The places that are; a slot that shows a later one has been overwritten since."""
        sequence, capacity = self._memory.sequence, self._capacity
        return [
            each for each in range(place, place + count) if sequence(each % capacity) == each + 1
        ]

    def _kept(self, rows: bytes, place: int, finished: Sequence[int], first: int) -> list[bytes]:
        """The rows of places that are finished, and from ``first`` on; count or note the others."""
        count = len(rows) // self._row
        known = set(finished)
        kept = []
        for each in range(place, place + count):
            if each < first:
                self.lost += 1
            elif each in known:
                at = (each - place) * self._row
                kept.append(rows[at : at + self._row])
            else:
                self._unfinished.append(each)
        return kept
