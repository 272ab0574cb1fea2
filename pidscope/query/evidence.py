"""What shows that a process is in a container, and which PID namespace is the container's. Pure.

For `pidscope lookup --explain`: every witness that `pidscope.query.witnesses` hears, and for each
container the line of a ``/proc/N/cgroup`` and the rule that name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import Rules, witnesses
from pidscope.query.membership import Membership
from pidscope.query.namespace_owner import membership
from pidscope.query.process import Process
from pidscope.query.view import View

CGROUP = "cgroup"


class Evidence(NamedTuple):
    """One witness; None: it says nothing about that."""

    kind: str  # cgroup, engine, number 1, all, most, oldest
    ns: int | None = None  # inum of the namespace for which it speaks
    pid: int | None = None  # the process that it is about, in the outermost namespace
    processes: int | None = None  # that are in the namespace, or inside it
    of: int | None = None  # of so many in the container
    line: str | None = None  # of the process's /proc/N/cgroup
    rule: str | None = None  # the form that the line has; None: none, a number 1 is there
    source: str | None = None  # where the form was learnt


class Explained(NamedTuple):
    """What is known of one container; ``ns`` None: that is not certain."""

    chain: Chain  # empty: of processes in no container
    ns: int | None
    evidence: Sequence[Evidence]


def explain_places(
    view: View, found: Sequence[Process], tasks: Iterable[Process], rules: Rules | None
) -> list[Explained]:
    """Return the witnesses for the containers that were named, and for those around ``tasks``.

    ``found`` are the processes that were read, ``rules`` those that a user has added.
    """
    chains = view.containers or {}
    leaders = [it for it in found if it.is_leader and it.ns is not None]
    there = membership(leaders, chains, view.started, view.said)
    around = {chains.get(it.pid, ()): it.pid for it in tasks}
    named = [it.container for it in (view.place, view.to) if it.container]
    cgroups = view.reading.snapshot.cgroups or {}
    return [
        _explained(chain, around.get(chain), there, cgroups, rules)
        for chain in dict.fromkeys((*named, *around))
    ]


def _explained(
    chain: Chain,
    pid: int | None,
    there: Membership,
    cgroups: Mapping[int, bytes],
    rules: Rules | None,
) -> Explained:
    members = there.of.get(chain, [])
    if not members:
        return Explained(chain, None, [_cgroup(chain, pid, cgroups, rules)])
    verdict = there.verdict(chain)
    number = next((it.number for it in verdict.witnesses if it.number), members[0].number)
    found = [_cgroup(chain, pid or number, cgroups, rules)]
    for it in verdict.witnesses:
        counted = (it.members, it.of) if it.of else (None, None)
        found.append(Evidence(it.kind, it.ns, it.number or None, *counted))
    return Explained(chain, verdict.ns, found)


def _cgroup(
    chain: Chain, pid: int | None, cgroups: Mapping[int, bytes], rules: Rules | None
) -> Evidence:
    """Return the line that names a container or, if none does, the line that tells most."""
    data = cgroups.get(pid or 0, b"")
    for it in witnesses(data, rules) if chain else ():
        if _is_same(it.container, chain[-1]):
            form, source = (it.rule.form, it.rule.source) if it.rule else (None, None)
            return Evidence(CGROUP, pid=pid, line=it.line, rule=form, source=source)
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    return Evidence(CGROUP, pid=pid, line=max(lines, key=lambda it: it.count("/"), default=None))


def _is_same(one: Container, other: Container) -> bool:
    """Whether they are one container, of which one may have been given names since."""
    return one[:2] == other[:2] and one.unit == other.unit
