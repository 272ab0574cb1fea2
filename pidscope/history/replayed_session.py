"""A session over a recording: it reads all tasks where its recorder did, and nowhere else."""

from __future__ import annotations

from pidscope.errors import NotKnown
from pidscope.history.replayed_world import ReplayedWorld
from pidscope.session.session import Listener, Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.wire.hooks import TRACEPOINT


class _Replayed(Session):
    world: ReplayedWorld

    def repair(self) -> bool:
        """Take the recorder's next reading of all tasks; False: it made none here."""
        return self.world.can_repair and super().repair()


class _ReplayedByTracepoints(TracepointSession):
    world: ReplayedWorld

    def repair(self) -> bool:
        return self.world.can_repair and super().repair()

    def _sweep_is_due(self) -> bool:
        return super()._sweep_is_due() and self.world.has_tasks


def replayed_session(world: ReplayedWorld, listener: Listener | None = None) -> Session:
    """Return a session that counts as the recorder's did before its begin.

    Raises NotKnown: the recording ends before all tasks were read.
    """
    kind = _ReplayedByTracepoints if world.way == TRACEPOINT else _Replayed
    session = kind(world, listener)
    session.stream.lost = world.head.lost
    session.stream.own = {*world.head.own}
    session.stream.accounted.update(world.head.accounted)
    if not world.can_repair:
        raise NotKnown(f"{world.path}: it ends before all tasks had been read")
    return session
