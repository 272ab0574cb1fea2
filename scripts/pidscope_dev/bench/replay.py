"""A recorded fork storm, and what pidscope makes of it: the only file that knows the drain's API.

The records lie as in a ring buffer's memory: 8 bytes of the kernel's, then one that
`pidscope.wire.decode` encodes. They are of processes in a container in a container, whose group
and session are their shell's; two shells fork at once, as on two cores, so that some dozens live at
any moment.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

from pidscope.errors import WireError
from pidscope.events import Birth, Event, PidAttached, PidDetached, PidNumbers, PidType
from pidscope.live.ring import Ring
from pidscope.session.fast_path_hooks import HookFastPath
from pidscope.session.session import Session
from pidscope.session.stream import Stream
from pidscope.session.world import World
from pidscope.table.table import Table
from pidscope.verify.grammar import Faults, Grammar
from pidscope.verify.verdicts import Window
from pidscope.wire.encode import encode

_ROOT, _OUTER, _INNER = 0xEFFFFFFC, 4026532100, 4026532200  # inums
_INIT_STRUCT_PID = PidNumbers((0,), _ROOT)
_NS_PER_TICK = 10_000_000
_SHELLS = (102, 103)
_FIRST, _NUMBERS = 300, 4_000_000  # numbers on the host that the storm gives out, over and over
_AT_ONCE = 24  # children of one shell, at most
_HEADER = struct.Struct("=II")
_BETWEEN_NS = 20_000


class Recording(NamedTuple):
    """A memfd that can be mapped as the map of a ring buffer of ``size`` bytes."""

    fd: int
    size: int
    end: int  # the producer's position
    events: int


class Replay:
    """A table that knows the two containers, and follows recordings as a session does.

    The judge is reading the file of a shell meanwhile, so its versions are kept.
    """

    def __init__(self) -> None:
        self._table = Table(_ROOT, _NS_PER_TICK)
        for event in _containers():
            self._table.apply(event)
        grammar = Grammar(lambda hook: hook in ("attach_pid", "detach_pid"), False)
        self._fast_path = HookFastPath(self._table, grammar, Faults())
        self._window = Window(self._table, _SHELLS[0])

    def play(self, recording: Recording) -> None:
        """Drain, decode and apply the whole recording."""
        os.pwrite(recording.fd, bytes(8), 0)  # nothing is consumed yet
        with contextlib.closing(Ring(recording.fd, recording.size)) as ring:
            stream = Stream(cast(World, _Recorded(ring)))
            until = stream.position
            stream.apply_plain(until, self._fast_path, self._window.watched)
            if stream.events != recording.events:
                raise WireError(f"{stream.events} of {recording.events} records were plain")

    def lookup(self, nr: int) -> tuple[int, ...]:
        """The numbers at every level of who has this one in the inner container."""
        return self._table.namespaces[_INNER].pids[nr].numbers


def follow(session: Session) -> None:
    """Bring a live session up to the end of its stream."""
    session.pump()


class _Recorded:
    """As much of a world as a stream needs."""

    way = "fentry"
    lost = 0

    def __init__(self, ring: Ring) -> None:
        self.ring = ring

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def storm(lives: int) -> Recording:
    """So many births and releases, after which no task is left."""
    return recorded(map(encode, _lives(lives)))


def crowd(tasks: int) -> Recording:
    """So many births."""
    return recorded(encode(_birth(n, _SHELLS[n % 2], n * _BETWEEN_NS)) for n in range(tasks))


def inner_number(birth: int) -> int:
    """What the so-manieth is called in the inner container."""
    return _numbers(_FIRST + birth % _NUMBERS)[-1]


def recorded(records: Iterable[bytes]) -> Recording:
    """The memory of a ring into which these were written."""
    data, events = bytearray(), 0
    for record in records:
        data += _HEADER.pack(len(record), len(data) // mmap.PAGESIZE) + record
        data += bytes(-len(data) % 8)
        events += 1
    page = mmap.PAGESIZE
    size = max(page, 1 << (len(data) - 1).bit_length())
    fd = os.memfd_create("storm")
    os.ftruncate(fd, 2 * page + 2 * size)
    os.pwrite(fd, len(data).to_bytes(8, "little"), page)
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(fd, view[at:], 2 * page + at)
    return Recording(fd, size, len(data), events)


def _lives(lives: int) -> Iterator[Event]:
    """Each shell forks until it has as many children as it likes, then waits for some."""
    chance = random.Random(5)
    alive: dict[int, list[int]] = {shell: [] for shell in _SHELLS}
    wanted = dict.fromkeys(_SHELLS, _AT_ONCE)
    born = ts_ns = 0
    while born < lives or any(alive.values()):
        shell = chance.choice(_SHELLS)
        ts_ns += _BETWEEN_NS
        if born < lives and len(alive[shell]) < wanted[shell]:
            alive[shell].append(_FIRST + born % _NUMBERS)
            yield _birth(born, shell, ts_ns)
            born += 1
        elif alive[shell]:
            nr = alive[shell].pop(chance.randrange(len(alive[shell])))
            wanted[shell] = chance.randint(1, _AT_ONCE)
            yield PidDetached(ts_ns, shell, nr, nr, 0)


def _numbers(nr: int) -> tuple[int, int, int]:
    return nr, nr - 99, nr - 100


def _pid(nr: int) -> PidNumbers:
    return PidNumbers(_numbers(nr), _INNER)


def _birth(born: int, shell: int, ts_ns: int) -> PidAttached:
    nr = _FIRST + born % _NUMBERS
    link = _pid(shell)
    birth = Birth(nr, shell, ts_ns, b"sh", _OUTER, link, link)
    return PidAttached(ts_ns, shell, nr, PidType.PID, _pid(nr), birth)


def _containers() -> Iterator[Event]:
    """The inits of both containers, and the two shells, each with its own session."""
    yield _leader(PidNumbers((100, 1), _OUTER), _ROOT, 0)
    yield _leader(PidNumbers((101, 2, 1), _INNER), _OUTER, 100)
    for nr in _SHELLS:
        yield _leader(_pid(nr), _OUTER, 101)
        for pid_type in (PidType.SID, PidType.PGID):
            yield PidAttached(0, nr, nr, pid_type, _pid(nr))


def _leader(pid: PidNumbers, ns_parent: int, ppid: int) -> PidAttached:
    init = _INIT_STRUCT_PID
    birth = Birth(pid.nr, ppid, 0, b"sh", ns_parent, init, init)
    return PidAttached(0, ppid, pid.nr, PidType.PID, pid, birth)


def cpu_ns(play: Callable[[], None]) -> int:
    """Nanoseconds of this process's CPU time."""
    begun = time.process_time_ns()
    play()
    return time.process_time_ns() - begun
