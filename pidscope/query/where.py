"""WHERE: the word that says which PID namespace is meant, and what it names.

Pure. A container is not a namespace is not a cgroup: a container's members are known by cgroup, its
numbers by a namespace, on which its processes and its engine have to agree
(`pidscope.query.witnesses`). Another may have the same one (a pod that shares it, or
``--pid=host``), so the answer lists them. Nothing is guessed: a word that names several namespaces
is an error that lists them. What a user can make below his own manager's cgroup comes after what
root has made: he can neither take a name nor make it ambiguous.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Callable, NamedTuple

from pidscope.containers.container import Chain, Container, display_name
from pidscope.containers.rules import UNKNOWN
from pidscope.errors import (
    AmbiguousError,
    HostError,
    NotFound,
    NotKnown,
    PidscopeError,
    UsageError,
)
from pidscope.escape import printable
from pidscope.query.labels import describe, describe_apart
from pidscope.query.membership import Membership
from pidscope.query.named import has_id, has_name, has_unit, is_in_pod, without_sandboxes
from pidscope.query.place import ROOT, Place, bracketed, no_process
from pidscope.query.witnesses import Member
from pidscope.query.words import Kind, Where, meanings
from pidscope.snapshot import Mount, Snapshot, TaskReading

_MAX_LISTED = 10

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
    read. ``complete``: this user may see all processes. ``said`` is the first process of a
    container by the word of root's engine; ``stopped`` returns those that engines know and that do
    not run. ``started`` gives the start of a process; None: the snapshot has it.
    """

    mount: Mount
    read: Callable[[int], TaskReading | None]
    snapshot: Snapshot
    containers: Mapping[int, Chain] | None = None
    complete: bool = True
    said: Mapping[Chain, int] = MappingProxyType({})
    stopped: Callable[[], Collection[Container]] = tuple
    started: Callable[[int], int | None] | None = None


def resolve(where: Where, scene: Scene) -> Place:
    """Return the one namespace that ``where`` names.

    Raises:
        AmbiguousError: it names several, or a container whose namespace is disputed.
        NotFound: none that is there. NotKnown: of a container that is there, none is known.
        HostError: it may be there, but this user may not read it, or this /proc does not show it.
    """
    there = membership(scene) if where.may_name_container else _NOTHING
    named, users = _by_rank(where, there)
    claims = [
        *_claims(where, scene),
        *(it for chain in named for it in _of_container(chain, there)),
    ]
    if len({claim.ns for claim in claims}) > 1:
        raise _ambiguous(where, claims)
    if not claims:
        raise _not_found(where, scene)
    return _with_neighbours(claims[0].place._replace(users=tuple(users)), there, scene)


def membership(scene: Scene) -> Membership:
    """Return the processes of each container; none are known where no cgroups were read."""
    tasks = [
        it
        for it in scene.snapshot.tasks
        if it.status.ns_pid == it.status.ns_tgid and 0 not in it.status.ns_pid
    ]
    ticks = {task.number: task.start_ticks for task in tasks}
    return Membership(
        [_member(task, scene.mount) for task in tasks],
        scene.containers or {},
        outermost=scene.mount.ns or 0,
        parents=scene.snapshot.ns_parents,
        started=scene.started or ticks.get,
        said=scene.said,
    )


def _member(task: TaskReading, mount: Mount) -> Member:
    status = task.status
    ns = (mount.ns or 0) if task.ns is None and len(status.ns_pid) == 1 else task.ns
    return Member(status.ns_tgid[0], ns, status.ns_pid[-1], status.ppid)


_NOTHING = Membership((), {}, outermost=None, parents={}, started=lambda number: None)


class Claim(NamedTuple):
    """A namespace that a word may mean; ``testimony``: what speaks for it, if that is disputed."""

    place: Place
    testimony: str = ""

    @property
    def ns(self) -> int | None:
        """Its inum."""
        return self.place.ns


def _claims(where: Where, scene: Scene) -> Iterator[Claim]:
    """Yield what the word names but containers; of a bare one, what each form finds."""
    mount = scene.mount
    for meaning in meanings(where):
        if meaning.kind is Kind.HOST:
            yield Claim(_of_host(mount))
        elif meaning.kind is Kind.SELF:
            yield Claim(Place(mount.ns if mount.inside is None else mount.inside))
        elif meaning.kind is Kind.PID:
            reading = scene.read(meaning.number)
            if reading is not None:
                yield Claim(Place(_namespace_of(reading, mount)))
        elif meaning.kind is Kind.NS and _is_there(meaning.number, scene):
            yield Claim(Place(meaning.number))


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


# The containers that a word names


def _by_rank(where: Where, there: Membership) -> tuple[list[Chain], list[Chain]]:
    """Return the containers that are named, and those of users that therefore are not."""
    found: dict[Chain, None] = {}
    for meaning in meanings(where):
        chains = [chain for chain in there.of if is_named(chain[-1], meaning)]
        if meaning.kind is Kind.POD and len(meaning.pod) < 3:
            chains = without_sandboxes(chains, {chain: len(there.of[chain]) for chain in chains})
        found.update(dict.fromkeys(chains))
    return roots_first(list(found))


def roots_first(found: list[Chain]) -> tuple[list[Chain], list[Chain]]:
    """Return root's containers, and those of users, that give way; users' alone do not."""
    roots = [chain for chain in found if chain[-1].uid is None]
    users = [chain for chain in found if chain[-1].uid is not None]
    return (roots, users) if roots else (users, [])


def is_named(container: Container, where: Where) -> bool:
    """Whether a word, in one of its meanings, names a container or a service."""
    if where.kind is Kind.SERVICE:
        return has_unit(container, where.text)
    if where.kind is Kind.ID:
        return has_id(container, where.text)
    if where.kind is Kind.NAME:
        return has_name(container, where.text)
    return where.kind is Kind.POD and is_in_pod(container, where.pod)


def _of_container(chain: Chain, there: Membership) -> Iterator[Claim]:
    """Yield the namespace of a container or, if that is disputed, each that something speaks for.

    Raises HostError, NotKnown.
    """
    if not there.of[chain]:
        raise NotKnown(
            f"the namespace of {describe(chain)} is not known",
            "no process is directly in it, only in containers inside it: pid:N names one",
        )
    verdict = there.verdict(chain)
    if verdict.ns is not None:
        yield Claim(Place(verdict.ns or None, chain))
        return
    hidden = [it.number for it in there.of[chain] if it.ns is None]
    if hidden and not verdict.witnesses:
        raise HostError(f"this user may not read the namespace of process {hidden[0]}", ROOT)
    for ns, testimony in there.testimonies(chain, verdict).items():
        yield Claim(Place(ns or None, chain), testimony)


def _with_neighbours(place: Place, there: Membership, scene: Scene) -> Place:
    """Add what else has a container's namespace: other containers, and the mount's processes."""
    shared = [
        chain
        for chain, members in there.of.items()
        if not chain[-1].is_service
        and chain != place.container
        and place.ns is not None
        and any(it.ns == place.ns for it in members)
        and there.verdict(chain).ns == place.ns
    ]
    mount = scene.mount
    first = (scene.containers or {}).get(1, ())
    own = not mount.initial and first[: len(place.container)] == place.container
    with_host = bool(place.container) and place.ns == mount.ns and not own
    return place._replace(shared=tuple(shared), with_host=with_host)


# What is raised


def _ambiguous(where: Where, claims: Sequence[Claim]) -> AmbiguousError:
    """Return the error that lists what the word may mean."""
    word = printable(where.word)
    disputed = {claim.place.container for claim in claims if claim.testimony}
    text = f"'{word}' is more than one place"
    if len(disputed) == 1 == len({claim.place.container for claim in claims}):
        (chain,) = disputed
        text = f"which namespace is that of {describe(chain)} is not certain"
    return AmbiguousError(text, _listed(claims, where))


def _listed(claims: Sequence[Claim], where: Where) -> list[str]:
    found = list({(claim.ns, claim.place.container): claim for claim in reversed(claims)}.values())
    found = found[::-1]
    chains = list(dict.fromkeys(it.place.container for it in found if it.place.container))
    names = dict(zip(chains, describe_apart(chains)))
    lines = [f"ns:{it.ns}  {_what(it, where, names)}" for it in found[:_MAX_LISTED]]
    more = len(found) - _MAX_LISTED
    return lines if more <= 0 else [*lines, f"… and {more} more"]


def _what(claim: Claim, where: Where, names: Mapping[Chain, str]) -> str:
    chain = claim.place.container
    if claim.testimony:
        return f"{names[chain]}: {claim.testimony}"
    if chain:
        return names[chain]
    if where.kind in (Kind.HOST, Kind.SELF):
        return "the host itself" if where.kind is Kind.HOST else "pidscope itself"
    named = where.text == str(claim.ns)
    return "the namespace itself" if named else f"that of process {printable(where.text)}"


def _not_found(where: Where, scene: Scene) -> PidscopeError:
    if where.kind is Kind.PID:
        return NotFound(no_process(where.number, scene.complete))
    named = bracketed(where.number) if where.kind is Kind.NS else f"'{printable(where.word)}'"
    what = f"{_NOUNS[where.kind]} {named}"
    if where.needs_containers and scene.containers is None:
        return HostError(f"no {what}: containers cannot be named here")
    stopped = _stopped(where, scene) if where.needs_containers else None
    if stopped is not None:
        return NotFound(f"{describe((stopped,))} exists, but does not run")
    if not scene.complete:
        return HostError(f"no {what} among what this user may read", ROOT)
    unnamed = sorted({display_name(it) for it in _nameless(where, scene)})
    if unnamed:
        others = f" and {len(unnamed) - 1} more" if len(unnamed) > 1 else ""
        others = f"{printable(unnamed[0])}{others}"
        hint = f"no name is known of {others}: id:ID, or pid:N, names one"
        if where.kind is Kind.ID:
            hint = f"the runtime's own id is not known of {others}: pid:N names one"
        return HostError(f"no {what} that is known", hint)
    return NotFound(f"no {what}", "pidscope ns lists the namespaces, and their containers")


def _stopped(where: Where, scene: Scene) -> Container | None:
    """Return the container that is named, and that an engine knows, but that does not run."""
    known = scene.stopped()
    named = (it for meaning in meanings(where) for it in known if is_named(it, meaning))
    return next(named, None)


def _nameless(where: Where, scene: Scene) -> Iterator[Container]:
    """Yield the containers that may be meant, as their names are not known."""
    for chain in set((scene.containers or {}).values()):
        yield from (it for it in chain if may_be_named(it, where))


def may_be_named(container: Container, where: Where) -> bool:
    """Whether a word may name a container of which not all names are known."""
    if container.is_service:
        return False
    named = where.kind in (Kind.NAME, Kind.BARE)
    pod_meant = where.kind in (Kind.POD, Kind.BARE)
    any_meant = named or pod_meant or where.kind is Kind.ID
    may_be = (named and container.name is None) or (pod_meant and container.pod_uid is not None)
    # One of an unknown runtime goes by its cgroup here: its runtime calls it otherwise
    # (rootless Podman 4.3 with cgroups v1 makes none for a container).
    return (may_be and container.pod is None) or (any_meant and container.runtime == UNKNOWN)


def shared_by(place: Place) -> list[str]:
    """Return the sentence on the others that have a container's namespace; empty: there are none.

    It is about a container that was named.
    """
    others = [describe(chain) for chain in place.shared]
    others += ["what is in no container"] if place.with_host else []
    if not (place.container and others):
        return []
    return [f"{describe(place.container)} shares {bracketed(place.ns)} with {', '.join(others)}"]


def users_of(place: Place) -> list[str]:
    """Return the sentence on users' containers that the word names as well; empty: none."""
    if not place.users:
        return []
    named = ", ".join(describe(chain) for chain in place.users[:_MAX_LISTED])
    return [f"this is {describe(place.container)}, not {named}"]


def expect_own(place: Place) -> None:
    """Raise UsageError if a container was named that has no namespace but the mount's.

    Its numbers would be the host's: a number that means the container's may not be one of these.
    """
    if place.container and place.with_host:
        raise UsageError(
            f"{describe(place.container)} has no PID namespace of its own",
            f"its processes are in {bracketed(place.ns)} with what is in no container: "
            f"ns:{place.ns} names that",
        )
