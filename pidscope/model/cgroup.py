"""The pids controller, which bounds tasks, not numbers: kernel/cgroup/pids.c.

Every task, thread or process, is charged to its cgroup and all above it from `copy_process` until
its release, so zombies count. The root has no limit.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pidscope.model.sched import PF_EXITING, TaskStruct


class Cgroup:
    """``struct cgroup`` with its ``struct pids_cgroup``."""

    __slots__ = ("count", "events_max", "id", "name", "parent", "pids_max")

    def __init__(
        self, name: str, parent: Cgroup | None, id: int, pids_max: int | None = None
    ) -> None:
        self.name = name
        self.parent = parent
        self.id = id
        self.pids_max = pids_max  # None: "max"
        self.count = 0  # pids.current
        self.events_max = 0  # of pids.events: forks that this limit has refused

    def upwards(self) -> Iterator[Cgroup]:
        """Itself and all above it that count: the root does not."""
        cgroup: Cgroup | None = self
        while cgroup is not None and cgroup.parent is not None:
            yield cgroup
            cgroup = cgroup.parent

    def __repr__(self) -> str:
        return f"cgroup {self.name}"


def pids_can_fork(current: TaskStruct) -> None:
    """Charge a new task; raises OSError EAGAIN, with nothing charged, if one limit is reached."""
    for cgroup in current.cgroup.upwards():
        if cgroup.pids_max is not None and cgroup.count >= cgroup.pids_max:
            cgroup.events_max += 1
            raise OSError(errno.EAGAIN, f"pids.max of {cgroup} is {cgroup.pids_max}")
    for cgroup in current.cgroup.upwards():
        cgroup.count += 1


def pids_release(task: TaskStruct) -> None:
    """Uncharge a task that is released."""
    for cgroup in task.cgroup.upwards():
        cgroup.count -= 1


def cgroup_attach_task(current: TaskStruct, cgroup: Cgroup) -> int:
    """Move the process of ``current``, all threads, as by writing to cgroup.procs.

    A task that exits stays where it was (``cgroup_migrate_add_task()``): a dead leader, too.
    """
    for task in current.signal.threads:
        if task.flags & PF_EXITING:
            continue
        pids_release(task)
        task.cgroup = cgroup
        for above in cgroup.upwards():
            above.count += 1  # a move is never refused
    current.kernel.trace.cgroup_attach_task(current.group_leader, cgroup)
    return 0
