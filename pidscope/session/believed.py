"""Rows of the task iterator that would change nothing if a sweep took them again.

A sweep reads every task each second, since nothing else shows setpgid and setsid: they have no
tracepoint but those of system calls, which slow every call on the host. Hardly any task has changed
by then, and the record of one that has not is the same byte by byte: so records are compared as
they were written, and only the others are decoded. A row is believed once the table has taken it
whole; it is doubted again when an event names its task, or when the table takes out the task, its
group or its session. Then taking it could change something, though it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from pidscope.events import TaskSeen
from pidscope.wire.batch import decode_batch, split_batch


class Believed:
    """The rows of one table."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}  # by task
        self._written = b""  # by the iterator, the last time
        self._whole = False  # all of that is believed
        self._unsure: dict[TaskSeen, bytes] = {}
        self.shown: frozenset[int] = frozenset()  # every task of the last reading

    def are_all(self, written: bytes) -> bool:
        """Whether the iterator wrote what it wrote before, and all of it is believed."""
        return self._whole and written == self._written

    def doubt(self, tids: Iterable[int]) -> None:
        """Take the rows of these tasks again."""
        for tid in tids:
            if self._records.pop(tid, None) is not None:
                self._whole = False

    def others(self, written: bytes) -> list[TaskSeen]:
        """Decode the rows that are not believed; raises WireError."""
        tids, records = split_batch(written)
        known = self._records.get
        unsure = [record for tid, record in zip(tids, records) if known(tid) != record]
        self.shown = frozenset(tids)
        for absent in self._records.keys() - self.shown:
            del self._records[absent]
        rows = decode_batch(b"".join(unsure))
        self._unsure = dict(zip(rows, unsure))
        self._written = written
        self._whole = not rows
        return rows

    def believe(self, rows: Iterable[TaskSeen]) -> None:
        """The table has these of the `others` as they are."""
        for row in rows:
            record = self._unsure.pop(row, None)  # None: in an exchange it was shown twice
            if record is not None:
                self._records[row.tid] = record
        self._whole = not self._unsure
