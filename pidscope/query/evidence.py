"""What shows that a process is in a container, and which PID namespace is the container's. Pure.

For `pidscope lookup --explain`: every witness that `pidscope.query.witnesses` hears, and for each
container the line of a ``/proc/N/cgroup`` and the rule that name it, and the file, the engine or
the monitor that gave its name.
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
from pidscope.query.witnesses import Verdict

CGROUP, NAME, ENGINE = "cgroup", "name", "engine"


class Evidence(NamedTuple):
    """One witness; None: it says nothing about that."""

    kind: str  # cgroup, name, engine, number 1, all, most, oldest
    ns: int | None = None  # inum of the namespace for which it speaks
    pid: int | None = None  # the process that it is about, in the outermost namespace
    processes: int | None = None  # that are in the namespace, or inside it
    of: int | None = None  # of so many in the container
    line: str | None = None  # of the process's /proc/N/cgroup
    rule: str | None = None  # the form that the line has; None: none, a number 1 is there
    # Where the form was learnt; of a name and an engine's word the file, socket or command line.
    source: str | None = None


class Explained(NamedTuple):
    """What is known of one container; ``ns`` None: that is not certain."""

    chain: Chain  # empty: of processes in no container
    ns: int | None
    evidence: Sequence[Evidence]


def explain_places(
    view: View, found: Sequence[Process], tasks: Iterable[Process]
) -> list[Explained]:
    """Return the witnesses for the containers that were named, and for those around ``tasks``.

    ``found`` are the processes that were read.
    """
    chains = view.containers or {}
    leaders = [it for it in found if it.is_leader and it.ns is not None]
    there = membership(leaders, chains, view.started, view.said)
    around = {chains.get(it.pid, ()): it.pid for it in tasks}
    named = [it.container for it in (view.place, view.to) if it.container]
    return [
        _explained(chain, around.get(chain), there, view)
        for chain in dict.fromkeys((*named, *around))
    ]


def _explained(chain: Chain, pid: int | None, there: Membership, view: View) -> Explained:
    cgroups, sources = view.reading.snapshot.cgroups or {}, view.sources.get(chain)
    members = there.of.get(chain, [])
    verdict = there.verdict(chain) if members else Verdict(None)
    if members and not pid:
        pid = next((it.number for it in verdict.witnesses if it.number), members[0].number)
    found = [_cgroup(chain, pid, cgroups, view.rules)]
    if sources is not None and sources.name is not None:
        found.append(Evidence(NAME, source=sources.name))
    for it in verdict.witnesses:
        source = sources.first if sources is not None and it.kind == ENGINE else None
        members_there, of = (it.members, it.of) if it.of else (None, None)
        one = Evidence(it.kind, it.ns, it.number or None, members_there, of, source=source)
        found.append(one)
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
