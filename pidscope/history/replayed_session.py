"""A session over a recording: it reads all tasks where its recorder did, and nowhere else.

Where a part is missing, it goes on from the next table that the recorder kept.
"""

from __future__ import annotations

from pidscope.errors import NotKnown
from pidscope.history.replayed_world import ReplayedWorld
from pidscope.session.session import Listener, Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.wire.hooks import TRACEPOINT


class _Replayed(Session):
    world: ReplayedWorld

    def repair(self) -> bool:
        """Take what the recorder read or had; False: nothing was kept here."""
        if self.world.can_repair:
            return super().repair()
        rows = self.world.take_table()
        if rows is not None:
            self._doubt()
            self._restart(rows.snapshot)
        if not self.suspect:
            self._exact()
        return not self.suspect

    def _restart(self, snapshot: Snapshot) -> None:
        self.suspect = not self._start(snapshot, [])


class _ReplayedByHooks(_Replayed):
    def _forks_at_rest(self) -> tuple[int, int] | None:
        try:
            return super()._forks_at_rest()
        except NotKnown:  # births since then cannot be compared
            return None


class _ReplayedByTracepoints(_Replayed, TracepointSession):
    _is_restarting = False

    def _restart(self, snapshot: Snapshot) -> None:
        self._is_restarting = True
        self._build([*snapshot.seen], [])
        self._is_restarting = False

    def _read_hidden(self, shown: set[int]) -> list[TaskReading]:
        return [] if self._is_restarting else super()._read_hidden(shown)

    def _sweep_is_due(self) -> bool:
        return super()._sweep_is_due() and self.world.has_tasks


def replayed_session(world: ReplayedWorld, listener: Listener | None = None) -> Session:
    """Return a session that counts as the recorder's did before its begin.

    Raises NotKnown: the recording ends before all tasks were read.
    """
    kind = _ReplayedByTracepoints if world.way == TRACEPOINT else _ReplayedByHooks
    session = kind(world, listener)
    session.stream.lost = world.head.lost
    session.stream.own = {*world.head.own}
    session.stream.accounted.update(world.head.accounted)
    if not world.can_repair:
        raise NotKnown(f"{world.path}: it ends before all tasks had been read")
    return session
