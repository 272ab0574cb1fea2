"""What tracepoint mode costs system calls that it does not watch, and what it does without."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Callable

from pidscope_dev.bench.programs import attached, compiled, cpu_ns_of
from pidscope_dev.bench.row import Goal
from pidscope_dev.bench.taken import Asked, Taken, Unable, in_turn

BARE, OURS, SYSCALLS = "nothing attached", "tracepoint mode", "tracepoints of setpgid and setsid"
_GETPPIDS = "700000"
_IDS = """\
[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit 1
cd /sys/kernel/tracing/events/syscalls && cat sys_exit_setpgid/id sys_exit_setsid/id
"""
_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_PERF_TYPE_TRACEPOINT = 2
_ATTR_SIZE = 64  # PERF_ATTR_SIZE_VER0

_libc = ctypes.CDLL(None, use_errno=True)


def measure() -> Taken:
    """A loop of getppid, in CPU time, with each attached."""
    with compiled("loops") as loops:
        return in_turn(
            {
                BARE: partial(_getppid_ns, loops, contextlib.nullcontext),
                OURS: partial(_getppid_ns, loops, attached),
                SYSCALLS: partial(_getppid_ns, loops, _counting),
            }
        )


def _getppid_ns(
    loops: str, attach: Callable[[], contextlib.AbstractContextManager[object]]
) -> float:
    with attach():
        return cpu_ns_of([loops, "getppid", _GETPPIDS])


@contextlib.contextmanager
def _counting() -> Iterator[None]:
    """Count both calls on every CPU while this is open; raises Unable."""
    with contextlib.ExitStack() as opened:
        for config, cpu in product(_ids(), sorted(os.sched_getaffinity(0))):
            opened.callback(os.close, _open_event(config, cpu))
        yield


def _open_event(config: int, cpu: int) -> int:
    number = _SYS_PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise Unable(f"the number of perf_event_open is not known on {platform.machine()}")
    attributes = (ctypes.c_uint32 * (_ATTR_SIZE // 4))(_PERF_TYPE_TRACEPOINT, _ATTR_SIZE, config)
    arguments = (ctypes.byref(attributes), -1, cpu, -1, ctypes.c_ulong(0))
    fd: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if fd < 0:
        raise Unable(f"perf_event_open: {os.strerror(ctypes.get_errno())}")
    return fd


def _ids() -> list[int]:
    """The ids of both tracepoints; in a mount namespace, so that no tracefs stays mounted."""
    command = ["unshare", "--mount", "sh", "-c", _IDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(f"no tracefs: {done.stderr.strip()}")
    return [int(word) for word in done.stdout.split()]


_WITHOUT = "getppid loop, as it would be if setpgid and setsid were watched"
ROWS = (
    Asked("getppid loop, tracepoint mode attached", "ns", OURS, BARE, Goal(1.05)),
    Asked(_WITHOUT, "ns", SYSCALLS, BARE),
)
