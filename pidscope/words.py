"""What each event is called in one word, in the EVENT column and for ``--type``."""

from __future__ import annotations

from collections.abc import Mapping

from pidscope import hooks
from pidscope.event import (
    Event,
    ForkFailed,
    Lost,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidRefused,
    PidTransferred,
    Repaired,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskFreed,
    TaskMoved,
    TaskRenamed,
    TaskSeen,
    TidsExchanged,
)

_WORDS: Mapping[type, str] = {
    TaskExecuted: "exec",
    TaskExited: "exit",
    PidDetached: "release",
    TaskFreed: "freed",
    TidsExchanged: "exchange",
    NamespaceCreated: "ns-new",
    NamespaceDying: "ns-dying",
    ForkFailed: "fork-fail",
    PidRefused: "no-number",
    PidAllocated: "alloc",
    PidFreed: "free",
    TaskCreated: "created",
    PidTransferred: "transfer",
    TaskRenamed: "rename",
    TaskMoved: "moved",
    TaskSeen: "seen",
    Lost: "LOST",
    Repaired: "REPAIRED",
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


def word_of(event: Event) -> str:
    """Return the word: one of `CHOICES` or `ALWAYS`."""
    if not isinstance(event, PidAttached):
        return _WORDS[type(event)]
    if event.birth is None:
        return event.pid_type.name.lower()
    return "birth" if event.birth.tgid == event.tid else "thread"
