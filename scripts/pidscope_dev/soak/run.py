"""The stresses, and a run of one: watch and judge under it, prove at its end, count."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psutil

from pidscope.host.proc import ProcFs
from pidscope.live.program import RING_BYTES, Program
from pidscope.live.session import LiveWorld
from pidscope.verify.hook_counts import hooks_agree
from pidscope.verify.verdicts import Verdict
from pidscope_dev.soak.load import Load, stopped_again_and_again
from pidscope_dev.soak.witness import Witness

_GIVEN_UP_S = 60


@dataclass(frozen=True)
class Stress:
    """What a session is put under.

    Attributes:
        load: the arguments of ``scripts/workload``, side by side.
        outlives: the last snapshot is judged under the load, which else ends before.
        stopped_s, running_s: the collector is stopped so long, then runs so long, over and over.
        loses: records must be lost, and the run lasts until some were; else none may be.
    """

    name: str
    summary: str
    load: Sequence[Sequence[str]]
    ring_bytes: int = RING_BYTES
    outlives: bool = False
    stopped_s: float = 0.0
    running_s: float = 0.0
    loses: bool = False


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


@dataclass
class Result:
    """What came of one run, or of several together."""

    runs: int = 1
    events: int = 0
    lost: int = 0
    repairs: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    faults: int = 0
    skipped: int = 0
    accounted: int = 0  # runs in which every hook's hits were
    exact_after_s: float = 0.0  # the longest time from the load's end to a snapshot judged whole
    rss_kib: tuple[int, int] = (0, 0)  # at the begin, at the end
    wrongs: list[str] = field(default_factory=list)  # what must not be

    def __add__(self, other: Result) -> Result:
        return Result(
            self.runs + other.runs,
            self.events + other.events,
            self.lost + other.lost,
            self.repairs + other.repairs,
            self.verdicts + other.verdicts,
            self.faults + other.faults,
            self.skipped + other.skipped,
            self.accounted + other.accounted,
            max(self.exact_after_s, other.exact_after_s),
            (self.rss_kib[0], other.rss_kib[1]),
            self.wrongs + other.wrongs,
        )


def runs(stress: Stress, probes: str, seconds: float, count: int) -> Iterator[Result]:
    """Load the programs under the stress; then for each run start, watch for so long, prove it.

    Raises:
        HostError: this host cannot do it; LoadError: a workload failed.
    """
    accounted: Counter[str] = Counter()  # of the sessions so far, by the same programs
    with Load(stress.load) as load, closing(Program(probes, stress.ring_bytes)) as program:
        load.full_speed()
        for _ in range(count):
            load.begin()
            witness = Witness(LiveWorld(program, ProcFs()))
            exact_after_s, rss_kib = _watch(witness, stress, load, seconds)
            yield _summed_up(witness, stress, accounted, exact_after_s, rss_kib)


def _watch(
    witness: Witness, stress: Stress, load: Load, seconds: float
) -> tuple[float, tuple[int, int]]:
    """Judge under the stress, prove at its end; how long that took, the memory before and after."""
    end, rss_kib = time.monotonic() + seconds, 0
    with stopped_again_and_again(stress.stopped_s, stress.running_s):
        while time.monotonic() < end or (stress.loses and not witness.lost):
            load.keep_up()
            witness.judge()
            rss_kib = rss_kib or _rss_kib()
    if not stress.outlives:
        load.end()
    exact_after_s = _prove(witness)
    load.end()
    return exact_after_s, (rss_kib, _rss_kib())


def _prove(witness: Witness) -> float:
    """Judge until a snapshot was judged whole; how long that took, in seconds."""
    begun = time.monotonic()
    while True:
        witness.judge()
        took = time.monotonic() - begun
        if witness.finished or took > _GIVEN_UP_S:
            return took


def _summed_up(
    witness: Witness,
    stress: Stress,
    accounted: Counter[str],
    exact_after_s: float,
    rss_kib: tuple[int, int],
) -> Result:
    """What the session has counted; nothing goes on any more."""
    session = witness.session
    hooks, at_rest = session.hooks()
    forks = session.forks()
    session.look_for_skipped()  # after all that was read, or it would explain too little
    accounted += session.stream.accounted
    for name, hook in hooks.items():
        hook["accounted"] = accounted[name]
    lost, reported = witness.lost, session.stream.lost
    at_rest = at_rest or not session.proves  # it cannot distinguish rest from a loss
    agree = at_rest and hooks_agree(hooks, reported)
    births_differ = session.proves and (forks is None or forks[0] != forks[1])
    return Result(
        events=session.stream.events,
        lost=lost,
        repairs=max(0, session.starts - 1),
        verdicts=+witness.counts,
        faults=session.faults.count(session.skipped),
        skipped=sum(session.skipped.values()),
        accounted=int(agree),
        exact_after_s=exact_after_s,
        rss_kib=rss_kib,
        wrongs=[
            *witness.wrongs,
            *(f"broke off: {reason}" for reason in session.broken),
            *map(str, session.ungrammatical),
            *([] if witness.finished else ["no snapshot could be judged whole"]),
            *([] if agree else [f"at rest {at_rest}, {reported} lost: {_uneven(hooks)}"]),
            *([f"births in /proc/stat and reported: {forks}"] if births_differ else []),
            *([f"{lost} records lost"] if stress.loses != bool(lost) else []),
        ],
    )


def _uneven(hooks: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {name: hook for name, hook in hooks.items() if hook["hits"] != hook["accounted"]}


def _rss_kib() -> int:
    """The memory of this process (VmRSS)."""
    return int(psutil.Process().memory_info().rss) // 1024
