"""bpf(2), for the commands that bcc does not have."""

from __future__ import annotations

import ctypes
import errno
import os
import platform

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def bpf(command: int, attributes: ctypes.Structure) -> int:
    """Make the call and return its result.

    Args:
        command: of ``enum bpf_cmd`` (include/uapi/linux/bpf.h).
        attributes: the member of ``union bpf_attr`` that goes with it.

    Raises:
        OSError: the kernel refused, or this machine's number of the call is not known (ENOSYS).
    """
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    size = ctypes.c_long(ctypes.sizeof(attributes))
    result: int = _libc.syscall(
        ctypes.c_long(number), ctypes.c_long(command), ctypes.byref(attributes), size
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
