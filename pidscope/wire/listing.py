"""The bytes of the listing, bpf/listing.c, as the tasks that /proc would show. Pure.

What /proc/N/status prints of a task is made of the same fields by the same rules. Of a few tasks it
prints more than the listing has: see `Ask`.
"""

from __future__ import annotations

import enum
import struct
from functools import cache
from typing import Any, NamedTuple

from pidscope.errors import WireError
from pidscope.snapshot import Status
from pidscope.wire.layout import COMM_LEN, Layout

LISTED_LEVELS = 4
LEVEL_FIELDS = ("ns", "pid", "tgid", "pgid", "sid")
_TASK = (
    *((name, "I") for name in ("tid", "level", "state", "exit_state", "flags")),
    *((name, "I") for name in ("ppid", "tracer", "threads")),
    ("start_ns", "Q"),
    ("cgroup_id", "Q"),
    ("comm", f"{COMM_LEN}s"),
)


_EACH = ((f"levels[{at}].{name}", "I") for at in range(LISTED_LEVELS) for name in LEVEL_FIELDS)
LAYOUT = Layout("listed", (*((f"task.{name}", code) for name, code in _TASK), *_EACH))
_ROW = LAYOUT.compile()
_FIRST = len(_TASK)  # place of the first level's first field among the values
_WIDTH = len(LEVEL_FIELDS)
_COLUMNS = range(_FIRST, _FIRST + _WIDTH)

# include/linux/sched.h. get_task_state() (fs/proc/array.c) takes the highest bit of these; a task
# that is idle is I.
_REPORTED, _IDLE = 0x7F, 0x402
_LETTERS = "RSDTtXZP"
# Kernels differ in what they print of a task that is frozen (D since 6.7, R before), or waits for a
# lock that sleeps on a kernel with PREEMPT_RT.
_UNCERTAIN = 0x8000 | 0x1000  # TASK_FROZEN, TASK_RTLOCK_WAIT
# The names of these are not, or not whole, in comm (``proc_task_name()``): workers have one of
# their work, and since 5.17 other kernel threads may have one that is longer.
_PF_WORKER, _PF_KTHREAD = 0x20, 0x200000

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


class Ask(enum.Enum):
    """What of a task is /proc's to say."""

    NOTHING = 0
    NAME = 1  # the kernel thread's, of which comm is the beginning
    ALL = 2


class Listed(NamedTuple):
    """One task, and what of it a status does not print.

    Attributes:
        inums: of its namespaces, from the initial one inwards.
        ask: what only /proc shows of it.
        tracer: the thread that traces it, by TID; 0: none.
        threads: tasks of its process that are not released.
    """

    status: Status
    inums: tuple[int, ...]
    start_ns: int
    cgroup_id: int
    ask: Ask
    tracer: int
    threads: int

    @property
    def is_leader(self) -> bool:
        """Whether it has the number of its process, as in a listing of /proc."""
        return self.status.pid == self.status.tgid


def decode_listing(data: bytes) -> list[Listed]:
    """Return the tasks of one walk; numbers are those of the initial PID namespace.

    Raises:
        WireError: these are no rows of this layout.
    """
    try:
        return [_listed(row) for row in _ROW.iter_unpack(data)]
    except struct.error as error:
        raise WireError(f"a listing of {len(data)} bytes, in rows of {_ROW.size}") from error


def _listed(row: tuple[Any, ...]) -> Listed:
    tid, level, state, exit_state, flags, ppid, tracer, threads, start_ns, cgroup_id = row[:10]
    end = _FIRST + _WIDTH * (level + 1)
    if level:
        inums, pids, tgids, pgids, sids = (row[at:end:_WIDTH] for at in _COLUMNS)
    else:  # most are, on most hosts
        inums, pids, tgids, pgids, sids = zip(row[_FIRST:end])
    name = row[_FIRST - 1].partition(b"\0")[0]
    ask = Ask.NOTHING
    if level >= LISTED_LEVELS or state & _UNCERTAIN or tid != pids[0]:  # amid exchange_tids()
        ask = Ask.ALL
    elif flags & _PF_KTHREAD and (flags & _PF_WORKER or len(name) == COMM_LEN - 1):
        ask = Ask.NAME
    status = (name_in_status(name), _letter(state, exit_state), ppid, tgids[0], tid)
    return _new(
        Listed,
        (
            _new(Status, (*status, tgids, pids, pgids, sids)),
            inums,
            start_ns,
            cgroup_id,
            ask,
            tracer,
            threads,
        ),
    )


@cache  # of what a kernel has, a few
def _letter(state: int, exit_state: int) -> str:
    if state & _IDLE == _IDLE:
        return "I"
    return _LETTERS[((state | exit_state) & _REPORTED).bit_length()]


def name_in_status(name: bytes) -> bytes:
    """Return a name as a status has it (``proc_task_name()``, fs/proc/array.c)."""
    if b"\\" not in name and b"\n" not in name:
        return name
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
