"""What counts a hook's runs against the records that were read."""

from __future__ import annotations

from collections.abc import Mapping

from pidscope import events
from pidscope.wire.hooks import hook_of

# A process is attached, and detached, as PID, TGID, PGID and SID by one call each, a thread as PID
# alone, and one record reports all the calls.
CALLS = {"attach_pid": 4, "detach_pid": 4}


def accounted(event: events.Event, mode: str) -> tuple[str, int]:
    """The hook that reported ``event``, and how many runs of that hook its record accounts for.

    Raises:
        WireError: no tracepoint reports such an event.
    """
    hook = hook_of(event, mode)
    if hook not in CALLS:
        return hook, 1
    if isinstance(event, events.PidAttached):
        leads = event.birth is not None and event.birth.tgid == event.tid
    else:
        leads = isinstance(event, events.PidDetached) and event.tgid == event.tid
    return hook, CALLS[hook] if leads else 1


def hooks_agree(hooks: Mapping[str, Mapping[str, int]], lost: int = 0) -> bool:
    """Whether the runs of all hooks are the records that were read and the ``lost`` ones.

    All of it read at rest. A lost record may have been a process's or a thread's, so the lost ones
    have bounds. One fork and one release may have been in the middle of their four calls when the
    hook came on (one of each, since all of it is done under one lock): up to three calls were not
    counted.
    """
    least = most = 0
    for name, hook in hooks.items():
        missing, calls = hook["hits"] - hook["accounted"], CALLS.get(name, 1)
        unseen = calls - 1
        if missing < -unseen:
            return False
        least += -(-max(missing, 0) // calls)
        most += missing + unseen
    return least <= lost <= most
