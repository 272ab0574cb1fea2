"""The tasks of a snapshot as rows, whether the task iterator or files of /proc showed them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple, Union

from pidscope.errors import HostError
from pidscope.escape import unescape_status_name
from pidscope.events import PidNumbers
from pidscope.snapshot import Snapshot, TaskReading

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long

Link = Union[PidNumbers, tuple[int, ...]]  # a struct pid's names, or one line of a member's status


class Row(NamedTuple):
    """One task, as it was read."""

    numbers: tuple[int, ...]
    ns: int  # inum of its innermost namespace
    tgid: int
    comm: bytes
    pgid: Link
    sid: Link
    start_ns: int | None  # from the iterator
    start_ticks: int | None  # from /proc

    @property
    def nr(self) -> int:
        """The number in the initial namespace."""
        return self.numbers[0]

    @property
    def leads(self) -> bool:
        """Whether it is its process's leader."""
        return self.tgid == self.nr


def rows(snapshot: Snapshot, born: Container[int], root: int) -> Iterator[Row]:
    """What was read whole of tasks that were not born in the window; ``root`` is an inum.

    Raises:
        HostError: the namespace of a task that is alive could not be read.
    """
    for _, _, tid, (numbers, ns), birth in snapshot.seen:
        if tid not in born and tid == numbers[0]:  # else in the middle of an exchange
            tgid, _, start_ns, comm, _, pgid, sid = birth
            yield _new(Row, (numbers, ns, tgid, comm, pgid, sid, start_ns, None))
    for reading in snapshot.tasks:
        if reading.number not in born and _is_whole(reading):
            yield _of_files(reading, root)


def _is_whole(reading: TaskReading) -> bool:
    """If it is not, the task was released meanwhile, and its event is in the window."""
    numbers = reading.status.ns_pid
    return numbers[0] == reading.number and 0 not in numbers and reading.start_ticks is not None


def _of_files(reading: TaskReading, root: int) -> Row:
    status = reading.status
    return Row(
        status.ns_pid,
        _inum(reading, root),
        status.ns_tgid[0],
        unescape_status_name(status.name),
        status.ns_pgid,
        status.ns_sid,
        None,
        reading.start_ticks,
    )


def _inum(reading: TaskReading, root: int) -> int:
    """The inum of the task's namespace; with one number it is the root's, link or no link."""
    if reading.ns is not None:
        return reading.ns
    if len(reading.status.ns_pid) == 1:
        return root
    raise HostError(
        f"may not read the PID namespace of task {reading.number}, which is alive",
        "give this process CAP_SYS_PTRACE; an LSM may refuse it too",
    )


def parents(snapshot: Snapshot, born: Container[int]) -> dict[int, int]:
    """The parent inum of each namespace that was read.

    Every task that was not born in the window was there at its beginning, so the namespaces of all
    of them existed at one time: no inum is two namespaces'.
    """
    seen = (row for row in snapshot.seen if row.tid not in born)
    return {**snapshot.ns_parents, **{row.pid.ns: row.birth.ns_parent for row in seen}}
