"""Which PID namespace a container's is: what its processes and its engine testify. Pure.

A cgroup shows who is in a container, not which of several PID namespaces is the container's own: a
monitor is older than the container and lives outside (libvirt_lxc, nspawn's supervisor), a sandbox
is younger and lives inside, a process that a runtime executes passes through the host, and an
administrator can move a process into any cgroup. Four witnesses, the best first:

- ``engine``: what listens at root's socket says which process is the container's first one;
- ``number 1``: of the namespaces whose number 1 is in the container, the outermost;
- ``most``: what more than half of the processes share;
- ``oldest``: the namespace of the oldest process.

The engine decides alone. Otherwise all that speak have to agree, except that a monitor, known to be
in the cgroup of certain runtimes, is expected to be older. A container has the namespace of the
host only if all of its processes have. If the witnesses disagree, there is no answer but theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, NamedTuple

# The runtimes whose monitor is in the container's cgroup, and whose containers always have a PID
# namespace: libvirt_lxc, and systemd-nspawn before it made a cgroup for its supervisor (233).
MONITORED = frozenset({"libvirt", "nspawn"})


_KINDS = ("engine", "number 1", "all", "most", "oldest")
_MAX_GENERATIONS = 4  # shim, runc exec, runc:[1:CHILD], runc:[2:INIT]


class Member(NamedTuple):
    """A process directly in a container, not in another one inside it."""

    number: int  # in the mount's namespace
    ns: int | None  # inum of its innermost; None: this user may not read it
    inner: int  # its number there
    parent: int = 0  # in the mount's namespace


class Witness(NamedTuple):
    """One reason for a namespace; ``number`` is the process that it is about, 0: several."""

    kind: str  # engine, number 1, most, oldest, all
    ns: int
    number: int = 0
    members: int = 0  # processes that are in the namespace, or inside it
    of: int = 0  # processes of the container


class Verdict(NamedTuple):
    """The namespace of a container; None: the witnesses disagree or, with none, may not be read."""

    ns: int | None
    witnesses: tuple[Witness, ...] = ()


class Question(NamedTuple):
    """What is asked about one container.

    ``outermost``: inum of the mount's namespace. ``parents``: of each namespace, by inum.
    ``started`` gives the start of a process, in any unit, None if it has gone; only a container
    whose processes are in several namespaces asks for it. ``around``: the inums of the processes
    directly in a container around it; ``hollow``: there is one, and no process is. ``said``: the
    first process by an engine's word. ``parent_of`` gives the parent of any process by its number,
    0 if it has none that is known.
    """

    members: Sequence[Member]
    outermost: int | None
    parents: Mapping[int, int]
    started: Callable[[int], int | None]
    runtime: str = ""
    is_service: bool = False
    around: frozenset[int] = frozenset()
    hollow: bool = False
    said: Member | None = None
    parent_of: Callable[[int], int] = lambda number: 0


def judge(question: Question) -> Verdict:
    """Return which namespace the container's is, with the witnesses that speak for each."""
    members = _there([it for it in question.members if it.ns is not None], question.started)
    found = _witnesses(question, members)
    said = question.said
    if said is not None and said.ns is not None:
        found = (Witness("engine", said.ns, said.number), *found)
        if said in members or {it.ns for it in found} == {said.ns}:
            return Verdict(said.ns, found)
        return Verdict(None, found)
    hidden = any(it.ns is None for it in question.members)
    if hidden and not any(it.kind == "number 1" for it in found):
        return Verdict(None)
    return Verdict(_agreed(question._replace(members=members), found), found)


def _there(members: list[Member], started: Callable[[int], int | None]) -> list[Member]:
    """Leave out those that have gone, where it matters: they are in several namespaces."""
    if len({it.ns for it in members}) < 2:
        return members
    return [it for it in members if started(it.number) is not None]


def _witnesses(question: Question, members: Sequence[Member]) -> tuple[Witness, ...]:
    """Return those that are found among the processes, the best first."""
    everyone = len(members)
    firsts = _outermost_firsts(members, question)
    rooms: dict[int, list[Member]] = {}  # the processes, also of sandboxes inside a first's
    for it in members:
        rooms.setdefault(_room(it.ns or 0, firsts, question.parents), []).append(it)
    if len(rooms) == 1 and not firsts:
        ((ns, found),) = rooms.items()
        return (Witness("all", ns, 0, len(found), everyone),) if found else ()
    speaking = [Witness("number 1", ns, number) for ns, number in firsts.items()]
    for ns, found in rooms.items():
        if 2 * len(found) > everyone:
            kind = "all" if len(found) == everyone else "most"
            speaking.append(Witness(kind, ns, 0, len(found), everyone))
    return (*speaking, *(_oldest(rooms, question.started) if len(rooms) > 1 else ()))


def _outermost_firsts(members: Iterable[Member], question: Question) -> dict[int, int]:
    """Return the number 1 of each namespace that is a member, less those inside another's."""
    firsts = {it.ns: it.number for it in members if it.inner == 1 and it.ns is not None}
    return {
        ns: number
        for ns, number in firsts.items()
        if firsts.keys().isdisjoint(_around(ns, question.parents))
    }


def _around(ns: int, parents: Mapping[int, int]) -> list[int]:
    """Return the namespaces around one, as far as they are known, the nearest first."""
    found: list[int] = []
    outer = parents.get(ns, 0)
    while outer and outer not in found:
        found.append(outer)
        outer = parents.get(outer, 0)
    return found


def _room(ns: int, firsts: Mapping[int, int], parents: Mapping[int, int]) -> int:
    """Return the namespace whose number 1 is a member, and in which this one is; or itself."""
    return next((it for it in (ns, *_around(ns, parents)) if it in firsts), ns)


def _oldest(
    rooms: Mapping[int, Sequence[Member]], started: Callable[[int], int | None]
) -> tuple[Witness, ...]:
    """Return the oldest process's namespace, in a tuple; none: two are of the same age."""
    starts = [(started(it.number), ns, it.number) for ns, found in rooms.items() for it in found]
    known = [(start, ns, number) for start, ns, number in starts if start is not None]
    first = min(known, default=None)
    if first is None or any(start == first[0] and ns != first[1] for start, ns, _ in known):
        return ()
    return (Witness("oldest", first[1], first[2]),)


def _agreed(question: Question, found: Sequence[Witness]) -> int | None:
    """Return the namespace for which all that have to speak do; None: they disagree."""
    said = {kind: [it for it in found if it.kind == kind] for kind in _KINDS}
    if not question.is_service and _has_init_from_elsewhere(question):
        return None
    firsts, oldest, most = said["number 1"], said["oldest"], said["most"]
    inner = firsts[0] if len(firsts) == 1 else None
    if said["all"]:
        ns = said["all"][0].ns
        return None if inner is not None and _is_from_around(ns, question) else ns
    if question.is_service:
        # A service has the namespace of its main process, whatever that has made inside.
        if oldest and oldest[0].ns == question.outermost:
            return question.outermost
    elif question.runtime in MONITORED and inner is not None and _is_innermost(inner.ns, question):
        return inner.ns if all(it.ns == inner.ns for it in most) else None
    speaking = {it.ns for it in found}
    if len(speaking) != 1 or not oldest or not (most or _is_execution(inner, question)):
        return None
    (ns,) = speaking
    if (ns == question.outermost and inner is None) or _is_from_around(ns, question):
        return None
    return ns


def _is_innermost(ns: int, question: Question) -> bool:
    """Whether all processes are in a namespace, inside it or, as a monitor is, around it."""
    near = {ns, *_around(ns, question.parents)}
    return all(
        it.ns in near or ns in _around(it.ns or 0, question.parents) for it in question.members
    )


def _is_from_around(ns: int, question: Question) -> bool:
    """Whether a namespace may be that of a container around, whose number 1 was moved in here."""
    may_be = ns in question.around or question.hollow
    return may_be and any(it.ns != ns for it in question.members)


def _has_init_from_elsewhere(question: Question) -> bool:
    """Whether a sandbox's number 1 has a parent outside the container.

    Whatever makes a sandbox is in the container, and if it has ended, the parent is the container's
    number 1 (``find_new_reaper()``, kernel/exit.c). So that is none, but may be the container.
    """
    firsts = {it.ns: it for it in question.members if it.inner == 1 and it.ns is not None}
    inside = {it.number for it in question.members}
    return any(
        it.parent not in inside and it.parent > 0
        for ns, it in firsts.items()
        if not firsts.keys().isdisjoint(_around(ns, question.parents))
    )


def _is_execution(first: Witness | None, question: Question) -> bool:
    """Whether each process outside the namespace of number 1 descends from number 1's parent.

    That is the runtime's own process, which executes others in the container: on their way they
    are in its cgroup, but still in the namespace around it.
    """
    if first is None:
        return False
    outside = question.around or {question.outermost}
    runtime = next(it.parent for it in question.members if it.number == first.number)
    return runtime > 1 and all(
        it.ns == first.ns
        or (it.ns in outside and runtime in _ancestors(it.number, question.parent_of))
        for it in question.members
    )


def _ancestors(number: int, parent_of: Callable[[int], int]) -> list[int]:
    found = []
    for _ in range(_MAX_GENERATIONS):
        number = parent_of(number)
        found.append(number)
    return found
