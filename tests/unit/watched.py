"""A session over a kernel that the test moves, and short words for what is done with the two."""

from __future__ import annotations

import itertools
import random
from typing import Callable

from pidscope.events import Event, PidAttached
from pidscope.session.session import Session
from pidscope.table.table import Table
from pidscope.verify.verdicts import Tally, Verdict
from tests.unit.compare import expect_equal
from tests.unit.machine import Acts
from tests.unit.stepped_kernel import Call, SteppedWorld, never


class Watch(Acts):
    """One session, with everything it told its listener."""

    def __init__(self, seed: int = 0, acts: int = 0) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.world = SteppedWorld(self.kernel)
        self.kernel.act_at_random(self.rng, acts)
        self.run(self.kernel.setns(self.kernel.init))
        self.procfs = self.world.procfs
        self.procfs.is_early = bool(seed % 2)
        self.told: list[Event] = []
        self.session = Session(self.world, self._listen)

    def _listen(self, event: Event, session: Session) -> None:
        self.told.append(event)

    @property
    def table(self) -> Table:
        assert self.session.table is not None
        return self.session.table

    def hear(self) -> list[Event]:
        """What the session tells of all that has happened by now."""
        self.told.clear()
        self.session.pump()
        return self.told

    # Faults

    def lose(self, *acts: Call) -> None:
        """Do what leaves no record: each one is lost."""
        self.world.lose = lambda event: True
        self.run(*acts)
        self.world.lose = never

    def unhook(self, *kinds: type[Event]) -> None:
        """The hooks of these events do not run any more."""
        self.world.skip = lambda event: isinstance(event, kinds)

    def meanwhile(self, do: Call, when: Callable[[], bool]) -> list[bool]:
        """Do something the first time that this holds when the session looks; then [True]."""
        done: list[bool] = []

        def between() -> None:
            if not done and when():
                done.append(True)
                do()

        self.world.between = between
        return done

    # Judgements

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

    def uneven(self) -> dict[str, int]:
        """Of each hook whose runs are not all accounted for, how many are not."""
        hooks, at_rest = self.session.hooks()
        assert at_rest
        short = {name: hook["hits"] - hook["accounted"] for name, hook in hooks.items()}
        return {name: runs for name, runs in short.items() if runs}

    def expect_exact(self) -> None:
        self.quiet()
        self.session.pump()
        assert not self.session.suspect
        expect_equal(self.table, self.kernel, partial=True)

    def expect_exact_start(self) -> None:
        self.session.begin()
        assert not self.session.broken
        self.expect_exact()


def nth(look: int) -> Callable[[], bool]:
    """Whether it is asked for the n-th time, from 0 on."""
    looks = itertools.count()
    return lambda: next(looks) == look


def is_birth(event: Event) -> bool:
    return isinstance(event, PidAttached) and event.birth is not None
