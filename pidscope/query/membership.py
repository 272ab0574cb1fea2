"""The processes directly in each container and service, and whose namespace that makes. Pure.

A process in a container inside another is not directly in the outer one; in a service inside a
container it is. The containers around a container belong to its identity, as a name may come again
inside, and so do the services around it, of which one may be a user's manager.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Callable

from pidscope.containers.container import Chain
from pidscope.query.witnesses import Member, Question, Verdict, judge

_NONE: Mapping[Chain, int] = MappingProxyType({})
_WITNESSES = {
    "engine": "its first process {} by its engine",
    "number 1": "number 1 is {}",
    "oldest": "its oldest process {}",
}


class Membership:
    """The containers on a host, each with its processes.

    Args:
        processes: that are there, less threads.
        chains: the containers around each, by its number.
        outermost: inum of the mount's namespace; None: it may not be read.
        parents: inum of the namespace around each, by inum.
        started: the start of a process, in any unit, None if it has gone.
        said: the first process of a container by the word of root's engine.
    """

    def __init__(
        self,
        processes: Iterable[Member],
        chains: Mapping[int, Chain],
        *,
        outermost: int | None,
        parents: Mapping[int, int],
        started: Callable[[int], int | None],
        said: Mapping[Chain, int] = _NONE,
    ) -> None:
        self.of: dict[Chain, list[Member]] = {}  # empty: all are in containers inside it
        self._outermost, self._parents, self._started = outermost, parents, started
        self._said = said
        self._processes = {it.number: it for it in processes}
        for it in self._processes.values():
            self._add(it, chains.get(it.number, ()))

    def _add(self, process: Member, chain: Chain) -> None:
        for length in range(1, len(chain) + 1):
            mine = self.of.setdefault(chain[:length], [])
            if all(inner.is_service for inner in chain[length:]):
                mine.append(process)

    def question(self, chain: Chain) -> Question:
        """Return what is known of the processes of a container."""
        outer = [at for at in range(1, len(chain)) if not chain[at - 1].is_service]
        around = self.of[chain[: outer[-1]]] if outer else ()
        return Question(
            members=self.of[chain],
            outermost=self._outermost,
            parents=self._parents,
            started=self._started,
            runtime=chain[-1].runtime,
            is_service=chain[-1].is_service,
            around=frozenset(it.ns for it in around if it.ns is not None),
            hollow=bool(outer) and not around,
            said=self._processes.get(self._said.get(chain, 0)),
            parent_of=self._parent,
        )

    def verdict(self, chain: Chain) -> Verdict:
        """Return which namespace is a container's."""
        return judge(self.question(chain))

    def testimonies(self, chain: Chain, verdict: Verdict) -> dict[int, str]:
        """Return in words what speaks for each namespace that its processes are in."""
        members = self.of[chain]
        counts = Counter(it.ns for it in members if it.ns is not None)
        words = {ns: [f"{count} of {len(members)} processes"] for ns, count in counts.items()}
        for it in verdict.witnesses:
            if it.number:
                words.setdefault(it.ns, []).append(_WITNESSES[it.kind].format(it.number))
        return {ns: ", ".join(said) for ns, said in words.items()}

    def _parent(self, number: int) -> int:
        process = self._processes.get(number)
        return 0 if process is None else process.parent


def container_of(chain: Chain) -> Chain:
    """Return the chain up to the innermost container; empty: it has none but services."""
    for length in range(len(chain), 0, -1):
        if not chain[length - 1].is_service:
            return chain[:length]
    return ()


def spaces(members: Sequence[Member]) -> list[int]:
    """Return the namespaces of processes, each once, as far as they may be read."""
    return list(dict.fromkeys(it.ns for it in members if it.ns is not None))
