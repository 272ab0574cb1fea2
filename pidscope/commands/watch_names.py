"""The names of containers that begin while a watch goes on, asked for while they run.

Engines and the kubelet know the containers that run, and an engine lists one a moment after its
first program has begun. A thread asks them, so that the stream is drained meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Callable

from pidscope.containers.container import Chain
from pidscope.errors import PidscopeError
from pidscope.query.fork_counts import MAX_ROWS

_PAUSE_S = 0.25  # before each time that they are asked
_MOST_TIMES = 8  # that they are asked for one container
_JOIN_S = 1.0

Ask = Callable[[Mapping[int, Chain]], Mapping[int, Chain]]
"""Gives chains their names, as far as these are known at that moment."""


class ContainerNames:
    """Chains without names, and the same with names once they are known."""

    def __init__(self, ask: Ask, pause_s: float = _PAUSE_S) -> None:
        self._ask = ask
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._named: dict[Chain, Chain] = {}  # each that was wanted, at most `MAX_ROWS`
        self._waiting: dict[Chain, int] = {}  # how often it was asked for
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def want(self, chain: Chain) -> None:
        """Find the names of a chain, if it holds a container that has none."""
        if chain in self._named or len(self._named) >= MAX_ROWS or not _has_nameless(chain):
            return
        self._named[chain] = chain
        with self._lock:
            self._waiting[chain] = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def of(self, chain: Chain) -> Chain:
        """Return a chain with the names that were found."""
        return self._named.get(chain, chain)

    def stop(self) -> None:
        """Ask no more; an answer that is under way is awaited for a while."""
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            with self._lock:
                waiting = list(self._waiting)
                if not waiting:
                    self._thread = None
                    return
            self._take(waiting, self._answers(waiting))

    def _answers(self, waiting: list[Chain]) -> Mapping[int, Chain]:
        try:
            return self._ask(dict(enumerate(waiting)))
        except (PidscopeError, OSError):  # the counts are worth more than their names
            return {}

    def _take(self, waiting: list[Chain], answers: Mapping[int, Chain]) -> None:
        with self._lock:
            for place, chain in enumerate(waiting):
                named = answers.get(place, chain)
                self._waiting[chain] += 1
                if named != chain:
                    self._named[chain] = named
                if named != chain or self._waiting[chain] >= _MOST_TIMES:
                    del self._waiting[chain]


def _has_nameless(chain: Chain) -> bool:
    return any(it.id and it.name is None and it.pod is None for it in chain)
