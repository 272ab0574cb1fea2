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
import os
from pathlib import Path

from pidscope.live.bpf_call import bpf

_BPF_OBJ_GET_INFO_BY_FD = 15  # enum bpf_cmd, include/uapi/linux/bpf.h
_AT = 208  # of recursion_misses in struct bpf_prog_info, which is uapi; since 5.12
_END = _AT + 8


class _InfoByFd(ctypes.Structure):
    """The member ``info`` of ``union bpf_attr``."""

    _fields_ = (
        ("bpf_fd", ctypes.c_uint32),
        ("info_len", ctypes.c_uint32),
        ("info", ctypes.c_uint64),
    )


def recursion_misses(fd: int) -> int | None:
    """Return how many runs of the program behind ``fd`` were skipped; None: not counted here.

    Raises OSError.
    """
    info = (ctypes.c_uint8 * _END)()
    attributes = _InfoByFd(fd, _END, ctypes.addressof(info))
    bpf(_BPF_OBJ_GET_INFO_BY_FD, attributes)
    if attributes.info_len < _END:
        return None
    return ctypes.c_uint64.from_buffer(info, _AT).value


_PROFILES = (
    Path("/sys/kernel/tracing/kprobe_profile"),
    Path("/sys/kernel/debug/tracing/kprobe_profile"),
)


def kretprobe_misses(function: str) -> int:
    """Return how many returns of ``function`` our kretprobe missed, as far as tracefs shows."""
    event = f"r_{function}_bcc_{os.getpid()}"  # as libbcc calls it
    for profile in _PROFILES:
        with contextlib.suppress(OSError):
            for line in profile.read_text().splitlines():
                name, _, missed = line.split()
                if name == event:
                    return int(missed)
    return 0
