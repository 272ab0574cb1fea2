"""What pidscope answers about a generated host, judged by what is true of it.

Asked is the pure part of ``pidscope lookup -q NUMBER --in WORD`` and of ``ns``: all but the reading
of files. A fault is a number that is given out though it is not of the namespace asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pidscope.containers.container import Chain, Container
from pidscope.containers.rules import UNKNOWN
from pidscope.errors import PidscopeError
from pidscope.query.lookup import look_up
from pidscope.query.namespace_owner import chains
from pidscope.query.place import Place
from pidscope.query.process import Process
from pidscope.query.unknown_runtimes import with_unknown
from pidscope.query.view import View
from pidscope.query.where import Scene, expect_own, resolve
from pidscope.query.words import parse_where
from pidscope.snapshot import ProcReading
from pidscope_dev.hosts.host import HOST_NS, Box, Host

_ENGINE_RUNTIMES = frozenset({"docker", "podman", "oci"})


class Answers(NamedTuple):
    """The faults of one host, in words, and what was answered how often."""

    faults: list[str]
    counts: Counter[str]


class Seen(NamedTuple):
    """A host as pidscope has read it."""

    reading: ProcReading
    containers: Mapping[int, Chain]
    said: Mapping[Chain, int]

    def started(self, number: int) -> int | None:
        """Return when a process started."""
        return next(
            (it.start_ticks for it in self.reading.snapshot.tasks if it.number == number), None
        )


class _View(View):
    """One that makes its processes once for all words."""

    __slots__ = ()
    made: list[Process] = []  # noqa: RUF012 (of one host)

    def processes(self) -> list[Process]:
        """Return the tasks that were read."""
        return self.made


def ask(host: Host, most: int = 1000) -> Answers:
    """Ask for each container in its words, ``most`` of a host, with numbers of every namespace."""
    seen = see(host)
    answers = Answers([], Counter())
    made = _view(seen, Place(HOST_NS)).processes()
    asked = list(dict.fromkeys(word for box in host.boxes for word in words(box)))
    for word in asked[:: max(1, len(asked) // most)]:
        _ask(host, seen, word, made, answers)
    _ask_owners(host, seen, made, answers)
    return answers


def _view(seen: Seen, place: Place) -> View:
    return View(seen.reading, seen.containers, place, Place(HOST_NS), (), seen.started)


def see(host: Host) -> Seen:
    """Read a host, and give its containers the names that root's engine has for them."""
    reading = host.reading()
    named = {box.id: box for box in host.boxes if box.engine}
    pods = {box.id: box for box in host.boxes if box.pod}
    found = {}
    said = {}
    for number, chain in chains(reading.snapshot.cgroups or {}).items():
        first = next((at for at, it in enumerate(chain) if not it.is_service), None)
        if first is not None and chain[first].uid is None:
            it = chain[first]
            box, pod = named.get(it.id), pods.get(it.id)
            if box is not None and it.runtime in _ENGINE_RUNTIMES and box.first is not None:
                it = it._replace(name=box.name)
            if pod is not None and pod.pod is not None:
                it = it._replace(pod=pod.pod[0], pod_namespace="default", container_name=pod.member)
            chain = (*chain[:first], it, *chain[first + 1 :])
            if box is not None and box.first is not None and it.runtime in _ENGINE_RUNTIMES:
                said[chain[: first + 1]] = box.first.number
        found[number] = chain
    return Seen(reading, with_unknown(reading.snapshot, found, True), said)


def words(box: Box) -> Iterator[str]:
    """Yield what people call a container."""
    yield f"id:{box.id}"
    yield box.id[:12]
    if box.name is not None and (box.engine or box.name == box.id or box.runtime == "?"):
        yield from (box.name, f"name:{box.name}")
    if box.pod is not None:
        yield from (box.pod[0], f"pod:{box.pod[1]}", f"pod:default/{box.pod[0]}")
        if box.member is not None:
            yield f"pod:default/{box.pod[0]}/{box.member}"


def _numbers(host: Host) -> list[int]:
    """Return numbers that several namespaces have, and 1."""
    taken = Counter(number for it in host.processes for number in set(it.numbers.values()))
    return [1, 17, *(number for number, times in taken.most_common(4))]


def _ask(host: Host, seen: Seen, word: str, made: list[Process], answers: Answers) -> None:
    try:
        place = _place(seen, word)
    except PidscopeError as error:
        answers.counts[type(error).__name__] += 1
        return
    view = _View(*_view(seen, place))
    _View.made = made
    for answer in look_up(view, _numbers(host), quiet=True, elsewhere=False).answers:
        if answer.taken.task is None or not answer.translated:
            answers.counts["no such number"] += 1
            continue
        answers.counts["translated"] += 1
        fault = _fault(host, word, answer.taken.number, answer.translated, place)
        if fault:
            answers.faults.append(fault)


def _place(seen: Seen, word: str) -> Place:
    reading, known = seen.reading, {it.number: it for it in seen.reading.snapshot.tasks}
    scene = Scene(reading.mount, known.get, reading.snapshot, seen.containers, said=seen.said)
    place = resolve(parse_where(word), scene)
    expect_own(place)
    return place


def _fault(host: Host, word: str, number: int, given: int, place: Place) -> str:
    """Return what is wrong with a number that was given out; empty: nothing."""
    meant = _meant(host, word, place)
    if meant is None:
        return ""
    found = {box.place.ns for box in meant}
    wrong = f"{number} in {word} is {given} by pid:[{place.ns}]"
    if len(found) > 1:
        return f"{wrong}, of {sorted(found)}"
    right = {it.number for ns in found for it in [host.at(number, ns)] if it is not None}
    if given not in right or found == {HOST_NS}:
        return f"{wrong}, not {sorted(right)} by {sorted(found)}"
    return ""


def _meant(host: Host, word: str, place: Place) -> Sequence[Box] | None:
    """Return the containers that a word means; None: nothing is expected of them.

    What a user has made is meant only if nothing of root's is.
    """
    if place.container == ():
        return None  # it was another form's: host, self, a process, an inum
    boxes = [box for box in host.boxes if word in words(box)]
    boxes = [box for box in boxes if box.user is None] or boxes
    pods = word.startswith("pod:") or any(box.pod and box.pod[0] == word for box in boxes)
    if pods:  # the word may also be another container's name
        boxes = [box for box in boxes if box.pod is None or box.member is not None] or boxes
    return None if any(box.lost for box in boxes) else boxes


def _ask_owners(host: Host, seen: Seen, made: list[Process], answers: Answers) -> None:
    """Judge the container that ``ns`` shows beside each namespace."""
    for ns, container in _view(seen, Place(HOST_NS)).homes(made).own.items():
        answers.counts["owners"] += 1
        if not _is_owner(host, ns, container):
            answers.faults.append(f"pid:[{ns}] is shown as {container.id}'s")


def _is_owner(host: Host, ns: int, container: Container) -> bool:
    """Whether a namespace is a container's.

    One that no rule knows is what a number 1 shows, PATH:INUM by its cgroup and its namespace,
    although the number 1 of another container was moved into that cgroup.
    """
    if container.runtime == UNKNOWN:
        path, _, inum = container.id.rpartition(":")
        firsts = (it for it in host.processes if it.numbers.get(ns) == 1)
        return inum == str(ns) and any(path in it.paths.values() for it in firsts)
    boxes = [it for it in host.boxes if it.id == container.id and it.user == container.uid]
    return any(it.lost for it in boxes) or not boxes or ns in {it.place.ns for it in boxes}
