"""What is compiled for a life stream (bpf/lives.c), form by form."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pidscope.live.compiled import ALIVE, LIVES
from pidscope.live.iterator import PROGRAM, TARGET
from pidscope.live.supply import programs_of
from pidscope.wire.hooks import FUNCTION_HOOKS, TRACEPOINT, TRACEPOINT_HOOKS, Hook

if TYPE_CHECKING:
    from pidscope.host.btf import Btf
    from pidscope.live.compiler import Job

DEEP = 4_096  # tasks deeper than level 3 whose records are kept until they are read
_BY_TRACEPOINT = {hook.name: hook for hook in TRACEPOINT_HOOKS}
_BY_FUNCTION = {hook.name: hook for hook in FUNCTION_HOOKS}


class Form(NamedTuple):
    """Of a life stream; for each see the arguments of `pidscope.live.life_program.LifeProgram`."""

    way: str
    births: bool
    threads: bool
    execs: bool
    slots: bool
    lives: int

    @property
    def name(self) -> str:
        """What tells it from all others."""
        flags = ("births", "threads", "execs", "slots")
        names = (flag for flag in flags if getattr(self, flag))
        return "-".join((LIVES, self.way, str(self.lives), *names))

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Where its programs sit, in the order in which they are attached."""
        names = ["sched_process_exit", *(["task_newtask"] if self.births else [])]
        hooks = [_BY_TRACEPOINT[name] for name in names]
        if self.execs and self.way == TRACEPOINT:
            hooks.append(_BY_TRACEPOINT["sched_process_exec"])
        elif self.execs:
            hooks.append(_BY_FUNCTION["exchange_tids"])
        return tuple(hooks)


def life_job(form: Form, btf: Btf) -> Job:
    """Return what is to be compiled; raises BtfError."""
    from pidscope.live.compiler import Job
    from pidscope.live.offsets import constants_of_lives, tells_group_dead, typed

    defined = {
        f"PROBES_{form.way.upper()}": True,
        "SLOTS": form.slots,
        "BIRTHS": form.births,
        "NO_THREADS": not form.threads,
        "TYPED": form.way != "kprobe" and typed(btf),
        "GROUP_DEAD": tells_group_dead(btf),
        "STORES_IN_ORDER": os.uname().machine == "x86_64",
    }
    values = {**constants_of_lives(btf), "NR_LIVES": form.lives, "NR_DEEP": DEEP}
    values.update((name, 1) for name, is_so in defined.items() if is_so)
    return Job(LIVES, values, *programs_of(form.way, form.hooks, btf))


def alive_job(btf: Btf) -> Job:
    """Return what is to be compiled of the walk through the living; raises BtfError."""
    from pidscope.live.compiler import Job
    from pidscope.live.offsets import constants_of_lives

    return Job(ALIVE, constants_of_lives(btf), {PROGRAM: btf.function_id(TARGET)}, {})
