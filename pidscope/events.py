"""What the kernel does to PIDs, as values.

One class an act, named for what the kernel did; each field is what the hook read when it ran.
Times are CLOCK_BOOTTIME in nanoseconds; that of a birth is the task's start, which copy_process()
reads shortly before the hook runs. A bare number is always one in the initial PID
namespace (level 0); numbers of other levels only come inside `PidNumbers`, with their
namespace. ``by`` is the task that acted (its number in the initial namespace).
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Union


class PidType(enum.IntEnum):
    """``enum pid_type`` as it is since 4.19 (include/linux/pid_types.h)."""

    PID = 0
    TGID = 1
    PGID = 2
    SID = 3


ERESTARTNOINTR = 513  # include/linux/errno.h


class PidNumbers(NamedTuple):
    """What a ``struct pid`` is called: ``numbers[]``, outermost first, and where the last counts.

    ``ns`` is the inum of the innermost namespace. ``init_struct_pid`` is ``((0,), ns)``.
    """

    numbers: tuple[int, ...]
    ns: int

    @property
    def nr(self) -> int:
        """The number in the initial namespace, as ``pid_nr()``."""
        return self.numbers[0]

    @property
    def level(self) -> int:
        """The depth of the innermost namespace; 0 is the initial one."""
        return len(self.numbers) - 1


class Birth(NamedTuple):
    """What `PidAttached` of type PID also has: the new task as it starts."""

    tgid: int
    ppid: int  # thread group of real_parent at birth; it has no event when it changes
    start_ns: int  # task_struct.start_boottime
    comm: bytes
    ns_parent: int  # inum of the innermost namespace's parent; 0 at level 0
    pgid: PidNumbers
    sid: PidNumbers


class PidAttached(NamedTuple):
    """``attach_pid()``: type PID is a task's birth; PGID and SID come from ``change_pid()``."""

    ts_ns: int
    by: int
    tid: int
    pid_type: PidType
    pid: PidNumbers
    birth: Birth | None = None


class PidDetached(NamedTuple):
    """``detach_pid()`` of type PID: the task is released and /proc forgets it."""

    ts_ns: int
    by: int
    tid: int
    tgid: int
    exit_code: int


class TidsExchanged(NamedTuple):
    """``exchange_tids()``: an exec by ``tid``, a thread that takes over its leader's struct pid."""

    ts_ns: int
    by: int
    tid: int
    leader: int
    start_ns: int  # the exec'ing thread's, already the leader's
    leader_start_ns: int


class PidTransferred(NamedTuple):
    """``transfer_pid()``: ``tid`` replaces the old leader on one of its struct pid's lists."""

    ts_ns: int
    by: int
    tid: int
    old: int
    pid_type: PidType


class PidAllocated(NamedTuple):
    """``alloc_pid()`` returned a struct pid; a birth need not follow."""

    ts_ns: int
    by: int
    pid: PidNumbers


class PidRefused(NamedTuple):
    """``alloc_pid()`` returned an error: no number was free, or the namespace takes no more.

    The fork fails with the same error, which `ForkFailed` reports.
    """

    ts_ns: int
    by: int
    errno: int


class PidFreed(NamedTuple):
    """``free_pid()``: the numbers can be given out again."""

    ts_ns: int
    by: int
    pid: PidNumbers


class TaskCreated(NamedTuple):
    """``copy_process()`` returned a task."""

    ts_ns: int
    by: int
    tid: int
    flags: int  # kernel_clone_args.flags
    cgroup_id: int
    children_ns: int  # inum of nsproxy->pid_ns_for_children


class ForkFailed(NamedTuple):
    """``copy_process()`` returned an error."""

    ts_ns: int
    by: int
    errno: int
    flags: int
    cgroup_id: int
    children_ns: int

    @property
    def is_restarted(self) -> bool:
        """Whether a signal came first: the kernel restarts the call, unnoticed by the caller."""
        return self.errno == ERESTARTNOINTR


class NamespaceCreated(NamedTuple):
    """``copy_pid_ns()`` returned a new namespace."""

    ts_ns: int
    by: int
    ns: int
    parent: int
    level: int


class NamespaceDying(NamedTuple):
    """``zap_pid_ns_processes()``: the namespace's init is exiting and kills what is left."""

    ts_ns: int
    by: int
    ns: int
    parent: int
    level: int


class TaskExecuted(NamedTuple):
    """Tracepoint ``sched_process_exec``; ``old_tid`` differs from ``tid`` after an exchange."""

    ts_ns: int
    by: int
    tid: int
    old_tid: int
    comm: bytes


class TaskRenamed(NamedTuple):
    """Tracepoint ``task_rename``: the name the task will have."""

    ts_ns: int
    by: int
    tid: int
    comm: bytes


class TaskExited(NamedTuple):
    """Tracepoint ``sched_process_exit``: still attached, maybe a zombie for long."""

    ts_ns: int
    by: int
    tid: int
    tgid: int
    exit_code: int


class TaskMoved(NamedTuple):
    """Tracepoint ``cgroup_attach_task``."""

    ts_ns: int
    by: int
    tid: int
    cgroup_id: int


class TaskSeen(NamedTuple):
    """A task as it was when it was read: by the task iterator, or at an exec.

    ``by`` is the task itself, or 0: it is a new one, not woken for the first time yet. ``ts_ns`` of
    the iterator's is 0: no clock is read.
    """

    ts_ns: int
    by: int
    tid: int
    pid: PidNumbers
    birth: Birth


class TaskFreed(NamedTuple):
    """Tracepoint ``sched_process_free``: a grace period after the release, when nothing refers to
    the task any more; its number may be another's by now, so its start comes with it."""

    ts_ns: int
    by: int
    tid: int
    tgid: int
    start_ns: int


class Lost(NamedTuple):
    """Records could not be written before this point; ``total`` counts since the start."""

    ts_ns: int
    total: int


class Repaired(NamedTuple):
    """From this point on the table is exact again, built from so many ``tasks``.

    It was suspect for ``suspect_ns``, and ``lost`` records were missing from the stream meanwhile;
    0: a record was impossible, or the kernel skipped the run of a hook.
    """

    ts_ns: int
    tasks: int
    suspect_ns: int
    lost: int


Event = Union[
    PidAttached,
    PidDetached,
    TidsExchanged,
    PidTransferred,
    PidAllocated,
    PidRefused,
    PidFreed,
    TaskCreated,
    ForkFailed,
    NamespaceCreated,
    NamespaceDying,
    TaskExecuted,
    TaskRenamed,
    TaskExited,
    TaskMoved,
    TaskSeen,
    TaskFreed,
    Lost,
    Repaired,
]
