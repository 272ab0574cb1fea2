"""Programs that watch processes and print what they observe: pidscope and its peers."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from pidscope.live.supply import read_btf
from pidscope_dev import CHECKOUT
from pidscope_dev.bench.programs import find, pidscope
from pidscope_dev.bench.taken import Unable

OURS, EXECSNOOP, BCC_EXECSNOOP, BPFTRACE = (
    "pidscope watch",
    "execsnoop (libbpf-tools)",
    "execsnoop-bpfcc",
    "bpftrace",
)
PEERS = (EXECSNOOP, BCC_EXECSNOOP, BPFTRACE)
_SCRIPT = Path(__file__).with_name("equal.bt")
_WAIT_S = 300  # bcc compiles against kernel headers for half a minute under emulation
_STEADY_MS = "20"


class Watcher(NamedTuple):
    """One that has reported a process: how long that took, and which process it is itself."""

    pid: int
    first_event_s: float


def command(name: str, probes: str = "auto") -> list[str]:
    """How to start one; raises Unable."""
    if name == OURS:
        return pidscope("watch", "-n", "--probes", probes)
    if name == EXECSNOOP:
        return [find("execsnoop", "libbpf-tools")]
    if name == BCC_EXECSNOOP:
        program = find("execsnoop-bpfcc", "bpfcc-tools")
        expect_headers()
        return [program]
    numbers = read_btf().offset("pid", "numbers")  # an array that bpftrace may hold for empty
    return [find("bpftrace", "bpftrace"), os.fspath(_SCRIPT), str(numbers)]


def expect_headers(modules: Path = Path("/lib/modules")) -> None:
    """Raise Unable unless the running kernel's headers are where bcc looks for them."""
    release = os.uname().release
    if not (modules / release / "build" / "include").is_dir():
        raise Unable(f"no kernel headers (package linux-headers-{release})")


@contextlib.contextmanager
def watching(arguments: Sequence[str], loops: str) -> Iterator[Watcher]:
    """Start a watcher among processes that come and go, and have it until this is left.

    It prints to a terminal, as for a person, and all of it is read.

    Raises Unable: it ended, or reported no process.
    """
    with _steadily(loops) as stop_load, _spawned(arguments) as (process, output, begun):
        _await(process, output, os.path.basename(loops).encode())  # noqa: PTH119
        first_event_s = time.monotonic() - begun
        stop_load()
        with _drained(output):
            try:
                yield Watcher(process.pid, first_event_s)
            finally:
                _end(process)  # while it is read: it may have more to print


@contextlib.contextmanager
def _steadily(loops: str) -> Iterator[Callable[[], None]]:
    load = subprocess.Popen([loops, "steady", _STEADY_MS], stdin=subprocess.PIPE)

    def stop() -> None:
        assert load.stdin is not None
        load.stdin.close()
        load.wait()

    try:
        yield stop
    finally:
        stop()


@contextlib.contextmanager
def _spawned(arguments: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """The process, its terminal's other end, and when it was started."""
    output, terminal = pty.openpty()
    begun = time.monotonic()
    try:
        process = subprocess.Popen(
            arguments,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
    except OSError as error:
        raise Unable(f"{arguments[0]}: {error.strerror}") from error
    finally:
        os.close(terminal)
    try:
        yield process, output, begun
    finally:
        _end(process)
        os.close(output)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], output: int, name: bytes) -> None:
    """Read until a line reports a process of that name."""
    printed, end = b"", time.monotonic() + _WAIT_S
    while name not in printed:
        left = end - time.monotonic()
        chunk = _read(output) if left > 0 and select.select([output], [], [], left)[0] else b""
        printed += chunk
        if not chunk:
            words = " ".join(printed.decode(errors="replace").split())
            raise Unable(f"{process.args!r} reported no process: {words[-300:]}")


@contextlib.contextmanager
def _drained(output: int) -> Iterator[None]:
    """Read on, so that the watcher never waits for a reader."""
    stopping = threading.Event()

    def drain() -> None:
        while not stopping.is_set():
            if select.select([output], [], [], 0.1)[0] and not _read(output):
                return

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        yield
    finally:
        stopping.set()
        reader.join()


def _read(output: int) -> bytes:
    """Empty when the other end is closed: EIO, of a terminal."""
    try:
        return os.read(output, 1 << 16)
    except OSError:
        return b""
