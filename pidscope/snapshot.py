"""What /proc (a kernel's or the model's) tells of the tasks: the second door of both worlds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Status(NamedTuple):
    """The PID lines of one ``/proc/N/status`` (``proc_pid_status()``, fs/proc/array.c).

    Each number in a tuple was read on its own, without a lock, in the order of the fields here
    from ``ppid`` on: the file is not atomic. Tuples run from the /proc mount's namespace inwards.
    """

    name: bytes  # as escaped by the kernel
    state: str  # one letter: R S D T t Z X I …
    ppid: int
    tgid: int
    pid: int
    ns_tgid: tuple[int, ...]
    ns_pid: tuple[int, ...]
    ns_pgid: tuple[int, ...]
    ns_sid: tuple[int, ...]


class TaskReading(NamedTuple):
    """One task, opened by ``number``, as three files of /proc told it one after the other."""

    number: int
    status: Status
    start_ticks: int | None  # field 22 of stat, USER_HZ since boot; None: vanished meanwhile
    ns: int | None  # inum of ns/pid; None: vanished, or this user may not read it


@dataclass(frozen=True)
class Snapshot:
    """All tasks, threads included, and the parent inum of each namespace that could be asked."""

    tasks: tuple[TaskReading, ...]
    ns_parents: dict[int, int] = field(default_factory=dict)  # 0: the outermost that is visible
