"""Runs of a program that the kernel skipped. They leave neither a hit nor a record.

A trampoline does not run a program that is already running on the same CPU (``bpf_prog_enter()``,
kernel/bpf/trampoline.c); it counts that in ``recursion_misses`` of ``struct bpf_prog_info``. And a
kretprobe misses a return if, at the entry, as many tasks were inside the function as it has
instances (``pre_handler_kretprobe()``, kernel/kprobes.c); tracefs shows
that, for the probes made through it.
"""

from __future__ import annotations

import contextlib
import ctypes

from pidscope.live.bpf_call import info
from pidscope.live.perf_event import TRACEFS

_AT = 208  # of recursion_misses in struct bpf_prog_info, which is uapi; since 5.12
_END = _AT + 8


def recursion_misses(fd: int) -> int | None:
    """Return how many runs of the program behind ``fd`` were skipped; None: not counted here.

    Raises OSError.
    """
    data = (ctypes.c_uint8 * _END)()
    if info(fd, data) < _END:
        return None
    return ctypes.c_uint64.from_buffer(data, _AT).value


def kretprobe_misses(event: str) -> int:
    """Return how many returns a kretprobe missed, by its name in tracefs, as far as that shows."""
    for root in TRACEFS:
        with contextlib.suppress(OSError):
            for line in (root / "kprobe_profile").read_text().splitlines():
                name, _, missed = line.split()
                if name == event:
                    return int(missed)
    return 0
