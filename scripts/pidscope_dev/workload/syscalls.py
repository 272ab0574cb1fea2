"""The system calls that Python 3.9 has no function for; every one raises OSError as os does."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Sequence

CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_THREAD = 0x00010000
CLONE_NEWPID = 0x20000000
CLONE_INTO_CGROUP = 0x200000000

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_SET_CHILD_SUBREAPER = 36
COMM_BYTES = 16

BAD_POINTER = 8
"""An aligned user address in the first page, which is never mapped."""

_SYS_CLONE3 = 435
_SYS_EXIT = {"x86_64": 60, "aarch64": 93, "riscv64": 93}

# PyDLL keeps the interpreter lock: a process copied while another thread held it could never run.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
# CDLL gives the lock up first: a thread that ends inside the call must not take it along.
_libc_unlocked = ctypes.CDLL(None, use_errno=True)


class _CloneArgs(ctypes.Structure):
    """struct clone_args up to cgroup (CLONE_ARGS_SIZE_VER2, 5.7)."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


def _checked(result: int) -> int:
    """Pass a result on; raise OSError for -1."""
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def clone3(
    flags: int = 0,
    *,
    set_tid: Sequence[int] = (),
    pidfd: int = 0,
    exit_signal: int = signal.SIGCHLD,
    cgroup: int = 0,
) -> int:
    """Fork by clone3: the child's number, 0 in the child; `set_tid` has the innermost level first.

    Only for flags that give the child its own memory; the child must not start threads, because
    the C library does not know about it.
    """
    numbers = (ctypes.c_int * len(set_tid))(*set_tid)
    arguments = _CloneArgs(flags=flags, pidfd=pidfd, exit_signal=exit_signal, cgroup=cgroup)
    if set_tid:
        arguments.set_tid = ctypes.addressof(numbers)
        arguments.set_tid_size = len(set_tid)
    return _checked(
        int(
            _libc.syscall(
                ctypes.c_long(_SYS_CLONE3),
                ctypes.byref(arguments),
                ctypes.c_size_t(ctypes.sizeof(arguments)),
            )
        )
    )


def unshare_pid_namespace() -> None:
    """Make a PID namespace for the children to come (copy_pid_ns); the caller stays where it is."""
    _checked(int(_libc.unshare(ctypes.c_int(CLONE_NEWPID))))


def enter_pid_namespace(descriptor: int) -> None:
    """Let the children to come be born in a namespace, given its nsfs file (pidns_install)."""
    _checked(int(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(CLONE_NEWPID))))


def die_with_parent() -> None:
    """Ask for SIGKILL when the thread that made this process ends (forget_original_parent)."""
    _checked(int(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)))


def become_subreaper() -> None:
    """Take in the orphans among the descendants of this level (find_new_reaper)."""
    _checked(int(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)))


def set_comm(name: bytes) -> None:
    """Name the calling thread; the kernel keeps 15 bytes and checks none of them."""
    buffer = ctypes.create_string_buffer(name, max(COMM_BYTES, len(name) + 1))
    _checked(int(_libc.prctl(PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)))


def get_comm() -> bytes:
    """The calling thread's name, up to the first NUL."""
    buffer = ctypes.create_string_buffer(COMM_BYTES)
    _checked(int(_libc.prctl(PR_GET_NAME, ctypes.addressof(buffer), 0, 0, 0)))
    return buffer.value


def exit_thread() -> None:
    """End the calling thread alone, even the leader: exit(2), where os._exit is exit_group(2)."""
    number = _SYS_EXIT.get(platform.machine())
    if number is None:
        raise OSError(f"number of exit(2) not known on {platform.machine()}")
    _libc_unlocked.syscall(ctypes.c_long(number), ctypes.c_long(0))
