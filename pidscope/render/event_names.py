"""The one-word name of each event, in the EVENT column and for ``--type``."""

from __future__ import annotations

from collections.abc import Mapping

from pidscope import events
from pidscope.wire import hooks

_NAMES: Mapping[type, str] = {
    events.TaskExecuted: "exec",
    events.TaskExited: "exit",
    events.PidDetached: "release",
    events.TaskFreed: "freed",
    events.TidsExchanged: "exchange",
    events.NamespaceCreated: "ns-new",
    events.NamespaceDying: "ns-dying",
    events.ForkFailed: "fork-fail",
    events.PidRefused: "no-number",
    events.PidAllocated: "alloc",
    events.PidFreed: "free",
    events.TaskCreated: "created",
    events.PidTransferred: "transfer",
    events.TaskRenamed: "rename",
    events.TaskMoved: "moved",
    events.TaskSeen: "seen",
    events.Lost: "LOST",
    events.Repaired: "REPAIRED",
}

FAILED = frozenset({"fork-fail", "no-number"})
STEPS = frozenset(_NAMES[kind] for kind in hooks.STEPS)
ALWAYS = frozenset({"LOST", "REPAIRED"})
DEFAULT = (
    *("birth", "thread", "exec", "exit", "release", "fork-fail", "no-number"),
    *("pgid", "sid", "exchange", "ns-new", "ns-dying", "freed"),
)
VERBOSE = (*(_NAMES[kind] for kind in hooks.STEPS), "moved", "seen")
CHOICES = (*DEFAULT, *VERBOSE)


def event_names_of_mode(way: str) -> frozenset[str]:
    """Return the names of the events that a probe mode can report."""
    reported = (_NAMES[kind] for kind in hooks.events_of(way) if kind in _NAMES)
    links = () if way == hooks.TRACEPOINT else ("pgid", "sid")
    return frozenset(("birth", "thread", *links, *reported))


def event_name(event: events.Event) -> str:
    """Return the name of an event: one of `CHOICES` or `ALWAYS`."""
    if not isinstance(event, events.PidAttached):
        return _NAMES[type(event)]
    if event.birth is None:
        return event.pid_type.name.lower()
    return "birth" if event.birth.tgid == event.tid else "thread"
