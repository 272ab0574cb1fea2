"""What was recorded of a world while it was played: who ended in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pidscope.query.ended import Ended, Life
from pidscope.session.session import Session

if TYPE_CHECKING:
    from pidscope.events import Event
    from pidscope.simulated.world import SimulatedWorld


class Record(NamedTuple):
    """A session that has followed a world from its boot on, and the lives that ended."""

    session: Session
    ended: Ended

    def lives(self, ns: int, number: int) -> tuple[Life, ...]:
        """Those that had ``number`` in the namespace with this inum, the latest first."""
        assert self.session.table is not None
        namespace = self.session.table.namespaces.get(ns)
        return () if namespace is None else tuple(self.ended.of(namespace, number))


def play(world: SimulatedWorld) -> Record:
    """Play the scenario to its end and record it; raise ScenarioError."""
    ended = Ended()

    def told(event: Event, session: Session) -> None:
        if session.table is not None:
            ended.add(event, session.table)

    session = Session(world, told)
    session.begin()
    while world.step():
        session.pump()
    session.pump()
    return Record(session, ended)
