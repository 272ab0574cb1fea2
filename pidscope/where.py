"""WHERE: the word that says which PID namespace is meant, and what it names.

Pure. A container is not a namespace is not a cgroup: a container's members are told by cgroup, its
numbers by a namespace, which is that of its init. Another may have the same one (a pod that shares
it, or ``--pid=host``), so the answer says who. Nothing is guessed: a word that names more than one
namespace is an error that lists them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Callable, NamedTuple

from pidscope.container import Container
from pidscope.errors import AmbiguousError, HostError, NotFound, UsageError
from pidscope.escape import escape
from pidscope.snapshot import Mount, Snapshot, TaskReading

FORMS = (
    "host, self, pid:N, ns:INUM, pid:[INUM], id:HEX, name:X, pod:NS/POD[/CONTAINER], service:UNIT"
)
_ROOT = "run as root to see all"
_ID_SHOWN = 12  # hexadecimal digits of an id, as runtimes show it
_MAX_LISTED = 10

_NUMBERED = re.compile(r"(?:pid:([0-9]{1,10})|ns:([0-9]{1,10})|pid:\[([0-9]{1,10})\])")
_ID = re.compile(r"[0-9a-fA-F]{1,64}")
_POD = re.compile(r"([^/]+)/([^/]+)(?:/([^/]+))?")


class Kind(enum.Enum):
    """Which of the forms a word has."""

    HOST = "host"
    SELF = "self"
    PID = "pid"
    NS = "ns"
    ID = "id"
    NAME = "name"
    POD = "pod"
    SERVICE = "service"
    BARE = "bare"


class Where(NamedTuple):
    """A word that was understood. ``word`` is as it was given."""

    kind: Kind
    word: str
    number: int = 0  # of a process in the mount's namespace, or an inum
    text: str = ""  # a hexadecimal prefix, a name, a unit, or all of a bare word
    pod: tuple[str, ...] = ()  # (namespace, pod) or (namespace, pod, container)

    @property
    def needs_containers(self) -> bool:
        """Whether it may name a container or a service."""
        return self.kind in _CONTAINED


_CONTAINED = frozenset({Kind.ID, Kind.NAME, Kind.POD, Kind.SERVICE, Kind.BARE})


class Scene(NamedTuple):
    """Where a word is looked up.

    ``read`` reads one task by its number in the mount, a thread too; None: it is not there.
    ``containers`` tells who is in which, by process number in the mount; whoever is in none is
    left out. The snapshot has starts if there are any. ``complete``: nobody is hidden.
    """

    mount: Mount
    read: Callable[[int], TaskReading | None]
    snapshot: Snapshot
    containers: Mapping[int, Container] = MappingProxyType({})
    complete: bool = True


class Place(NamedTuple):
    """A PID namespace, and what the word named.

    ``ns`` is its inum; None: the mount's own, which may not be read. ``container`` is the one that
    was named; ``shared`` are the others that have the same namespace, and ``with_host`` tells that
    the container has none of its own but the mount's.
    """

    ns: int | None
    word: str  # a WHERE that names it alone
    container: Container | None = None
    shared: tuple[Container, ...] = ()
    with_host: bool = False


def parse_where(word: str) -> Where:
    """Understand a word; raise UsageError for what is none."""
    if word in ("host", "self"):
        return Where(Kind(word), word)
    match = _NUMBERED.fullmatch(word)
    if match is not None:
        kind = Kind.PID if match[1] else Kind.NS
        return Where(kind, word, number=int(match[1] or match[2] or match[3]))
    prefix, colon, rest = word.partition(":")
    if colon and prefix in _PREFIXED:
        found = _PREFIXED[prefix](word, rest) if rest else None
    else:
        found = Where(Kind.BARE, word, text=word) if word else None
    if found is None:
        raise UsageError(f"{shown(word)!r}: no such place", f"WHERE is one of {FORMS}")
    return found


def _id(word: str, rest: str) -> Where | None:
    return Where(Kind.ID, word, text=rest.lower()) if _ID.fullmatch(rest) else None


def _name(word: str, rest: str) -> Where:
    return Where(Kind.NAME, word, text=rest)


def _pod(word: str, rest: str) -> Where | None:
    match = _POD.fullmatch(rest)
    if match is None:
        return None
    return Where(Kind.POD, word, pod=tuple(part for part in match.groups() if part is not None))


def _service(word: str, rest: str) -> Where:
    return Where(Kind.SERVICE, word, text=rest)


def _nothing(word: str, rest: str) -> None:
    return None


_PREFIXED: Mapping[str, Callable[[str, str], Where | None]] = {
    "pid": _nothing,  # what is one was found before
    "ns": _nothing,
    "id": _id,
    "name": _name,
    "pod": _pod,
    "service": _service,
}


def resolve(where: Where, scene: Scene) -> Place:
    """Return the one namespace that ``where`` names.

    Raises:
        AmbiguousError: it names several; NotFound: none that is there.
        HostError: it may be there, but this user may not read it, or this /proc does not show it.
    """
    if where.kind is Kind.HOST:
        return _of_host(scene.mount)
    if where.kind is Kind.SELF:
        mount = scene.mount
        return _whole(Place(mount.ns if mount.inside is None else mount.inside, "self"), scene)
    if where.kind is Kind.PID:
        return _whole(_of_process(where, scene), scene)
    found = list(_distinct(_places(where, scene)))
    if len(found) > 1:
        raise AmbiguousError(f"{shown(where.word)!r} is more than one place", _listed(found))
    if not found:
        raise _not_found(where, scene)
    return _whole(found[0], scene)


def _of_host(mount: Mount) -> Place:
    if mount.initial:
        return Place(mount.ns, "host")
    inum = "?" if mount.ns is None else mount.ns
    raise HostError(
        f"this /proc shows pid:[{inum}], which is not known to be the host's namespace",
        hint="leave out host, or name the host's /proc where it is mounted (--proc PATH)",
    )


def _of_process(where: Where, scene: Scene) -> Place:
    reading = scene.read(where.number)
    if reading is None:
        raise NotFound(f"no process {where.number}, or none that this user may see")
    ns = _innermost(reading, scene.mount)
    if ns is None and len(reading.status.ns_pid) > 1:
        raise HostError(f"this user may not read the namespace of process {where.number}", _ROOT)
    return Place(ns, f"pid:{where.number}")


def _innermost(reading: TaskReading, mount: Mount) -> int | None:
    """Return its inum; a task with one number is in the mount's own namespace."""
    return mount.ns if len(reading.status.ns_pid) == 1 else reading.ns


def _places(where: Where, scene: Scene) -> Iterator[Place]:
    """Yield what each form that the word can be finds."""
    if where.kind is Kind.BARE:
        for kind in _meanings(where.text):
            yield from _places(kind, scene)
    elif where.kind is Kind.NS:
        if _is_there(where.number, scene):
            yield Place(where.number, f"ns:{where.number}")
    elif where.kind is Kind.PID:
        reading = scene.read(where.number)
        if reading is not None:
            yield _of_process(where, scene)
    else:
        yield from _of_containers(where, scene)


def _meanings(text: str) -> Iterator[Where]:
    for prefix in ("pid", "ns", "id", "name", "pod", "service"):
        word = f"{prefix}:{text}"
        match = _NUMBERED.fullmatch(word)
        if match is not None:
            yield Where(Kind.PID if prefix == "pid" else Kind.NS, word, number=int(text))
        meaning = _PREFIXED[prefix](word, text)
        if meaning is not None:
            yield meaning


def _is_there(inum: int, scene: Scene) -> bool:
    snapshot = scene.snapshot
    if inum in snapshot.ns_parents or inum == scene.mount.ns:
        return True
    return any(task.ns == inum for task in snapshot.tasks)


def _of_containers(where: Where, scene: Scene) -> Iterator[Place]:
    for container, members in _members(scene).items():
        if _is_named(container, where):
            init = min(members, key=_age)
            ns = _innermost(init, scene.mount)
            if ns is None and len(init.status.ns_pid) > 1:
                raise HostError(
                    f"this user may not read the namespace of process {init.number}, "
                    f"of {describe(container)}",
                    _ROOT,
                )
            yield Place(ns, word_of(container), container)


def _members(scene: Scene) -> dict[Container, list[TaskReading]]:
    """Return who is in each container, threads left out."""
    members: dict[Container, list[TaskReading]] = {}
    for task in scene.snapshot.tasks:
        status = task.status
        container = scene.containers.get(status.ns_tgid[0])
        if container is not None and status.ns_pid == status.ns_tgid:
            members.setdefault(container, []).append(task)
    return members


def _age(task: TaskReading) -> tuple[int, int, int]:
    """Order the members of a container so that its init comes first: all others are its younger.

    It need not be number 1, as with ``--pid=host``, and another 1 may be inside it; who enters from
    outside (exec into a container) is younger, wherever it comes from.
    """
    status = task.status
    return task.start_ticks or 0, len(status.ns_pid), status.ns_pid[-1]


def _is_named(container: Container, where: Where) -> bool:
    if where.kind is Kind.ID:
        return container.id.startswith(where.text)
    if where.kind is Kind.NAME:
        return where.text in (container.name, container.container_name)
    if where.kind is Kind.SERVICE:
        return container.unit in (where.text, f"{where.text}.service")
    names = container.pod_namespace, container.pod, container.container_name
    return where.pod == names[: len(where.pod)]


def _distinct(places: Iterable[Place]) -> Iterator[Place]:
    """Leave out what names the same namespace again; a container before what it is not."""
    by_ns: dict[int | None, Place] = {}
    for place in places:
        known = by_ns.get(place.ns)
        if known is None or known.container is None:
            by_ns[place.ns] = place
    return iter(by_ns.values())


def _whole(place: Place, scene: Scene) -> Place:
    """Add with whom the namespace is shared."""
    members = _members(scene)
    same = [
        container
        for container, tasks in members.items()
        if _innermost(min(tasks, key=_age), scene.mount) == place.ns
        and container != place.container
    ]
    with_host = place.container is not None and place.ns == scene.mount.ns
    return place._replace(shared=tuple(same), with_host=with_host)


def _not_found(where: Where, scene: Scene) -> HostError | NotFound:
    what = f"pid:[{where.number}]" if where.kind is Kind.NS else repr(shown(where.word))
    if not scene.complete:
        return HostError(f"no {what} among what this user may read", _ROOT)
    if where.kind is Kind.NS:
        return NotFound(f"no PID namespace {what}", "pidscope ns lists them")
    return NotFound(f"no namespace, container, pod or service {what}", "pidscope ns lists them")


def _listed(found: Collection[Place]) -> list[str]:
    lines = [_candidate(place) for place in found]
    more = len(lines) - _MAX_LISTED
    return lines if more <= 0 else [*lines[:_MAX_LISTED], f"… and {more} more"]


def _candidate(place: Place) -> str:
    inum = "?" if place.ns is None else place.ns
    what = f", {describe(place.container)}" if place.container is not None else ""
    return f"{place.word}  pid:[{inum}]{what}"


def word_of(container: Container) -> str:
    """Return the WHERE that names this container and hardly another."""
    if _ID.fullmatch(container.id):
        return f"id:{container.id[:_ID_SHOWN]}"
    if container.name is not None:
        return f"name:{shown(container.name)}"
    return f"service:{shown(container.unit or '?')}"


def describe(container: Container) -> str:
    """Return what people call it: ``docker container web``, ``pod default/web``, a service."""
    if container.pod is not None:
        parts = container.pod_namespace or "?", container.pod, container.container_name
        return "pod " + "/".join(shown(part) for part in parts if part is not None)
    if not container.id and container.unit is not None:
        return f"service {shown(container.unit)}"
    name = container.name if container.name is not None else container.id[:_ID_SHOWN]
    return f"{shown(container.runtime)} container {shown(name)}"


def shown(text: str) -> str:
    """Return foreign text as it may be printed."""
    return escape(text.encode("utf-8", "surrogateescape"))
