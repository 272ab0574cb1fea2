"""Runs of a program that the kernel left out: ``recursion_misses`` of ``struct bpf_prog_info``.

A trampoline does not run a program that is already running on the same CPU (``bpf_prog_enter()``,
kernel/bpf/trampoline.c); it counts that in the program. Such a run leaves neither a hit nor a
record, so nothing else tells of it.
"""

from __future__ import annotations

import ctypes
import os
import platform

_BPF_OBJ_GET_INFO_BY_FD = 15  # enum bpf_cmd, include/uapi/linux/bpf.h
_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_AT = 208  # of recursion_misses in struct bpf_prog_info, which is uapi; since 5.12
_END = _AT + 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _InfoByFd(ctypes.Structure):
    """The member ``info`` of ``union bpf_attr``."""

    _fields_ = (
        ("bpf_fd", ctypes.c_uint32),
        ("info_len", ctypes.c_uint32),
        ("info", ctypes.c_uint64),
    )


def recursion_misses(fd: int) -> int | None:
    """How many runs of the program behind ``fd`` were left out; None: the kernel does not tell.

    Raises OSError.
    """
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        return None
    info = (ctypes.c_uint8 * _END)()
    attributes = _InfoByFd(fd, _END, ctypes.addressof(info))
    size = ctypes.sizeof(attributes)
    command = ctypes.c_long(_BPF_OBJ_GET_INFO_BY_FD)
    if _libc.syscall(ctypes.c_long(number), command, ctypes.byref(attributes), ctypes.c_long(size)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if attributes.info_len < _END:
        return None
    return ctypes.c_uint64.from_buffer(info, _AT).value
