"""What ended in a simulated world while its scenario was played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pidscope.query.ended import Ended, Record
from pidscope.session.session import Session

if TYPE_CHECKING:
    from pidscope.events import Event
    from pidscope.simulated.world import SimulatedWorld


def play(world: SimulatedWorld) -> Record:
    """Play the scenario to its end and record it; raise ScenarioError."""
    ended = Ended()

    def listener(event: Event, session: Session) -> None:
        if session.table is not None:
            ended.add(event, session.table)

    session = Session(world, listener)
    session.begin()
    while world.step():
        session.pump()
    session.pump()
    assert session.table is not None
    return Record(session.table, ended)
