"""The limits of forks in the model: exactly what a reader of its /proc and cgroup files could find.

The model has pids.max, pid_max of every level, and the two limits of new namespaces; it has no
users, so no RLIMIT_NPROC, and no threads-max.
"""

from __future__ import annotations

from pidscope.escape import escape
from pidscope.limits.bounds import Facts, PidNsNumbers
from pidscope.limits.tasks_limit import MAX, TasksLimit
from pidscope.model.cgroup import Cgroup
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_pid_ns, task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace


def fork_facts(kernel: Kernel, number: int) -> Facts | None:
    """Return what bounds the forks of a task, by its number in the initial namespace.

    None: it is not there, or has exited and forks no more.
    """
    task = find_task_by_pid_ns(number, kernel.init_pid_ns)
    if task is None or task.nsproxy is None:
        return None
    ns = task.nsproxy.pid_ns_for_children
    return Facts(
        numbers=[_numbers(level_ns) for level_ns in ns.outwards()],
        adding=_is_adding(ns),
        level=ns.level,
        diverted=ns is not task_active_pid_ns(task),
        cgroups=_pids_limits(task.cgroup),
        cgroups_known=True,
        user=None,
        threads=None,
        pid_namespaces=kernel.nr_pid_namespaces,
        max_pid_namespaces=kernel.max_pid_namespaces,
    )


def _is_adding(ns: PidNamespace) -> bool:
    asked = ns.outwards() if ns.kernel.features.dead_ancestor_refuses else (ns,)
    return all(level_ns.adding for level_ns in asked)


def _numbers(ns: PidNamespace) -> PidNsNumbers:
    allocator = ns.allocator
    return PidNsNumbers(ns.inum, frozenset(allocator.pids), True, ns.pid_limit, allocator.last_pid)


def pids_limits(kernel: Kernel, cgroup_id: int) -> list[TasksLimit] | None:
    """Return the limits of a cgroup and of those above it; None: no task is in it any more."""
    for task in kernel.tasks():
        if task.cgroup.id == cgroup_id:
            return _pids_limits(task.cgroup)
    return None


def _pids_limits(cgroup: Cgroup) -> list[TasksLimit]:
    return [
        TasksLimit(
            _path(it),
            MAX if it.pids_max is None else it.pids_max,
            it.count,
            events_local=it.events_max,
        )
        for it in cgroup.upwards()
    ]


def _path(cgroup: Cgroup) -> str:
    names = [above.name for above in cgroup.upwards()]
    return "/" + escape("/".join(names[::-1]).encode())
