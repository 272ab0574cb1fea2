"""Verdicts that are checked themselves: none may be given while the table is suspect."""

from __future__ import annotations

from pidscope.events import Event, Repaired
from pidscope.render import events as lines
from pidscope.session.session import Session
from pidscope.session.tracepoint import TracepointSession
from pidscope.session.world import World
from pidscope.verify.verdicts import Judgement, Tally, Verdict
from pidscope.wire.hooks import TRACEPOINT


class Witness(Tally):
    """A session, its tally, and the kernel's own count of losses around every judgement.

    What was lost after the last exact start, and before a reading began, makes the table suspect,
    whether the session has noticed or not.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        kind = TracepointSession if world.way == TRACEPOINT else Session
        self.session = kind(world, self._listen)
        self.session.tells_all = False  # so records take the fast path (session/fast_path.py)
        self.wrongs: list[str] = []
        self._lost_at_first = world.lost
        self._lost_when_exact = self._lost_before = 0

    def judge(self) -> None:
        """Judge one snapshot, if the table is exact or can be made so."""
        if not self.session.starts:
            if not self.session.repair():
                return
            self._exact()
        self.session.check_all(self)
        self.wrongs += map(lines.disagreement, self.take_bugs())

    @property
    def lost(self) -> int:
        """Records that the kernel could not write since this session was made."""
        return self.session.world.lost - self._lost_at_first

    @property
    def finished(self) -> bool:
        """Whether the last snapshot was judged as well as can be."""
        return self.complete or not (self.session.proves or self.session.suspect)

    def add(self, judgement: Judgement) -> None:
        """Count one judgement."""
        suspect = self.session.suspect or self._lost_before != self._lost_when_exact
        if suspect and judgement.verdict is not Verdict.UNJUDGED:
            self.wrongs.append(f"judged while suspect: {judgement}")
        super().add(judgement)
        self._lost_before = self.session.world.lost

    def _listen(self, event: Event, session: Session) -> None:
        if isinstance(event, Repaired):
            self._exact()

    def _exact(self) -> None:
        self._lost_when_exact = self._lost_before = self.session.stream.lost
