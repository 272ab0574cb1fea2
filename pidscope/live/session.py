"""A session over this host's kernel: its programs and its /proc as one world, and what it needs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from pidscope.errors import HostError
from pidscope.live.fence import fence
from pidscope.live.program import RING_BYTES, Program, expect_root, load_program
from pidscope.procfs import ProcFs
from pidscope.session import Listener, Session


class LiveWorld:
    """A `pidscope.session.World`: attached programs, and the /proc of the same kernel.

    Raises:
        HostError: this is not the /proc of the initial PID namespace.
    """

    def __init__(self, program: Program, procfs: ProcFs) -> None:
        self._program = program
        self.ring = program.ring
        self.procfs = procfs
        self.root_ns = _initial_ns(procfs)
        self.ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    @property
    def way(self) -> str:
        """``fentry`` or ``kprobe``."""
        return self._program.way

    @property
    def missing(self) -> list[str]:
        """What the watch cannot see, for want of a hook that only annotates."""
        return [
            f"{hook.without} ({hook.name}: {why})" for hook, why in self._program.missing.items()
        ]

    @property
    def lost(self) -> int:
        """Records that could not be written so far, as the map tells."""
        return self._program.lost

    @property
    def skipped(self) -> dict[str, int]:
        """Runs of each hook that the kernel left out, as far as it tells: since 5.12."""
        return self._program.skipped()

    def sees(self, name: str) -> bool:
        """Whether the hook of this name is attached."""
        return self._program.sees(name)

    def hits(self) -> dict[str, int]:
        """How often each hook ran since it was attached."""
        return self._program.hits()

    def fence(self) -> None:
        """Wait for every writer of the tasklist lock that came before."""
        fence()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _initial_ns(procfs: ProcFs) -> int:
    mount = procfs.mount()
    if mount.ns is None or not mount.initial:
        raise HostError(
            "live mode needs the initial PID namespace; this process is in a nested one",
            "run it on the host, or in a container that shares the host's (--pid=host)",
        )
    if not procfs.own_time_is_initial():
        raise HostError(
            "this process is in a time namespace, which shifts the start times in /proc",
            "run it in the initial one (nsenter -T -t 1 pidscope …)",
        )
    return mount.ns


@contextlib.contextmanager
def live_session(
    procfs: ProcFs, listener: Listener | None = None, ring_bytes: int = RING_BYTES
) -> Iterator[Session]:
    """Load the programs, start exactly, and take everything out of the kernel at the end.

    Raises:
        HostError: this host cannot do it, with the reason.
    """
    expect_root()
    _initial_ns(procfs)
    program = load_program(ring_bytes)
    try:
        session = Session(LiveWorld(program, procfs), listener)
        session.begin()
        yield session
    finally:
        program.close()
