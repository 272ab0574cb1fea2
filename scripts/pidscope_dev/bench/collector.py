"""A collector whose CPU time is measured, in its own process: ``collector KIND WAY``.

It prints "ready", and at each byte of standard input what CPU time it has taken so far, everything
written until then included.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Callable

from pidscope.host.proc import ProcFs
from pidscope.live.program import Program
from pidscope.live.session import live_session
from pidscope.sources.command import POLL_MS
from pidscope.wire.decode import decode
from pidscope_dev.bench.replay import follow

OURS, CALLBACK = "pidscope, table included", "bcc's callback, decoding only"

Drain = Callable[[], object]


@contextlib.contextmanager
def _ours(way: str) -> Iterator[Drain]:
    with live_session(ProcFs(), None, way, steps=False) as session:
        yield lambda: follow(session)


@contextlib.contextmanager
def _callback(way: str) -> Iterator[Drain]:

    def decoded(_context: object, data: int, size: int) -> None:
        decode(ctypes.string_at(data, size))

    with contextlib.closing(Program(way, steps=False)) as program:
        module = program._module  # the same programs, read as bcc's manual has it
        module[b"events"].open_ring_buffer(decoded)
        yield module.ring_buffer_consume


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


if __name__ == "__main__":
    main()
