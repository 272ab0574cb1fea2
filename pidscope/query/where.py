"""WHERE: the word that says which PID namespace is meant, and what it names.

Pure. A container is not a namespace is not a cgroup: a container's members are known by cgroup, its
numbers by a namespace, which is that of its init. Another may have the same one (a pod that shares
it, or ``--pid=host``), so the answer lists them. Nothing is guessed: a word that names several
namespaces is an error that lists them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container, display_name
from pidscope.errors import AmbiguousError, HostError, NotFound, PidscopeError, UsageError
from pidscope.escape import printable
from pidscope.snapshot import Mount, Snapshot, TaskReading

FORMS = (
    "host, self, pid:N, ns:INUM, pid:[INUM], id:HEX, name:X, pod:NS/POD[/CONTAINER], service:UNIT"
)
ROOT = "run as root to see all"
_MAX_LISTED = 10

_NUMBERED = re.compile(r"(?:pid:([0-9]{1,10})|ns:([0-9]{1,10})|pid:\[([0-9]{1,10})\])")
_NUMBER = re.compile(r"[0-9]{1,10}")
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
    def inum(self) -> int | None:
        """The inum that it is, or may be."""
        if self.kind is Kind.NS:
            return self.number
        return int(self.text) if self.kind is Kind.BARE and _NUMBER.fullmatch(self.text) else None

    @property
    def needs_containers(self) -> bool:
        """Whether it may name a container or a service."""
        return self.kind in _CONTAINED


_CONTAINED = frozenset({Kind.ID, Kind.NAME, Kind.POD, Kind.SERVICE, Kind.BARE})
_NOUNS = {
    Kind.NS: "PID namespace",
    Kind.ID: "container",
    Kind.NAME: "container",
    Kind.POD: "pod",
    Kind.SERVICE: "service",
    Kind.BARE: "process, namespace or container",
}


class Scene(NamedTuple):
    """Where a word is looked up.

    ``read`` reads one task by its number in the mount, a thread too; None: it is not there.
    ``containers`` are those around each process, by its number in the mount; None: they were not
    read. Where they were, the snapshot has starts. ``complete``: this user may see all processes.
    """

    mount: Mount
    read: Callable[[int], TaskReading | None]
    snapshot: Snapshot
    containers: Mapping[int, Chain] | None = None
    complete: bool = True


class Place(NamedTuple):
    """A PID namespace, and what the word named.

    ``ns`` is its inum; None: the mount's own, which may not be read. ``container`` is the one that
    was named, behind those around it; ``shared`` are the others that have the same namespace, and
    ``with_host``: the container has none of its own but the mount's.
    """

    ns: int | None
    container: Chain = ()
    shared: tuple[Chain, ...] = ()
    with_host: bool = False


def parse_where(word: str) -> Where:
    """Understand a word; raise UsageError for what is none."""
    if word in ("host", "self"):
        return Where(Kind(word), word)
    match = _NUMBERED.fullmatch(word)
    if match is not None:
        return _numbered(word, match)
    prefix, colon, rest = word.partition(":")
    if colon and prefix in _PREFIXED:
        found = _PREFIXED[prefix](word, rest) if rest else None
    else:
        found = Where(Kind.BARE, word, text=word) if word else None
    if found is None:
        raise UsageError(f"'{printable(word)}': no such place", f"WHERE is one of {FORMS}")
    return found


def _numbered(word: str, match: re.Match[str]) -> Where:
    kind = Kind.PID if match[1] else Kind.NS
    return Where(kind, word, number=int(match[1] or match[2] or match[3]))


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
        AmbiguousError: it names several. NotFound: none that is there.
        HostError: it may be there, but this user may not read it, or this /proc does not show it.
    """
    found = list(_distinct(_places(where, scene)))
    if len(found) > 1:
        raise AmbiguousError(
            f"'{printable(where.word)}' is more than one place", _listed(found, where)
        )
    if not found:
        raise _not_found(where, scene)
    return _with_neighbours(found[0], scene)


def _places(where: Where, scene: Scene) -> Iterator[Place]:
    """Yield what the word names; of a bare one, what each form that it can be finds."""
    mount = scene.mount
    if where.kind is Kind.HOST:
        yield _of_host(mount)
    elif where.kind is Kind.SELF:
        yield Place(mount.ns if mount.inside is None else mount.inside)
    elif where.kind is Kind.PID:
        reading = scene.read(where.number)
        if reading is not None:
            yield Place(_namespace_of(reading, mount))
    elif where.kind is Kind.NS:
        if _is_there(where.number, scene):
            yield Place(where.number)
    elif where.kind is Kind.BARE:
        for meaning in _meanings(where.text):
            yield from _places(meaning, scene)
    else:
        yield from _of_containers(where, scene)


def _of_host(mount: Mount) -> Place:
    if mount.initial:
        return Place(mount.ns)
    raise HostError(
        f"this /proc shows {bracketed(mount.ns)}, which is not known to be the host's namespace",
        hint="leave out host, or name the host's /proc where it is mounted (--proc PATH)",
    )


def _namespace_of(reading: TaskReading, mount: Mount) -> int | None:
    """Return the inum of its innermost; raise HostError if it may not be read."""
    if reading.ns is None and len(reading.status.ns_pid) > 1:
        raise HostError(f"this user may not read the namespace of process {reading.number}", ROOT)
    return mount.ns if reading.ns is None else reading.ns


def _is_there(inum: int, scene: Scene) -> bool:
    snapshot = scene.snapshot
    known = inum in snapshot.ns_parents or inum == scene.mount.ns
    return known or any(task.ns == inum for task in snapshot.tasks)


def _meanings(text: str) -> Iterator[Where]:
    for prefix in _PREFIXED:
        word = f"{prefix}:{text}"
        match = _NUMBERED.fullmatch(word)
        meaning = _numbered(word, match) if match else _PREFIXED[prefix](word, text)
        if meaning is not None:
            yield meaning


def _of_containers(where: Where, scene: Scene) -> Iterator[Place]:
    for chain, members in _members(scene).items():
        if _is_named(chain[-1], where):
            yield Place(_namespace_of(min(members, key=_age), scene.mount), chain)


def _members(scene: Scene) -> dict[Chain, list[TaskReading]]:
    """Return the processes in each container, those of the containers inside it too."""
    members: dict[Chain, list[TaskReading]] = {}
    containers = scene.containers or {}
    for task in scene.snapshot.tasks if containers else ():
        status = task.status
        if status.ns_pid == status.ns_tgid:
            chain = containers.get(status.ns_tgid[0], ())
            for length in range(1, len(chain) + 1):
                members.setdefault(chain[:length], []).append(task)
    return members


def _age(task: TaskReading) -> tuple[int, int, int]:
    """Order the members of a container so that its init comes first, as all others are younger.

    It need not be number 1 (``--pid=host``), and another 1 may be inside it. Who enters from
    outside (exec into a container) is younger, wherever it comes from.
    """
    status = task.status
    return task.start_ticks or 0, len(status.ns_pid), status.ns_pid[-1]


def _is_named(container: Container, where: Where) -> bool:
    if where.kind is Kind.SERVICE:
        return container.is_service and container.unit in (where.text, f"{where.text}.service")
    if container.is_service:
        return False
    if where.kind is Kind.ID:
        return container.id.startswith(where.text)
    if where.kind is Kind.NAME:
        return where.text in (container.name, container.container_name)
    names = container.pod_namespace, container.pod, container.container_name
    return where.pod == names[: len(where.pod)]


def _distinct(places: Iterable[Place]) -> Iterator[Place]:
    """Leave out what names the same namespace again."""
    by_ns: dict[int | None, Place] = {}
    for place in places:
        by_ns.setdefault(place.ns, place)
    return iter(by_ns.values())


def _with_neighbours(place: Place, scene: Scene) -> Place:
    """Add what else has the namespace: other containers, and the mount's processes."""
    shared = [
        chain
        for chain, tasks in _members(scene).items()
        if not chain[-1].is_service
        and chain != place.container
        and min(tasks, key=_age).ns == place.ns
    ]
    with_host = bool(place.container) and place.ns == scene.mount.ns
    return place._replace(shared=tuple(shared) if place.ns else (), with_host=with_host)


def _not_found(where: Where, scene: Scene) -> PidscopeError:
    if where.kind is Kind.PID:
        return NotFound(no_process(where.number, scene.complete))
    named = bracketed(where.number) if where.kind is Kind.NS else f"'{printable(where.word)}'"
    what = f"{_NOUNS[where.kind]} {named}"
    if where.needs_containers and scene.containers is None:
        return HostError(f"no {what}: containers cannot be named here")
    if not scene.complete:
        return HostError(f"no {what} among what this user may read", ROOT)
    unnamed = sorted({display_name(it) for it in _nameless(where, scene)})
    if unnamed:
        others = f" and {len(unnamed) - 1} more" if len(unnamed) > 1 else ""
        hint = f"no name is known of {printable(unnamed[0])}{others}: id:HEX, or pid:N, names one"
        return HostError(f"no {what} that is known", hint)
    return NotFound(f"no {what}", "pidscope ns lists the namespaces, and their containers")


def _nameless(where: Where, scene: Scene) -> Iterator[Container]:
    """Yield the containers that may be meant, as their names are not known."""
    named = where.kind in (Kind.NAME, Kind.BARE)
    for chain in set((scene.containers or {}).values()):
        for it in chain:
            pod_meant = where.kind is Kind.POD and it.pod_uid is not None
            if (named or pod_meant) and not it.is_service and it.name is None and it.pod is None:
                yield it


def no_process(number: int, complete: bool) -> str:
    """Return that no process has a number, as far as this user may see."""
    return f"no process {number}{'' if complete else ', or none that this user may see'}"


def _listed(found: Sequence[Place], where: Where) -> list[str]:
    lines = [f"ns:{place.ns}  {_what(place, where)}" for place in found[:_MAX_LISTED]]
    more = len(found) - _MAX_LISTED
    return lines if more <= 0 else [*lines, f"… and {more} more"]


def _what(place: Place, where: Where) -> str:
    if place.container:
        return describe(place.container)
    named = where.text == str(place.ns)
    return "the namespace itself" if named else f"that of process {printable(where.text)}"


def bracketed(ns: int | None) -> str:
    """Return an inum as /proc prints it; None: not known."""
    return f"pid:[{'?' if ns is None else ns}]"


def describe(chain: Chain) -> str:
    """Return what people call a container: ``docker container web``, ``pod default/web/nginx``."""
    container = chain[-1]
    kind = f"{printable(container.runtime)} container"
    if container.is_service:
        kind = "service"
    elif container.pod is not None:
        kind = "pod"
    named = f"{kind} {printable(display_name(container))}"
    outer = tuple(around for around in chain[:-1] if not around.is_service)
    return f"{named} in {describe(outer)}" if outer else named


def shared_by(place: Place) -> list[str]:
    """Return the sentence on the others that have a container's namespace; empty: there are none.

    It is about a container that was named.
    """
    others = [describe(chain) for chain in place.shared]
    others += ["what is in no container"] if place.with_host else []
    if not (place.container and others):
        return []
    return [f"{describe(place.container)} shares {bracketed(place.ns)} with {', '.join(others)}"]
