"""A watch whose world is recorded, and the same watch over what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pidscope.commands.verification import judge_finally, summary
from pidscope.events import Event
from pidscope.history.recorded_world import Log, RecordedWorld
from pidscope.history.replayed_session import replayed_session
from pidscope.history.replayed_world import ReplayedWorld, parse_head
from pidscope.session.session import Session
from pidscope.verify.verdicts import Tally
from tests.unit.compare import of_table


class Watched:
    """What a watch came to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tables: list[dict[str, Any]] = []  # after each step
        self.tally = Tally()
        self.summary: dict[str, Any] = {}
        self.broken: list[str] = []

    def listen(self, event: Event, session: Session) -> None:
        self.events.append(event)

    def step(self, session: Session) -> None:
        """What `watch` does each time."""
        if session.suspect:
            session.repair()
        session.pump()
        assert session.table is not None
        self.tables.append(of_table(session.table))

    def finish(self, session: Session) -> None:
        """What it does at its end, and `verify`."""
        self.step(session)
        session.look_for_skipped()

    def judge(self, session: Session) -> None:
        judge_finally(session, self.tally, lambda: None)
        self.summary = summary(session, self.tally)
        self.broken = session.broken

    def found(self) -> tuple[Any, ...]:
        return self.events, self.tables, self.tally, self.summary, self.broken


def record(
    session: Session, step: Any, all_events: bool = True, keep_every: int = 7
) -> tuple[Watched, dict[str, Any], list[bytes]]:
    """Watch step by step, as long as ``step`` returns true; return also head and pieces."""
    watched, log = Watched(), Log()
    session._listener, session.tells_all = watched.listen, all_events
    session.watch(lambda world: RecordedWorld(world, log))
    world = session.world
    assert isinstance(world, RecordedWorld)
    head = {**world.head(session.stream), "way": world.way, "title": "x"}
    pieces = []
    session.begin()
    session.tells_all = all_events
    while True:
        watched.step(session)
        goes_on = step()
        pieces.append(log.take().content)
        world.step()
        if len(pieces) % keep_every == 0 and not session.suspect and session.table is not None:
            world.keep_table(session.table)
        if not goes_on:
            break
    watched.finish(session)
    world.judge()
    watched.judge(session)
    world.end()
    return watched, head, [*pieces, log.take().content]


def replay(head: dict[str, Any], pieces: list[Any], all_events: bool = True) -> Watched:
    """The same watch over what was recorded."""
    watched = Watched()

    def all_pieces() -> Iterator[Any]:
        yield from pieces

    world = ReplayedWorld("one", parse_head(head), all_pieces())
    session = replayed_session(world, watched.listen)
    session.tells_all = all_events
    session.begin()
    world.look_for_end()
    while not world.ended:
        watched.step(session)
        world.step()
    watched.finish(session)
    world.expect_judged()
    watched.judge(session)
    return watched
