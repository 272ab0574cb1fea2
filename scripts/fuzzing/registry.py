"""All targets, in the order of the list."""

from __future__ import annotations

from fuzzing import btf, containers, escape, procfs, scenario, stat, status, wire
from fuzzing.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        wire.WIRE,
        btf.BTF,
        status.STATUS,
        stat.STAT,
        stat.PROC_STAT,
        procfs.PROCFS,
        escape.ESCAPE,
        containers.CGROUP,
        containers.ENGINE,
        scenario.SCENARIO,
    )
}
