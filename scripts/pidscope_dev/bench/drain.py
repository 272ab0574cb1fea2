"""CPU time of the collector for each process born and gone, against bcc's own way to drain.

A collector is measured in its own process, ``drain KIND WAY``. It prints "ready", and at each byte
of standard input what CPU time it has taken so far, everything written until then included.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Callable

from pidscope.host.proc import ProcFs
from pidscope.live.bcc import load_bcc
from pidscope.live.program import Program
from pidscope.live.session import live_session
from pidscope.sources.command import POLL_MS
from pidscope.wire.decode import decode
from pidscope.wire.hooks import TRACEPOINT
from pidscope_dev.bench.programs import compiled
from pidscope_dev.bench.replay import follow
from pidscope_dev.bench.row import Goal
from pidscope_dev.bench.taken import Asked, Taken, Unable, in_turn

OURS, CALLBACK = "pidscope, table included", "bcc's callback, decoding only"

Drain = Callable[[], object]


@contextlib.contextmanager
def _ours(way: str) -> Iterator[Drain]:
    with live_session(ProcFs(), None, way, steps=False) as session:
        yield lambda: follow(session)


@contextlib.contextmanager
def _callback(way: str) -> Iterator[Drain]:

    def decoded(_context: object, data: int, size: int) -> int:
        decode(ctypes.string_at(data, size))
        return 0

    bcc = load_bcc()
    called = bcc.libbcc._RINGBUF_CB_TYPE(decoded)
    with contextlib.closing(Program(way, steps=False)) as program:
        # The same programs, read as bcc's table.open_ring_buffer() does.
        ring = bcc.lib.bpf_new_ringbuf(program.ring_fd, called, None)
        yield lambda: bcc.lib.bpf_consume_ringbuf(ring)


_KINDS = {OURS: _ours, CALLBACK: _callback}


def main() -> None:
    """Drain by the clock, until standard input ends."""
    kind, way = sys.argv[1:]
    with _KINDS[kind](way) as drain:
        print("ready", flush=True)
        while True:
            drain()
            if not select.select([sys.stdin], [], [], POLL_MS / 1e3)[0]:
                continue
            if not os.read(sys.stdin.fileno(), 1):
                return
            drain()
            print(time.process_time_ns(), flush=True)


def _measure(way: str, lives: int, repetitions: int) -> Taken:
    with compiled("loops") as loops:
        storm = [loops, "fork", str(lives)]
        contenders = {kind: partial(_life_us, kind, way, storm) for kind in (OURS, CALLBACK)}
        return in_turn(contenders, repetitions)


def _life_us(kind: str, way: str, storm: list[str]) -> float:
    """Microseconds of a life of the same storm."""
    with _collector(kind, way) as process:
        before = _spent_ns(process)
        subprocess.run(storm, check=True, stdout=subprocess.DEVNULL)
        return (_spent_ns(process) - before) / int(storm[-1]) / 1e3


@contextlib.contextmanager
def _collector(kind: str, way: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "pidscope_dev.bench.drain", kind, way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # nothing is left to be written when it has died
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise _ended(process)
        yield process


def _spent_ns(process: subprocess.Popen[bytes]) -> int:
    """What it has taken so far; raises Unable: it has ended."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(b".")
        return int(process.stdout.readline())
    except (BrokenPipeError, ValueError) as error:
        raise _ended(process) from error


def _ended(process: subprocess.Popen[bytes]) -> Unable:
    process.kill()
    assert process.stderr is not None
    lines = process.stderr.read().decode(errors="replace").strip().splitlines()
    return Unable("".join(lines[-1:]) or f"the collector ended with {process.wait()}")


measure = partial(_measure, TRACEPOINT, lives=10_000, repetitions=5)
measure_functions = partial(_measure, "fentry", lives=1_000, repetitions=3)

_WHAT = "CPU of the collector per process born and gone, table included"
ROWS = (Asked(_WHAT, "µs", OURS, CALLBACK, Goal(1 / 2)),)
FUNCTION_ROWS = (Asked(_WHAT, "µs", OURS, CALLBACK, Goal(1 / 10)),)


if __name__ == "__main__":
    main()
