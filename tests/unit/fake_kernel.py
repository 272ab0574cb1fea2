"""A kernel for a session: the reference's acts, with a ring, programs and a /proc around them.

Whenever the session looks (a position, a listing, one pointer of one file) ``between`` is called,
so that others can act there. Faults are planted with ``skip`` (a hook that does not run) and
``lose`` (a record that cannot be written).
"""

from __future__ import annotations

import errno
import random
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Callable, TypeVar

from pidscope.events import Event, TaskSeen
from pidscope.live.program import Refused
from pidscope.simulated.hooks import runs
from pidscope.snapshot import Mount, Status, TaskReading
from pidscope.wire.encode import encode
from pidscope.wire.hooks import FUNCTION_HOOKS, Hook
from tests.unit import readers
from tests.unit.reference import ROOT, Kernel

T = TypeVar("T")

# What the reference does not do, or does not tell of each time: nobody may wait for it.
_UNTOLD = ("free_pid", "task_rename", "zap_pid_ns_processes")


def never(event: Event) -> bool:
    return False


class FakeKernel(Kernel):
    """A reference kernel that is being watched."""

    def __init__(self, pid_max: int = 40) -> None:
        self.written: list[tuple[Event, int]] = []  # what lies in the ring
        self.lost = 0
        self.hits: Counter[str] = Counter()
        self.skip = self.lose = never
        self.between: Callable[[], None] = lambda: None
        super().__init__(pid_max)

    def _tell(self, event: Event) -> None:
        super()._tell(event)
        if self.skip(event):
            return
        hook, times = runs(event)
        self.hits[hook] += times
        if self.lose(event):
            self.lost += 1
        else:
            self.written.append((event, self.lost))

    def fence(self) -> None:
        """Whoever has the lock gives it back; then others may go on."""
        self.finish()
        self.between()

    def busy(self, rng: random.Random, acts: int, rate: float = 0.2) -> None:
        """From now on others act whenever the session looks, until they have done so many."""
        left = [acts * 4]

        def between() -> None:
            while left[0] and rng.random() < rate:
                left[0] -= 1
                readers.meanwhile(self, rng, 0.7)

        self.between = between

    def drive(self, reading: readers.Reading[T]) -> T:
        while True:
            self.between()
            try:
                next(reading)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]


class FakeRing:
    """Positions are counts of records."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.consumed = 0

    @property
    def position(self) -> int:
        position = len(self._kernel.written)
        self._kernel.between()
        return position

    def drain(self, until: int) -> Iterator[memoryview]:
        while self.consumed < until:
            record = self._record(self.consumed)
            self.consumed += 1
            yield memoryview(record)

    def stretch(self, until: int) -> memoryview:
        records = [self._record(place) for place in range(self.consumed, until)]
        return memoryview(b"".join(struct.pack("=II", len(r), 0) + r for r in records))

    def advance(self, size: int) -> None:
        while size > 0:
            size -= 8 + len(self._record(self.consumed))
            self.consumed += 1

    def _record(self, place: int) -> bytes:
        event, lost = self._kernel.written[place]
        return encode(event, lost)


class FakeProgram:
    """Stands in for `pidscope.live.program.Program`."""

    hooks = FUNCTION_HOOKS
    blind_to = ""  # a hook that is not attached
    steps = True
    iterates = False  # there is a task iterator
    fails = False  # and it does

    def __init__(self, kernel: FakeKernel, way: str = "fentry") -> None:
        self.way = way
        self.silent: dict[Hook, str] = {}
        self._kernel = kernel
        self.ring = FakeRing(kernel)
        self.hidden: set[int] = set()  # processes that the iterator leaves out
        self.closed = False
        self.left_out: Counter[str] = Counter()  # runs of hooks

    @property
    def lost(self) -> int:
        return self._kernel.lost

    @property
    def missing(self) -> dict[Hook, str]:
        blind = {hook: "not here" for hook in FUNCTION_HOOKS if hook.name == self.blind_to}
        return {**blind, **self.silent}

    def miss(self, hook: Hook, why: str) -> None:
        if hook.makes_state:
            raise Refused(f"{hook.name}: {why}")
        self.silent[hook] = why

    def sees(self, name: str) -> bool:
        return name not in (self.blind_to, *_UNTOLD)

    def tasks(self) -> list[TaskSeen] | None:
        if self.fails:
            raise OSError(errno.EIO, "no iterator today")
        if not self.iterates:
            return None
        rows = self._kernel.drive(readers.seen(self._kernel))
        return [row for row in rows if row.birth.tgid not in self.hidden]

    def skipped(self) -> dict[str, int]:
        return dict(self.left_out)

    def hits(self) -> dict[str, int]:
        return {hook.name: self._kernel.hits[hook.name] for hook in FUNCTION_HOOKS}

    def close(self) -> None:
        self.closed = True


class FakeProcFs:
    """Stands in for `pidscope.host.proc.ProcFs`; ``read_numbers`` keeps who was read."""

    root = "/nonexistent"  # where other files would be

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.read_numbers: list[int] = []
        self.listed: list[int] = []
        self.ns = ROOT

    def forks(self) -> int:
        return self._kernel.forks

    def mount(self) -> Mount:
        return Mount(self.ns, self.ns == ROOT)

    def boottime_offset_ns(self) -> int:
        return 0

    def number_of(self, pid: int) -> int:
        return pid

    def numbers(self) -> list[int]:
        return self._kernel.drive(readers.numbers(self._kernel))

    def threads(self, number: int) -> list[int]:
        self.listed.append(number)
        return self._kernel.drive(readers.threads(self._kernel, number))

    def read(self, number: int) -> TaskReading | None:
        self.read_numbers.append(number)
        return self._kernel.drive(readers.task_reading(self._kernel, number))

    def read_status(self, number: int) -> Status | None:
        return self._kernel.drive(readers.status(self._kernel, number))

    def start_ticks(self, number: int) -> int | None:
        return self._kernel.drive(readers.start_ticks(self._kernel, number))

    def pid_ns(self, number: int) -> int | None:
        return self._kernel.drive(readers.pid_ns(self._kernel, number))

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        return self._kernel.drive(readers.ns_chain(self._kernel, number))
