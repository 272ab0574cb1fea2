"""All targets, in the order of the list."""

from __future__ import annotations

from pidscope_dev.fuzz import (
    btf,
    compiled,
    containers,
    escape,
    logs,
    proc_parse,
    procfs,
    scenario,
    wire,
)
from pidscope_dev.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        wire.WIRE,
        btf.BTF,
        compiled.COMPILED,
        proc_parse.STATUS,
        proc_parse.STAT,
        proc_parse.PROC_STAT,
        procfs.PROCFS,
        escape.ESCAPE,
        containers.CGROUP,
        containers.ENGINE,
        logs.AUDIT,
        logs.JOURNAL,
        scenario.SCENARIO,
    )
}
