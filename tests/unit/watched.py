"""A session over a fake kernel, and short words for what the tests do with the two."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pidscope.live.session as live_module
from pidscope.events import Event
from pidscope.live.session import LiveWorld
from pidscope.session.session import Session
from pidscope.verify.verdicts import Tally, Verdict
from tests.unit.compare import expect_equal
from tests.unit.fake_kernel import FakeKernel, FakeProcFs, FakeProgram
from tests.unit.reference import Act, Thread


class Watch:
    """One session, with everything it told its listener."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int = 0, acts: int = 0) -> None:
        self.rng = random.Random(seed)
        self.kernel = FakeKernel()
        self.kernel.early_listing = bool(seed % 2)
        for _ in range(acts):
            act = self.kernel.random_act(self.rng)
            if act is not None:
                self.kernel.run(act)
        self.program = FakeProgram(self.kernel)
        self.procfs = FakeProcFs(self.kernel)
        self.told: list[Event] = []
        fence: Any = lambda: self.kernel.fence()  # noqa: E731 (looked up late: a test may change it)
        monkeypatch.setattr(live_module, "fence", fence)
        world = LiveWorld(self.program, self.procfs)  # type: ignore[arg-type]
        self.session = Session(world, self._listen)

    def _listen(self, event: Event, session: Session) -> None:
        self.told.append(event)

    def run(self, *acts: Act) -> None:
        for act in acts:
            self.kernel.run(act)

    def fork(self, by: Thread, thread: bool = False) -> Thread:
        known = set(self.kernel.threads())
        self.run(self.kernel.fork(by, thread))
        (task,) = set(self.kernel.threads()) - known
        return task

    def end(self, task: Thread) -> None:
        self.run(self.kernel.exit(task), self.kernel.release(task))

    def quiet(self) -> None:
        self.kernel.between = lambda: None
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
