"""How often each hook of bpf/functions.c runs for what the model reports.

Hooks run more often than they write: a process is attached, and detached, as PID, TGID, PGID and
SID by one call each, and one record reports all four. `pidscope.verify.hook_counts` knows that too,
and is judged by what is counted here, so the number of runs is stated in both places: a test fails
if one of them is wrong. Which hook reports an event is stated once, in `pidscope.wire.hooks`, and
is tested against the running kernel.
"""

from __future__ import annotations

from pidscope import events
from pidscope.wire.hooks import hook_of

_TYPES = 4  # of enum pid_type


def runs(event: events.Event) -> tuple[str, int]:
    """Return the hook that reports ``event``, and how many of its runs the event stands for."""
    is_process = False
    if isinstance(event, events.PidAttached):
        is_process = event.birth is not None and event.tid == event.birth.tgid
    elif isinstance(event, events.PidDetached):
        is_process = event.tid == event.tgid
    return hook_of(event, "simulated"), _TYPES if is_process else 1
