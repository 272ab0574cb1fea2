"""What bounds forking in the model: what a reader of its /proc and cgroup files could ask, exactly.

The model has pids.max, pid_max of every level, and the two limits of new namespaces; it has no
users, so no RLIMIT_NPROC, and no threads-max.
"""

from __future__ import annotations

from pidscope.limits.bounds import MAX, CgroupPids, Facts, Numbers
from pidscope.model.cgroup import Cgroup
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_pid_ns, task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.simulated.cgroups import path_of


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
        cgroups=[_pids(cgroup) for cgroup in task.cgroup.upwards()],
        cgroups_known=True,
        user=None,
        threads=sum(1 for _ in kernel.tasks()),
        threads_max=MAX,
        pid_namespaces=kernel.nr_pid_namespaces,
        max_pid_namespaces=kernel.max_pid_namespaces,
    )


def _is_adding(ns: PidNamespace) -> bool:
    asked = ns.outwards() if ns.kernel.features.dead_ancestor_refuses else (ns,)
    return all(level_ns.adding for level_ns in asked)


def _numbers(ns: PidNamespace) -> Numbers:
    allocator = ns.allocator
    return Numbers(ns.inum, frozenset(allocator.pids), True, ns.pid_limit, allocator.last_pid)


def _pids(cgroup: Cgroup) -> CgroupPids:
    return CgroupPids(
        path_of(cgroup),
        MAX if cgroup.pids_max is None else cgroup.pids_max,
        cgroup.count,
        events_local=cgroup.events_max,
    )
