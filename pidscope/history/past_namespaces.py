"""The PID namespaces in which tasks lived at a time, of what a recording has of these tasks. Pure.

An inum is given out again at once (observed: two containers in a row), so within an interval it may
have been several namespaces. The argument by which they are told apart: a namespace's number 1 is
the first task in it, and an inum is free again only once the last one is gone. So a task is of the
namespace whose number 1 was the last to be born before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pidscope.history.answer import Holder

_TICK_NS = 10_000_000  # to which a start is known that was read from /proc
_Key = tuple[str, int, int, bool]  # boot, inum, which of its namespaces; behind that's end
_Inits = dict[tuple[str, int], list[Holder]]  # by boot and inum, the earliest first


class PastNamespace(NamedTuple):
    """A PID namespace, and how many of the tasks that lived then had it as their innermost."""

    boot_id: str
    ns: int
    level: int
    parent: int  # the inum; 0: it is the initial one
    init: Holder | None  # its number 1; None: that had ended before, or is not known
    processes: int
    threads: int


class _Found:
    """A namespace as it is found."""

    def __init__(self, level: int, outer: _Key | None) -> None:
        self.level, self.outer = level, outer
        self.init: Holder | None = None
        self.processes = self.threads = 0


def namespaces(holders: Iterable[Holder], complete: bool = True) -> list[PastNamespace]:
    """Return the namespaces, each before those inside it, the oldest number 1 first.

    ``complete``: these are all tasks that lived then.
    """
    everyone = list(holders)
    inits = _inits_of(everyone)
    found: dict[_Key, _Found] = {}
    for it in everyone:
        keys = [_key(it, level, inits, complete) for level in range(len(it.inums))]
        for level, key in enumerate(keys):
            entry = found.get(key)
            if entry is None:
                entry = found[key] = _Found(level, keys[level - 1] if level else None)
            if it.numbers[level] == 1 and not it.is_thread:
                entry.init = it
        found[keys[-1]].processes += not it.is_thread
        found[keys[-1]].threads += 1
    return [_namespace(key, found[key]) for key in _tree_order(found)]


def _inits_of(holders: Sequence[Holder]) -> _Inits:
    """Return the number 1s of each inum but the initial one's."""
    inits: _Inits = {}
    for it in sorted(holders, key=lambda it: it.start_ns or 0):
        for inum, number in zip(it.inums[1:], it.numbers[1:]):
            if number == 1 and not it.is_thread:
                inits.setdefault((it.boot_id, inum), []).append(it)
    return inits


def _key(it: Holder, level: int, inits: _Inits, complete: bool) -> _Key:
    """Return which namespace a task was in at a level."""
    place = it.boot_id, it.inums[level]
    if not level:
        return (*place, 0, False)
    start_ns = (it.start_ns or 0) + (_TICK_NS - 1 if it.uid is None else 0)
    before = inits.get(place, ())
    which = sum((one.start_ns or 0) <= start_ns for one in before)
    end_ns = before[which - 1].end_ns if which else None
    is_behind = not complete and end_ns is not None and (it.start_ns or 0) > end_ns
    return (*place, which, is_behind)


def _namespace(key: _Key, found: _Found) -> PastNamespace:
    boot_id, inum = key[:2]
    parent = found.outer[1] if found.outer is not None else 0
    counts = found.init, found.processes, found.threads
    return PastNamespace(boot_id, inum, found.level, parent, *counts)


def _tree_order(found: dict[_Key, _Found]) -> list[_Key]:
    inside: dict[_Key | None, list[_Key]] = {}
    for key in sorted(found, key=lambda key: _age(key, found[key])):
        inside.setdefault(found[key].outer, []).append(key)
    ordered: list[_Key] = []
    waiting = inside.get(None, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += inside.get(ordered[-1], [])[::-1]
    return ordered


def _age(key: _Key, found: _Found) -> tuple[str, bool, int, int]:
    start_ns = None if found.init is None else found.init.start_ns
    return key[0], start_ns is None, start_ns or 0, key[1]
