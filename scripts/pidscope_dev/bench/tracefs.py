"""System-call tracepoints that count and do nothing: what being on costs all system calls."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from pidscope_dev.bench.taken import Unable

EVENTS = ("sys_exit_setpgid", "sys_exit_setsid")
_TRACEFS = Path("/sys/kernel/tracing")
_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_PERF_TYPE_TRACEPOINT = 2
_ATTR_SIZE = 64  # PERF_ATTR_SIZE_VER0

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Count both calls on every CPU while this is open; raises Unable."""
    ids = _ids()
    fds: list[int] = []
    try:
        for config in ids:
            fds += [_open_event(config, cpu) for cpu in sorted(os.sched_getaffinity(0))]
        yield
    finally:
        for fd in fds:
            os.close(fd)


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
    """The ids of `EVENTS`, read in a child's own mount namespace."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(sending, _read_ids().encode())
        os._exit(0)
    os.close(sending)
    with open(receiving, encoding="utf-8") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if not answer.replace(" ", "").isdigit():
        raise Unable(answer or "the ids of the tracepoints could not be read")
    return [int(word) for word in answer.split()]


def _read_ids() -> str:
    try:
        if not (_TRACEFS / "events").exists():
            _checked(_libc.unshare(_CLONE_NEWNS))
            _checked(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None))
            target = os.fsencode(_TRACEFS)
            _checked(_libc.mount(b"tracefs", target, b"tracefs", ctypes.c_ulong(0), None))
        events = _TRACEFS / "events" / "syscalls"
        return " ".join((events / name / "id").read_text().strip() for name in EVENTS)
    except OSError as error:
        return f"no tracefs: {error.strerror}"


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
