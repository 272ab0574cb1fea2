"""What a session needs of a world: its hooks' records, its /proc, a fence, and a clock.

There are two: this host's kernel (`pidscope.live`) and the model (`pidscope.simulated`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pidscope.events import TaskSeen
from pidscope.snapshot import ProcFiles


class RecordRing(Protocol):
    """Where the hooks write their records, in the order in which they ran."""

    @property
    def position(self) -> int:
        """The end of the stream: every record written so far lies before it."""

    @property
    def consumed(self) -> int:
        """The position of the next record to be yielded."""

    def drain(self, until: int) -> Iterator[bytes | memoryview]:
        """Yield each record that begins before ``until`` and was not yielded yet."""

    def stretch(self, until: int) -> memoryview:
        """The same as they lie in the ring, each behind its length and 4 bytes.

        A record with another length there than its type has is being written, or left to `drain`.
        `pidscope.session.fast_path` reads this.
        """

    def advance(self, size: int) -> None:
        """Give back so many bytes of what comes next."""


class World(Protocol):
    """What is watched: a kernel's hooks, and its /proc."""

    @property
    def ring(self) -> RecordRing:
        """The stream of records."""

    @property
    def ready_fd(self) -> int | None:
        """A descriptor that is readable while the ring has a record; None: there is none."""

    @property
    def procfs(self) -> ProcFiles:
        """A /proc of the initial PID namespace."""

    @property
    def root_ns(self) -> int:
        """Inum of the initial PID namespace."""

    @property
    def ns_per_tick(self) -> int:
        """1e9 / USER_HZ, the unit of the start times in /proc."""

    @property
    def start_offset_ns(self) -> int:
        """What /proc adds to each start time for this reader (`pidscope.host.ticks`)."""

    @property
    def way(self) -> str:
        """How the hooks are attached: ``fentry``, ``kprobe``, ``tracepoint`` or ``simulated``."""

    @property
    def steps(self) -> bool:
        """Whether the intermediate events are reported too (`pidscope.wire.hooks.Hook`)."""

    @property
    def missing(self) -> Sequence[str]:
        """What the watch cannot report, because a hook is missing."""

    @property
    def lost(self) -> int:
        """Records that could not be written so far."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Runs of each hook that the kernel skipped, if it counts them; they are no hits."""

    def tasks(self) -> Sequence[TaskSeen] | None:
        """Every task, threads too, read without a lock like /proc; None: only /proc can be read."""

    def task_records(self) -> bytes | None:
        """The same, not decoded: of each task a record, one behind the other."""

    def sees(self, name: str) -> bool:
        """Whether the hook of this name is attached."""

    def hits(self) -> Mapping[str, int]:
        """How many records each hook had to write so far, or calls that they stand for."""

    def fence(self) -> None:
        """Return once every change whose record was written before has become visible."""

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME of the initial time namespace."""

    def boot_s(self) -> float:
        """When the world booted, in seconds since the epoch."""

    @property
    def ended(self) -> bool:
        """Whether nothing can happen any more: a scenario has been played; a host never ends."""

    def rest(self) -> None:
        """Stop what happens while /proc is read, where that is possible."""
