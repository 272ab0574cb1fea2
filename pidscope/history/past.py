"""One time, as a recording has it: who had a number, who lived, and what a word named then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pidscope.containers.container import Chain, Container, innermost
from pidscope.errors import AmbiguousError, NotFound, NotKnown, PidscopeError, UsageError
from pidscope.escape import printable
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.moment import Moment
from pidscope.history.recording import Recording
from pidscope.history.span import Span
from pidscope.query.labels import describe, describe_apart
from pidscope.query.named import without_sandboxes
from pidscope.query.place import bracketed
from pidscope.query.where import is_named, may_be_named, roots_first
from pidscope.query.words import Kind, Where, meanings

_INITIAL_NS = 0xEFFFFFFC  # PROC_PID_INIT_INO (include/linux/proc_ns.h)
_MAX_LISTED = 10
_KEPT = 4
Chains = dict[tuple[Span, ...], dict[int, Chain]]  # of each cgroup, by its id
_U64_DIGITS = 20
_TEXTS = frozenset(Container._fields) - {"uid"}


class Past:
    """A recording at one time.

    Args:
        recording: stays open.
        moment: the time.
        chains: keeps the containers that files report, for other moments.

    Raises NotKnown: nothing was recording then.
    """

    def __init__(self, recording: Recording, moment: Moment, chains: Chains | None = None) -> None:
        self._windows = recording.windows(moment)
        self.spans = tuple([it.span for it in self._windows])
        self._chains: Chains = {} if chains is None else chains
        self._of_boots: dict[str, dict[int, Chain]] = {}
        self._alive: dict[bool, Answer] = {}

    @property
    def initial_ns(self) -> int:
        """The inum of the initial PID namespace."""
        return self._windows[0].initial_ns or _INITIAL_NS

    def holders(self, ns: int, number: int) -> Answer:
        """Return which tasks had a number in a namespace."""
        return _joined(window.holders(ns, number) for window in self._windows)

    def alive(self, threads: bool = True) -> Answer:
        """Return every task that lived; without ``threads`` every process."""
        if threads not in self._alive:
            self._alive[threads] = _joined(window.alive(threads) for window in self._windows)
        return self._alive[threads]

    def chain(self, holder: Holder) -> Chain:
        """Return the containers around a task when its facts were read; none: none is known."""
        return self._containers(holder.boot_id).get(holder.cgroup_id, ())

    def knows_cgroup(self, holder: Holder) -> bool:
        """Whether it is known which containers are around a task, or that none is."""
        return holder.cgroup_id in self._containers(holder.boot_id)

    def known_chain(self, holder: Holder) -> Chain | None:
        """Return the containers around a task when its facts were read; None: not known."""
        return self._containers(holder.boot_id).get(holder.cgroup_id)

    def container(self, holder: Holder) -> Container | None:
        """Return the innermost of them."""
        return innermost(self.chain(holder))

    def resolve(self, where: Where | None) -> int:
        """Return the inum of the namespace that a word named then; None: the initial one.

        Raises:
            AmbiguousError: it named several, also one after the other with the same inum. NotFound:
            none. NotKnown: the record has a gap. UsageError: it means nothing in a recording, or a
            container without its own namespace.
        """
        if where is None or where.kind is Kind.HOST:
            return self.initial_ns
        ns = self._resolved(where)
        self._expect_one(ns)
        return ns

    def _expect_one(self, ns: int) -> None:
        """Raise AmbiguousError if several namespaces had the inum: each had a number 1 of its own.

        An inum is given out again at once (observed: two containers in a row).
        """
        inits = () if ns == self.initial_ns else self.holders(ns, 1).holders
        if len(inits) > 1:
            listed = [f"that of process {it.numbers[0]}" for it in inits[:_MAX_LISTED]]
            text = f"{bracketed(ns)} was {len(inits)} namespaces in that time: give one more exact"
            raise AmbiguousError(text, listed)

    def _resolved(self, where: Where) -> int:
        if where.kind is Kind.SELF:
            raise UsageError("self is pidscope, which did not live then", "name the place itself")
        if where.kind is Kind.NS:
            return where.number
        found = self._named(where)
        for meaning in meanings(where):
            if meaning.kind is Kind.PID:
                found.update(self._of_process(meaning.number))
            elif meaning.kind is Kind.NS and self._is_there(meaning.number):
                found[meaning.number] = "the namespace itself"
        if len(found) > 1:
            listed = [f"ns:{ns}  {what}" for ns, what in [*found.items()][:_MAX_LISTED]]
            raise AmbiguousError(f"'{printable(where.word)}' was more than one place", listed)
        if not found:
            raise self._absent(where)
        return next(iter(found))

    def _of_process(self, number: int) -> dict[int, str]:
        holders = self.holders(self.initial_ns, number).holders
        return {it.inums[-1]: f"that of process {number}" for it in holders}

    def _is_there(self, ns: int) -> bool:
        return any(ns in it.inums for it in self.alive().holders)

    def _absent(self, where: Where) -> PidscopeError:
        gap = self.alive().gap
        if gap is not None:
            return NotKnown(f"'{printable(where.word)}' is not known then: {gap.reason}")
        if where.kind is not Kind.PID and not all(map(self.knows_cgroup, self.alive().holders)):
            return NotKnown(
                f"'{printable(where.word)}' is not known then: some tasks' cgroups are not"
            )
        chains = {self.chain(it) for it in self.alive().holders}
        if any(may_be_named(it, where) for chain in chains for it in chain):
            return NotKnown(
                f"'{printable(where.word)}' is not known then: not all containers' names are"
            )
        return NotFound(f"no place '{printable(where.word)}' then")

    def _named(self, where: Where) -> dict[int, str]:
        """Return the namespaces of the containers that a word names, and what people call them."""
        members: dict[Chain, list[Holder]] = {}
        for holder in self.alive().holders:
            chain = self.chain(holder)
            for at in range(1, len(chain) + 1):
                members.setdefault(chain[:at], []).append(holder)
        chains: dict[Chain, None] = {}
        for meaning in meanings(where):
            of_word = [chain for chain in members if is_named(chain[-1], meaning)]
            if meaning.kind is Kind.POD and len(meaning.pod) < 3:
                of_word = without_sandboxes(of_word, {it: len(members[it]) for it in of_word})
            chains.update(dict.fromkeys(of_word))
        chosen, _ = roots_first(list(chains))
        labels = dict(zip(chosen, describe_apart(chosen)))
        found: dict[int, str] = {}
        for chain in chosen:
            for ns in _namespaces(members[chain]):
                found.setdefault(ns, labels[chain])
        if set(found) == {self.initial_ns}:
            raise UsageError(f"{describe(chosen[0])} had no PID namespace of its own")
        return found

    def _containers(self, boot_id: str) -> Mapping[int, Chain]:
        chains = self._of_boots.get(boot_id)
        if chains is None:
            chains = self._of_boots[boot_id] = self._read_containers(boot_id)
        return chains

    def _read_containers(self, boot_id: str) -> dict[int, Chain]:
        spans = tuple([it for it in self.spans if it.boot_id == boot_id])
        chains = self._chains.get(spans)
        if chains is None:
            chains = chains_in([it for span in spans for it in span.objects()])
            if len(self._chains) >= _KEPT:
                self._chains.clear()
            self._chains[spans] = chains
        return chains


def _namespaces(members: Iterable[Holder]) -> set[int]:
    """Return the namespace in which all members have a number, the innermost; or each one's own."""
    chains = [it.inums for it in members]
    common = set(chains[0]).intersection(*chains[1:])
    firsts = {it[: it.index(ns) + 1] for it in chains for ns in common if ns in it}
    deepest = max(firsts, key=len)
    inits = {it.inums[-1] for it in members if it.numbers[-1] == 1 and deepest[-1] in it.inums}
    if deepest[-1] in inits or not inits:
        return {deepest[-1]}
    return {it[-1] for it in chains}


def _joined(answers: Iterable[Answer]) -> Answer:
    """Return what several boots have, or times that the clock showed twice, as one answer."""
    holders: dict[tuple[object, ...], Holder] = {}
    gap: Gap | None = None
    for answer in answers:
        for it in answer.holders:
            holders[it.boot_id, it.numbers, it.start_ns] = it
        gap = gap or answer.gap
    return Answer(tuple(holders.values()), gap)


def chains_in(objects: Iterable[Mapping[str, Any]]) -> dict[int, Chain]:
    """Return the containers of each cgroup, by its id; what is malformed is left out."""
    from pidscope.containers.rules import parse_path

    found: dict[int, Chain] = {}
    for it in objects:
        values = it.get(str(it.get("type")))
        for number, value in values.items() if isinstance(values, dict) else ():
            if not (number.isascii() and number.isdigit() and len(number) <= _U64_DIGITS):
                continue
            if it.get("type") == "cgroups" and isinstance(value, str):
                found.setdefault(int(number), parse_path(value))
            elif it.get("type") == "containers":
                found[int(number)] = to_chain(value)
    return found


def to_chain(values: object) -> Chain:
    """Return the containers that a recording's object lists; what is malformed is left out."""
    found = []
    for value in values if isinstance(values, list) else []:
        texts = {k: v for k, v in value.items() if k in _TEXTS} if isinstance(value, dict) else {}
        if "runtime" in texts and all(isinstance(it, str) for it in texts.values()):
            uid = value.get("uid")
            made = Container(**{"id": "", **texts})
            found.append(made._replace(uid=uid if isinstance(uid, int) else None))
    return tuple(found)
