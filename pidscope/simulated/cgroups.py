"""pids.max of the cgroups around a task of the model, by the id that events tell."""

from __future__ import annotations

from pidscope.escape import escape
from pidscope.limits.failure import TasksLimit
from pidscope.model.cgroup import Cgroup
from pidscope.model.kernel import Kernel


def pids_limits(kernel: Kernel, cgroup_id: int) -> list[TasksLimit] | None:
    """Return the limits of a cgroup and of those above it; None: nobody is in it any more."""
    for task in kernel.tasks():
        if task.cgroup.id == cgroup_id:
            return [
                TasksLimit(path_of(it), it.pids_max, it.count, refused=it.events_max)
                for it in task.cgroup.upwards()
            ]
    return None


def path_of(cgroup: Cgroup) -> str:
    """Return the path of a cgroup, escaped."""
    names = [above.name for above in cgroup.upwards()]
    return "/" + escape("/".join(names[::-1]).encode())
