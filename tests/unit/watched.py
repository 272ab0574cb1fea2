"""A session over a kernel that the test moves, and short words for what is done with the two."""

from __future__ import annotations

import random

from pidscope.events import Event
from pidscope.model.sched import TaskStruct
from pidscope.session.session import Session
from pidscope.verify.verdicts import Tally, Verdict
from tests.unit.compare import expect_equal
from tests.unit.stepped_kernel import Call, SteppedKernel, SteppedWorld


class Watch:
    """One session, with everything it told its listener."""

    def __init__(self, seed: int = 0, acts: int = 0) -> None:
        self.rng = random.Random(seed)
        self.kernel = SteppedKernel()
        self.world = SteppedWorld(self.kernel)
        self.kernel.act_at_random(self.rng, acts)
        self.kernel.run(self.kernel.setns(self.kernel.init))
        self.procfs = self.world.procfs
        self.procfs.is_early = bool(seed % 2)
        self.told: list[Event] = []
        self.session = Session(self.world, self._listen)

    def _listen(self, event: Event, session: Session) -> None:
        self.told.append(event)

    def run(self, *acts: Call) -> None:
        self.kernel.run(*acts)

    def fork(self, by: TaskStruct, thread: bool = False) -> TaskStruct:
        return self.kernel.born(by, thread)

    def end(self, task: TaskStruct) -> None:
        self.kernel.end(task)

    def quiet(self) -> None:
        self.world.between = lambda: None
        self.kernel.finish()

    def check_all(self) -> Tally:
        tally = Tally()
        self.session.check_all(tally)
        return tally

    def verdicts(self) -> set[Verdict]:
        """The bugs that a quiet snapshot shows."""
        self.quiet()
        return {bug.verdict for bug in self.check_all().bugs}

    def expect_exact(self) -> None:
        self.quiet()
        self.session.pump()
        assert self.session.table is not None and not self.session.suspect
        expect_equal(self.session.table, self.kernel, partial=True)
