"""What is compiled to count forks in the kernel (bpf/counts.c), form by form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pidscope.live.compiled import COUNTS
from pidscope.live.supply import expect_mode, programs_of
from pidscope.wire.counts import MAX_KEYS
from pidscope.wire.hooks import FAILURES_TOLD_BY, FUNCTION_HOOKS, TRACEPOINT, TRACEPOINT_HOOKS, Hook

if TYPE_CHECKING:
    from pidscope.host.btf import Btf
    from pidscope.live.compiler import Job

_OF_BIRTHS = ("task_newtask",)
_OF_INITS = ("sched_process_exec", "sched_process_exit")  # of the number 1 of a namespace


class Form(NamedTuple):
    """Of what counts: the probe mode, and whether it counts by namespace or else by comm."""

    way: str
    by_namespace: bool

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return "-".join((COUNTS, self.way, "where" if self.by_namespace else "comm"))

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Where its programs sit, in the order in which they are attached."""
        names = (*_OF_BIRTHS, *(_OF_INITS if self.by_namespace else ()))
        hooks = [hook for name in names for hook in TRACEPOINT_HOOKS if hook.name == name]
        if self.way != TRACEPOINT:
            hooks += [hook for hook in FUNCTION_HOOKS if hook.name == FAILURES_TOLD_BY]
        return tuple(hooks)


def count_job(form: Form, btf: Btf) -> Job:
    """Return what is to be compiled; raises BtfError, Refused."""
    from pidscope.live.compiler import Job
    from pidscope.live.offsets import constants_of_counts, typed

    expect_mode(form.way, btf)
    defined = {
        f"PROBES_{form.way.upper()}": True,
        "BY_WHERE": form.by_namespace,
        "FAILURES": form.way != TRACEPOINT,
        "TYPED": form.way != "kprobe" and typed(btf),
    }
    values = {**constants_of_counts(btf), "NR_KEYS": MAX_KEYS}
    values.update((name, 1) for name, is_so in defined.items() if is_so)
    programs, absent = programs_of(form.way, form.hooks, btf)
    programs.pop("enter_copy_process", None)  # what is counted needs no arguments
    return Job(COUNTS, values, programs, absent)
