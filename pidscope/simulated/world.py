"""The model as a world: what a session needs to watch it, and judge it, as it does a kernel.

One process plays all CPUs. While a file of /proc is read, the scenario goes on between two of its
numbers; and while a step of the scenario is in the middle of its system call, between two of its
writes, the reading may go on in turn. So files are torn as a kernel's are, and what a reader sees
may have its record already but not its change, or be half an exchange. A seed
decides which side goes on: the same seed gives the same run.

Why the fence has nothing to wait for: a system call of the model begins and ends inside one call
of `step` or one reading of /proc. The session takes the ring's position outside of both, so by
then every record it can find in the ring has its change behind it, and no task holds the tasklist
lock. (What may happen *during* a fence is another matter: others go on there too.)
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Callable, Generic

from pidscope.events import Event, TaskSeen
from pidscope.model.kernel import Kernel
from pidscope.model.proc import NS_PER_TICK
from pidscope.simulated.hooks import runs
from pidscope.simulated.iterator import iterate
from pidscope.simulated.procfs import Reading, SimulatedProcFs, T
from pidscope.simulated.ring import RING_BYTES, SimulatedRing
from pidscope.wire.encode import encode
from pidscope.wire.hooks import STEPS, hooks_of

_STEP_RATE = 1 / 32  # how likely it is that a step comes between two things that a reader looks at
_READ_RATE = 1 / 2  # how likely a reader gets on to the next one between two writes of a call


class SimulatedWorld:
    """A `pidscope.session.world.World` of the model.

    Args:
        kernel: what is watched, from now on.
        play: makes the next step of the scenario; False if there is none.
        seed: decides which side goes on when.
        ring_bytes: how much the ring can hold.
    """

    way = "simulated"
    missing = ()
    steps = True  # intermediate events are reported; may be changed
    ns_per_tick = NS_PER_TICK
    start_offset_ns = 0
    ready_fd = None

    def __init__(
        self,
        kernel: Kernel,
        play: Callable[[], bool],
        seed: int = 0,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.kernel = kernel
        self.root_ns = kernel.init_pid_ns.inum
        self.ring = SimulatedRing(ring_bytes)
        self.procfs = SimulatedProcFs(kernel, self._finish)
        self.lost = 0
        self.busy = False  # the scenario goes on while /proc is read
        self.ended = False  # the scenario has
        self._play = play
        self._random = random.Random(seed)
        self._hits: Counter[str] = Counter()
        self._reader: _Reader[Any] | None = None
        kernel.listener = self._hooked
        kernel.elsewhere = self._elsewhere

    def tasks(self) -> list[TaskSeen]:
        """Return every task from the model's task iterator."""
        return self._finish(iterate(self.kernel))

    def task_records(self) -> bytes | None:
        """Return the same as the task iterator's program writes it."""
        tasks = self.tasks()
        return None if tasks is None else b"".join(map(encode, tasks))

    def sees(self, name: str) -> bool:
        """Whether there is a hook of this name."""
        return any(hook.name == name for hook in hooks_of(self.way, self.steps))

    @property
    def skipped(self) -> dict[str, int]:
        """No run is ever skipped."""
        return {}

    def hits(self) -> dict[str, int]:
        """How many records each hook had to write, or calls that they stand for."""
        return {hook.name: self._hits[hook.name] for hook in hooks_of(self.way, self.steps)}

    def fence(self) -> None:
        """Return when each change whose record was written before has been made: at once."""
        self._others_go_on()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME of the model."""
        return self.kernel.now_ns

    def boot_s(self) -> float:
        """Always the same."""
        return self.procfs.boot_time()

    def rest(self) -> None:
        """Make no steps any more while /proc is read."""
        self.busy = False

    def step(self) -> bool:
        """Let the scenario make one step; False at its end. Raises ScenarioError."""
        self.ended = self.ended or not self._play()
        return not self.ended

    # Two sides share the kernel: the scenario, and the reader of /proc

    def _hooked(self, event: Event) -> None:
        """A hook runs, before the change that it reports."""
        if not self.steps and isinstance(event, STEPS):
            return
        hook, times = runs(event)
        self._hits[hook] += times
        if not self.ring.write(encode(event, self.lost)):
            self.lost += 1

    def _finish(self, reading: Reading[T]) -> T:
        self._reader = reader = _Reader(reading)
        try:
            while not reader.done:
                self._others_go_on()
                if not reader.done:
                    reader.go_on()
        finally:
            self._reader = None
        return reader.result

    def _others_go_on(self) -> None:
        while self.busy and self._random.random() < _STEP_RATE and self.step():
            pass

    def _elsewhere(self) -> None:
        """A system call is between two writes: let the reader look at the state now."""
        reader = self._reader
        while reader is not None and not reader.done and self._random.random() < _READ_RATE:
            reader.go_on()


class _Reader(Generic[T]):
    """A reading on its way, and what it gave."""

    result: T

    def __init__(self, reading: Reading[T]) -> None:
        self._reading = reading
        self.done = False

    def go_on(self) -> None:
        try:
            next(self._reading)
        except StopIteration as end:
            self.result, self.done = end.value, True
