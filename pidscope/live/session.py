"""A session over this host's kernel: its programs and its /proc as one world, and what it needs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from pidscope.errors import HostError
from pidscope.events import TaskSeen
from pidscope.host.proc import ProcFs
from pidscope.host.time_namespace import offsets_of_reader
from pidscope.live.fence import fence
from pidscope.live.kept_programs import kept_programs
from pidscope.live.program import RING_BYTES, Program, expect_root
from pidscope.live.refused import REFUSED_HINT, ModeRefused, Refused
from pidscope.live.selftest import silent_hooks
from pidscope.live.supply import Supply
from pidscope.session.session import Listener, Session
from pidscope.session.stream import Stream
from pidscope.wire.hooks import AUTO, TRACEPOINT, UNSEEN_BY_TRACEPOINTS, WAYS, Hook

_Opened = TypeVar("_Opened")


class LiveWorld:
    """A `pidscope.session.world.World`: attached programs, and the /proc of the same kernel.

    Raises:
        Refused: it is by tracepoints, from inside a container.
        HostError: this is not the /proc of the initial PID namespace; or what this process's time
            namespace adds to start times cannot be known.
    """

    ended = False

    def __init__(self, program: Program, procfs: ProcFs) -> None:
        self._program = program
        self.ring = program.ring
        self.procfs = procfs
        self.root_ns = initial_ns(procfs)
        if program.way == TRACEPOINT and procfs.mount().inside is not None:
            raise Refused("the task iterator shows only the tasks of this process's PID namespace")
        self.ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        self._clock_offset_ns, self.start_offset_ns = offsets_of_reader(procfs)

    @property
    def way(self) -> str:
        """``fentry``, ``kprobe`` or ``tracepoint``."""
        return self._program.way

    @property
    def steps(self) -> bool:
        """Whether the programs report the intermediate events."""
        return self._program.steps

    @property
    def missing(self) -> list[str]:
        """What the watch cannot observe, since a hook is missing."""
        return unobserved(self.way, self._program.missing)

    @property
    def ready_fd(self) -> int | None:
        """The ring's map, which poll(2) waits for."""
        return self._program.ring_fd

    @property
    def lost(self) -> int:
        """Records that could not be written so far, by the map."""
        return self._program.lost

    @property
    def skipped(self) -> dict[str, int]:
        """Runs of each hook that the kernel skipped, as far as it counts them: since 5.12."""
        return self._program.skipped()

    def tasks(self) -> list[TaskSeen] | None:
        """Return every task from the task iterator; None: there is none; raises OSError."""
        return self._program.tasks()

    def task_records(self) -> bytes | None:
        """Return the same as the iterator writes it; None: there is none; raises OSError."""
        return self._program.task_records()

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
        """CLOCK_BOOTTIME of the initial time namespace, as the programs have it."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._clock_offset_ns

    def boot_s(self) -> float:
        """When this host booted, by its clocks."""
        return time.time() - self.now_ns() / 1e9

    def rest(self) -> None:
        """A host does not."""


def unobserved(way: str, missing: Mapping[Hook, str]) -> list[str]:
    """Return in words what a probe mode cannot observe, given why its hooks are missing."""
    unseen = UNSEEN_BY_TRACEPOINTS if way == TRACEPOINT else ()
    return [*unseen, *(f"{hook.without} ({hook.name}: {why})" for hook, why in missing.items())]


def initial_ns(procfs: ProcFs) -> int:
    """Return the inum of the initial PID namespace; raise HostError if this /proc is not its."""
    mount = procfs.mount()
    if mount.ns is None or not mount.initial:
        raise HostError(
            "live mode needs the initial PID namespace's /proc; this one is a nested one's",
            "run it on the host, or in a container that has the host's PID namespace (--pid=host), "
            "or name the host's /proc where it is mounted (--proc /host/proc)",
        )
    return mount.ns


def _kind_of(way: str) -> type[Session]:
    if way != TRACEPOINT:
        return Session
    from pidscope.session.tracepoint import TracepointSession  # hardly any host needs it

    return TracepointSession


@contextlib.contextmanager
def live_session(
    procfs: ProcFs,
    listener: Listener | None = None,
    probes: str = AUTO,
    ring_bytes: int = RING_BYTES,
    steps: bool = True,
    supply: Supply | None = None,
    phase: Callable[[str], None] = lambda _: None,
    before: Callable[[Session], None] = lambda _: None,
) -> Iterator[Session]:
    """Load the programs, start exactly, and take everything out of the kernel at the end.

    ``phase`` gets what it does next, ``before`` the session before it reads all tasks.

    Raises:
        HostError: this host cannot do it, with the reason.
    """
    expect_root()
    initial_ns(procfs)
    supply = supply or Supply(kept_programs())

    def open_in(way: str) -> tuple[Program, Session]:
        phase(f"loading the programs ({way})")
        program = Program(way, ring_bytes, steps, supply)
        phase(f"testing the hooks ({way})")
        return _open(program, procfs, listener)

    program, session = open_in_mode(open_in, probes, supply)
    try:
        supply.forget_btf()
        phase("reading all tasks")
        before(session)
        session.begin()
        yield session
    finally:
        program.close()


def open_in_mode(open_in: Callable[[str], _Opened], probes: str, supply: Supply) -> _Opened:
    """Return what ``open_in`` gives for the probe mode that is asked for; raises HostError."""
    return open_best(open_in, supply) if probes == AUTO else _open_one(open_in, probes)


def open_best(open_in: Callable[[str], _Opened], supply: Supply) -> _Opened:
    """Open in the mode that worked last, or else in the first of all that works, and remember it.

    A mode is remembered only if the kernel refuses the better ones altogether: what failed because
    of a moment's load may work the next time.
    """
    likely = None if supply.kept is None else supply.kept.mode()
    if likely is not None and supply.kept is not None:
        try:
            return open_in(likely)
        except Refused:
            supply.kept.keep_mode(None)
    refusals: dict[str, Refused] = {}
    for way in WAYS:
        try:
            opened = open_in(way)
        except Refused as refusal:
            refusals[way] = refusal
            continue
        if supply.kept is not None and all(map(_is_lasting, refusals.values())):
            supply.kept.keep_mode(way)
        return opened
    raise _refused(refusals)


def _open_one(open_in: Callable[[str], _Opened], way: str) -> _Opened:
    try:
        return open_in(way)
    except Refused as refusal:
        raise _refused({way: refusal}) from refusal


def _is_lasting(refusal: Refused) -> bool:
    return isinstance(refusal, ModeRefused)


def _refused(refusals: Mapping[str, Refused]) -> HostError:
    reasons = "; ".join(f"{way}: {refusal}" for way, refusal in refusals.items())
    return HostError(f"this kernel refuses {reasons}", REFUSED_HINT)


def _open(program: Program, procfs: ProcFs, listener: Listener | None) -> tuple[Program, Session]:
    """Check that the programs report, or take them out of the kernel; raises Refused, HostError."""
    try:
        session = _kind_of(program.way)(LiveWorld(program, procfs), listener)
        expect_hooks_tell(program, session.stream)
    except BaseException:
        program.close()
        raise
    return program, session


def expect_hooks_tell(program: Program, stream: Stream) -> None:
    """The self-test: name the hooks that stay silent; raise Refused if one of them makes state."""
    attached = [hook for hook in program.hooks if hook not in program.missing]
    for hook in silent_hooks(stream, attached, stream.reader):
        program.miss(hook, "attached, but told nothing when it was tried")
