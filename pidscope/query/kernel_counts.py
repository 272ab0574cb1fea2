"""What the kernel counted, as the counts that a stream makes of each event.

Pure. The rows are the same: by comm one a name; by namespace one for each time that an inum got a
number 1, with the comm of that, as it was at its birth, at its last exec, or at the start. A fork
that failed belongs to the row that its namespace had at that moment. Where the kernel knew only the
inum, no number 1 has been born there since the start: that is the row of the namespace that was
there before, or, if none has one, the row that the first number 1 begins, as in a stream.
"""

from __future__ import annotations

from collections.abc import Mapping

from pidscope.query.fork_counts import MAX_ROWS, ByComm, ByNamespace, Counts, First, Row
from pidscope.wire.counts import Counted, CountedNs, Init, InitKind, decode_comm, decode_ns


class Inits:
    """The comms of number 1s, and which of them were born since the start.

    Args:
        begun_ns: CLOCK_BOOTTIME before the programs were attached.
    """

    def __init__(self, begun_ns: int) -> None:
        self._begun_ns = begun_ns
        self._before: dict[int, bytes] = {}  # by number: who was there
        self._born: dict[First, bytes] = {}  # at most `MAX_ROWS`
        self._unsure = False

    def there(self, comms: Mapping[int, bytes]) -> None:
        """Take note of the number 1s that are there at the start, by number on the host."""
        self._before.update(comms)

    def add(self, init: Init) -> None:
        """Take note of what one did."""
        first = First(init.nr, init.start_ns)
        if init.kind is InitKind.BORN:
            if len(self._born) < MAX_ROWS:
                self._born[first] = init.comm
        elif init.kind is InitKind.EXECUTED:
            if first in self._born:
                self._born[first] = init.comm
            elif init.start_ns < self._begun_ns:
                self._before[init.nr] = init.comm

    def doubt(self) -> None:
        """Something that one did was lost: an exec may be among it."""
        self._unsure = True

    def first(self, it: CountedNs) -> First | None:
        """Return the number 1 of a namespace if it was born since the start."""
        first = First(it.init or 0, it.start_ns)
        return first if first in self._born or it.start_ns >= self._begun_ns else None

    def comm(self, it: CountedNs) -> bytes | None:
        """Return the comm of a namespace's number 1; None: not known."""
        if self._unsure or it.init is None:
            return None
        first = self.first(it)
        return self._before.get(it.init) if first is None else self._born.get(first)


def by_comm(counted: Mapping[bytes, Counted], others: Counted) -> ByComm:
    """Return counts by comm, given by the bytes of the kernel's keys."""
    made = ByComm()
    for key, it in counted.items():
        _add(made.row(decode_comm(key)), it)
    _add(made.others, others)
    return made


def by_namespace(
    counted: Mapping[bytes, Counted], others: Counted, inits: Inits, root_ns: int
) -> ByNamespace:
    """Return counts by namespace, given by the bytes of the kernel's keys.

    ``root_ns`` is the inum of the initial namespace.
    """
    made = ByNamespace()
    namespaces = sorted(
        ((decode_ns(key, root_ns), it) for key, it in counted.items()),
        key=lambda each: each[0].start_ns,
    )
    for ns, it in namespaces:
        if ns.init is not None:
            _add(made.new_row(_row(ns, inits)), it)
    for ns, it in namespaces:
        if ns.init is None:
            _add(made.first_row(ns.ns) or made.new_row(Row(ns.ns)), it)
    _add(made.others, others)
    return made


def _row(ns: CountedNs, inits: Inits) -> Row:
    row = Row(ns.ns)
    row.level, row.init, row.first = ns.level, ns.init, inits.first(ns)
    row.comm = inits.comm(ns)
    return row


def _add(to: Counts, counted: Counted) -> None:
    to.processes += counted.processes
    to.threads += counted.threads
    to.failed_forks += counted.failed_forks
