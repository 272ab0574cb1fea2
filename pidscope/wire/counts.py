"""The bytes of what bpf/counts.c counts, as values. Pure.

bpf/counts.h is the source of truth, and a test compares the two, field by field.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from pidscope.errors import WireError
from pidscope.wire.layout import COMM_LEN, Layout

MAX_KEYS = 16_384  # of one map of counts; what does not fit is counted as others
COUNT_LEVEL_SHIFT = 24
KEY = 16  # bytes of a key of either kind

COMM_LAYOUT = Layout("count_comm", (("halves[0]", "Q"), ("halves[1]", "Q")))
NS_LAYOUT = Layout("count_ns", (("ns", "I"), ("init", "I"), ("start_ns", "Q")))
COUNTED_LAYOUT = Layout("counted", (("processes", "Q"), ("threads", "Q"), ("failed_forks", "Q")))
INIT_LAYOUT = Layout(
    "count_init",
    (
        *((name, "I") for name in ("kind", "level", "nr", "ns", "ns_parent", "pad")),
        *(("start_ns", "Q"), ("ts_ns", "Q"), ("comm", f"{COMM_LEN}s")),
    ),
)
COUNTED = COUNTED_LAYOUT.compile().size
_NS, _INIT = NS_LAYOUT.compile(), INIT_LAYOUT.compile()


class InitKind(enum.IntEnum):
    """``enum count_init_kind``: what a number 1 did."""

    BORN = 1
    EXECUTED = 2
    EXITED = 3


class CountedNs(NamedTuple):
    """A PID namespace, told from the next one with its inum by its number 1.

    Attributes:
        level: None: not known, as ``init``.
        init: its number 1 in the initial namespace. None: a fork into it failed, and no number 1 of
            it was born since the start.
        start_ns: of its number 1, CLOCK_BOOTTIME; 0: not known, as of the initial namespace.
    """

    ns: int
    level: int | None
    init: int | None
    start_ns: int


class Init(NamedTuple):
    """What a number 1 did; numbers are those of the initial namespace.

    Attributes:
        ns_parent: inum of the namespace around its own; 0: there is none.
        comm: after what it did.
    """

    kind: InitKind
    level: int
    nr: int
    ns: int
    ns_parent: int
    start_ns: int
    ts_ns: int
    comm: bytes


class Counted(NamedTuple):
    """Births and failed forks of one key."""

    processes: int = 0
    threads: int = 0
    failed_forks: int = 0

    def less(self, before: Counted) -> Counted:
        """Return what came since ``before``."""
        return Counted(*(now - then for now, then in zip(self, before)))


def decode_comm(key: bytes) -> bytes:
    """Return the name in a key."""
    return key.partition(b"\0")[0]


def decode_ns(key: bytes, root_ns: int) -> CountedNs:
    """Return the namespace in a key; ``root_ns`` is the inum of the initial one."""
    ns, init, start_ns = _NS.unpack(key)
    if ns == 0:
        return CountedNs(root_ns, 0, 1, 0)
    if init == 0:
        return CountedNs(ns, None, None, 0)
    level, number = divmod(init, 1 << COUNT_LEVEL_SHIFT)
    return CountedNs(ns, level, number, start_ns)


def decode_counted(values: bytes, cpus: int) -> Counted:
    """Return the sums over all CPUs of one key's values."""
    words = struct.unpack(f"={3 * cpus}Q", values)
    return Counted(sum(words[0::3]), sum(words[1::3]), sum(words[2::3]))


def decode_init(record: bytes | memoryview) -> Init:
    """Return what a number 1 did; raises WireError."""
    if len(record) != _INIT.size:
        raise WireError(f"a number 1's record of {len(record)} bytes, not {_INIT.size}")
    kind, level, nr, ns, ns_parent, _, start_ns, ts_ns, comm = _INIT.unpack(record)
    try:
        return Init(
            InitKind(kind), level, nr, ns, ns_parent, start_ns, ts_ns, comm.partition(b"\0")[0]
        )
    except ValueError as error:
        raise WireError(str(error)) from error
