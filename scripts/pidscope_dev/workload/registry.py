"""All workloads, in the order of the list."""

from __future__ import annotations

from pidscope_dev.workload import (
    borders,
    failures,
    forks,
    groups,
    reuse,
    shows,
    storm,
    threads,
)
from pidscope_dev.workload.workload import Workload

EXACT: tuple[Workload, ...] = (
    forks.NESTED,
    groups.GROUPS,
    threads.THREADS,
    threads.EXEC_THREAD,
    groups.HELD,
    failures.FAILED,
    borders.DYING_INIT,
    borders.INJECTED,
    reuse.REUSE,
    forks.SHORT,
    shows.ZOMBIE,
    shows.HOSTILE,
    forks.DEEP,
)
"""Those that `all` runs, one after another."""

WORKLOADS: tuple[Workload, ...] = (*EXACT, storm.STORM, storm.CHURN, shows.TREE)
