"""``struct pid_namespace``, where numbers count: kernel/pid_namespace.c.

A namespace is made empty. The first process that is forked into it is its number 1 and its
``child_reaper``; when the last thread of that process exits, every other task in it is killed and
no task can be born in it any more.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidscope.model.idr import Idr
from pidscope.model.pidmap import PidMap

if TYPE_CHECKING:
    from pidscope.model.kernel import Kernel
    from pidscope.model.sched import TaskStruct

MAX_PID_NS_LEVEL = 32
PIDNS_ADDING = 1 << 31  # in pid_allocated: it still takes new processes
PID_MAX_LIMIT = 4 * 1024 * 1024  # on 64-bit machines


class PidNamespace:
    """``struct pid_namespace``. ``count``: its struct pids, nsproxies and child namespaces."""

    __slots__ = (
        "allocator",
        "child_reaper",
        "count",
        "inum",
        "kernel",
        "level",
        "parent",
        "pid_allocated",
        "pid_max",
    )

    def __init__(self, kernel: Kernel, inum: int, parent: PidNamespace | None) -> None:
        self.kernel = kernel
        self.inum = inum
        self.parent = parent
        self.level: int = parent.level + 1 if parent is not None else 0
        self.allocator: Idr | PidMap = PidMap() if kernel.features.bitmap_allocator else Idr()
        self.pid_allocated = PIDNS_ADDING  # plus how many struct pids have a number here
        self.pid_max = PID_MAX_LIMIT  # its own, where kernels have one per namespace
        self.child_reaper: TaskStruct | None = None
        self.count = 1

    @property
    def pid_limit(self) -> int:
        """The pid_max that holds here: numbers are below it."""
        kernel = self.kernel
        return self.pid_max if kernel.features.pid_max_per_ns else kernel.init_pid_ns.pid_max

    @property
    def adding(self) -> bool:
        """Whether processes can still be born in it."""
        return bool(self.pid_allocated & PIDNS_ADDING)

    def outwards(self) -> Iterator[PidNamespace]:
        """Itself, its parent, and so on to the initial one."""
        ns: PidNamespace | None = self
        while ns is not None:
            yield ns
            ns = ns.parent

    def put(self) -> None:
        """``put_pid_ns()``: the last user gone, the inum can be given out again."""
        self.count -= 1
        if not self.count and self.parent is not None:
            self.kernel.free_inum(self.inum)
            self.kernel.nr_pid_namespaces -= 1
            self.parent.put()

    def __repr__(self) -> str:
        return f"pid:[{self.inum}]"


def copy_pid_ns(current: TaskStruct, old_ns: PidNamespace, active: PidNamespace) -> PidNamespace:
    """Make a namespace inside ``old_ns``, where the children of ``current`` go so far.

    Raises OSError: EINVAL if that is not where ``current`` lives (it has unshared already), ENOSPC
    beyond 32 levels or user.max_pid_namespaces.
    """
    kernel = current.kernel
    if active is not old_ns:
        raise OSError(errno.EINVAL, "its children already go to another namespace")
    ns = create_pid_namespace(kernel, old_ns)
    kernel.trace.copy_pid_ns(ns)
    return ns


def create_pid_namespace(kernel: Kernel, parent: PidNamespace) -> PidNamespace:
    """Make an empty namespace; raises OSError as `copy_pid_ns` does."""
    if parent.level + 1 > MAX_PID_NS_LEVEL:
        raise OSError(kernel.features.nesting_errno, f"{MAX_PID_NS_LEVEL} levels are all there is")
    if kernel.nr_pid_namespaces >= kernel.max_pid_namespaces:
        raise OSError(errno.ENOSPC, f"max_pid_namespaces is {kernel.max_pid_namespaces}")
    kernel.nr_pid_namespaces += 1
    ns = PidNamespace(kernel, kernel.alloc_inum(), parent)
    parent.count += 1
    return ns


def disable_pid_allocation(ns: PidNamespace) -> None:
    """From now on ``alloc_pid()`` fails here with ENOMEM."""
    ns.pid_allocated &= ~PIDNS_ADDING
