"""A file of a file system that may hang, such as lxcfs: read by an orphan, left alone if it does.

A read that a program of user space has to answer cannot be ended by a timer, and where the program
has taken the request not even by SIGKILL (``request_wait_answer()``, fs/fuse/dev.c): then it
stays until the program answers or ends, and no thread of this process does.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from pidscope.errors import ProcError
from pidscope.host.proc_files import read_file

TIMEOUT_S = 0.25
_CHUNK = 65536


def read_in_time(path: str, until: bytes = b"") -> bytes | None:
    """Return what `read_file` does; None: also if it cannot be read, or there is no answer."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _orphan(path, until, write_end)
    os.close(write_end)
    try:
        os.waitpid(child, 0)
        return _received(read_end, time.monotonic() + TIMEOUT_S) or None
    finally:
        os.close(read_end)


def _orphan(path: str, until: bytes, pipe: int) -> None:
    """In the child: leave what may hang to init, which waits for it whenever it ends."""
    try:
        if os.fork() == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
            _send(path, until, pipe)
    finally:
        os._exit(0)


def _send(path: str, until: bytes, pipe: int) -> None:
    """Write the file into the pipe, and end."""
    try:
        os.closerange(0, 3)  # a reader of what this process prints may wait for their end
        with contextlib.suppress(ProcError):
            data = read_file(path, until) or b""
            while data:
                data = data[os.write(pipe, data) :]
    finally:
        os._exit(0)


def _received(pipe: int, deadline: float) -> bytes | None:
    """Return all that comes until the end; None: the end does not come."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    data = b""
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        piece = os.read(pipe, _CHUNK)
        if not piece:
            return data
        data += piece
    return None
