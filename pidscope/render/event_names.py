"""What each event is called in one word, in the EVENT column and for ``--type``."""

from __future__ import annotations

from collections.abc import Mapping

from pidscope import events
from pidscope.wire import hooks

_WORDS: Mapping[type, str] = {
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
STEPS = frozenset(_WORDS[kind] for kind in hooks.STEPS)
ALWAYS = frozenset({"LOST", "REPAIRED"})
DEFAULT = (
    *("birth", "thread", "exec", "exit", "release", "fork-fail", "no-number"),
    *("pgid", "sid", "exchange", "ns-new", "ns-dying", "freed"),
)
VERBOSE = (*(_WORDS[kind] for kind in hooks.STEPS), "moved", "seen")
CHOICES = (*DEFAULT, *VERBOSE)


def words_of_way(way: str) -> frozenset[str]:
    """Return the words of the events that a way of probing can tell of."""
    told = (_WORDS[kind] for kind in hooks.events_of(way) if kind in _WORDS)
    links = () if way == hooks.TRACEPOINT else ("pgid", "sid")
    return frozenset(("birth", "thread", *links, *told))


def word_of(event: events.Event) -> str:
    """Return the word: one of `CHOICES` or `ALWAYS`."""
    if not isinstance(event, events.PidAttached):
        return _WORDS[type(event)]
    if event.birth is None:
        return event.pid_type.name.lower()
    return "birth" if event.birth.tgid == event.tid else "thread"
