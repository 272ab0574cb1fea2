"""The stresses, by name."""

from __future__ import annotations

import os

from pidscope_dev.soak.run import Stress

_CPUS = len(os.sched_getaffinity(0))
_STORM = ("storm", "--jobs", str(_CPUS))
_SHORT = ("short", "1000000", "--jobs", str(_CPUS))
_TINY_RING = 4 << 10
_SMALL_RING = 8 << 10

STRESSES = {
    stress.name: stress
    for stress in (
        Stress(
            "storm",
            "forks on all CPUs, from before the start until after the last snapshot",
            (_STORM,),
            outlives=True,
        ),
        Stress(
            "namespaces",
            "PID namespaces made and destroyed, down to level 32",
            (("churn", "--jobs", str(_CPUS)),),
            outlives=True,
        ),
        Stress(
            "overflow",
            "a ring that overflows all the time; exact again when the storm is over",
            (_STORM, _SHORT),
            ring_bytes=_TINY_RING,
            stopped_s=0.05,
            running_s=0.05,
            loses=True,
        ),
        Stress(
            "stopped",
            "the collector is stopped for two seconds, over and over",
            (_STORM, _SHORT),
            ring_bytes=_SMALL_RING,
            stopped_s=2.0,
            running_s=0.7,
            loses=True,
        ),
        Stress(
            "crowd",
            "many more forkers than CPUs, so that many are inside copy_process() at once",
            (("short", "1000000", "--jobs", str(12 * _CPUS)),),
        ),
        Stress(
            "mix",
            "every workload there is, and namespaces made and destroyed beside them",
            (("all",), ("churn", "--jobs", "1")),
            outlives=True,
        ),
    )
}
