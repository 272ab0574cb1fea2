"""Kprobes as perf events: at a function's entry, or at its return with room for many tasks.

The PMU ``kprobe`` makes probes without tracefs. It cannot be asked for more than the kernel's own
number of returns that are awaited at once, which is two a CPU on some kernels, ten in all on
others; tracefs can. A probe that tracefs made stays there, without a program, if this process dies
before it is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from pathlib import Path

from pidscope.live.bpf_call import checked, libc

TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
# Tasks that can be inside one function at once without a missed return: forks sleep there. More
# than this is refused (KRETPROBE_MAXACTIVE_MAX, kernel/trace/trace_kprobe.c).
_MAXACTIVE = 4096
_GROUP = "pidscope"
_PMU = Path("/sys/bus/event_source/devices/kprobe")
_NUMBERS = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_TYPE_TRACEPOINT, _SAMPLE_RAW = 2, 1 << 10  # enum perf_type_id, enum perf_event_sample_format
_FLAG_FD_CLOEXEC = 8
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408


class _Attributes(ctypes.Structure):
    """``struct perf_event_attr`` (include/uapi/linux/perf_event.h), PERF_ATTR_SIZE_VER1."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("kprobe_func", ctypes.c_uint64),
        ("probe_offset", ctypes.c_uint64),
    )


class Kprobe:
    """A program, run at each entry of a function, or at each return.

    Raises:
        OSError: the kernel refuses it.
    """

    def __init__(self, program: int, function: str, returns: bool) -> None:
        self.event = ""  # its name in tracefs, if it is there
        self._tracefs: Path | None = None
        try:
            self._fd = self._open(function, returns)
            try:
                fcntl.ioctl(self._fd, _IOC_SET_BPF, program)
                fcntl.ioctl(self._fd, _IOC_ENABLE, 0)
            except BaseException:
                os.close(self._fd)
                raise
        except BaseException:
            self._forget()
            raise

    def _open(self, function: str, returns: bool) -> int:
        if returns:
            with contextlib.suppress(OSError):  # there may be no tracefs
                return self._open_roomy(function)
            self._forget()
        return _open_by_pmu(function, returns)

    def _open_roomy(self, function: str) -> int:
        """Make the probe of a return through tracefs."""
        self._tracefs = next((root for root in TRACEFS if (root / "kprobe_events").exists()), None)
        if self._tracefs is None:
            raise FileNotFoundError
        self.event = f"r_{function}_{os.getpid()}_{os.urandom(4).hex()}"
        _append(self._tracefs, f"r{_MAXACTIVE}:{_GROUP}/{self.event} {function}")
        number = int((self._tracefs / "events" / _GROUP / self.event / "id").read_text())
        return _open(_Attributes(type=_TYPE_TRACEPOINT, config=number, sample_type=_SAMPLE_RAW))

    def _forget(self) -> None:
        if self._tracefs is not None:
            with contextlib.suppress(OSError):
                _append(self._tracefs, f"-:{_GROUP}/{self.event}")
            self._tracefs, self.event = None, ""

    def close(self) -> None:
        """Take it out of the kernel."""
        os.close(self._fd)
        self._forget()


def _append(tracefs: Path, line: str) -> None:
    # Python's mode "a" looks for the end of the file, which 7.3 refuses.
    events = os.open(tracefs / "kprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(events, f"{line}\n".encode())
    finally:
        os.close(events)


def _open_by_pmu(function: str, returns: bool) -> int:
    name = ctypes.create_string_buffer(function.encode())
    bit = int((_PMU / "format" / "retprobe").read_text().partition(":")[2])
    attributes = _Attributes(
        type=int((_PMU / "type").read_text()),
        config=1 << bit if returns else 0,
        kprobe_func=ctypes.addressof(name),
    )
    return _open(attributes)


def _open(attributes: _Attributes) -> int:
    """Open the event: it belongs to no task, and its program runs on all CPUs."""
    attributes.size = ctypes.sizeof(attributes)
    attributes.sample_period = attributes.wakeup_events = 1
    words = (ctypes.c_long(word) for word in (-1, 0, -1, _FLAG_FD_CLOEXEC))
    number = ctypes.c_long(_NUMBERS[os.uname().machine])
    return checked(libc.syscall(number, ctypes.byref(attributes), *words))
