"""Waiting for one of several things, without looking again and again."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator


class Waiting:
    """Until a descriptor can be read from, a signal was handled, or time passes."""

    def __init__(self, woken: int, is_printed: bool = True) -> None:
        self._poll = select.poll()
        self._woken = woken
        self._poll.register(woken, select.POLLIN)
        self._output = -1
        if is_printed:
            with contextlib.suppress(ValueError, OSError):  # closed, or not a file
                self._output = sys.stdout.fileno()
                self._poll.register(self._output, 0)  # POLLERR and POLLHUP come unasked

    def add(self, fd: int) -> None:
        """Also wait until this one can be read from."""
        self._poll.register(fd, select.POLLIN)

    def wait(self, longest_s: float) -> None:
        """Wait; raise BrokenPipeError if no process reads standard output any more."""
        for fd, happened in self._poll.poll(max(0.0, longest_s * 1e3)):
            if fd == self._output and happened & select.POLLERR:
                raise BrokenPipeError
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(fd, 64)


@contextlib.contextmanager
def waiting(is_printed: bool = True) -> Iterator[Waiting]:
    """Let each signal that has a handler end a wait, until left.

    Without ``is_printed``, it does not matter whether standard output is read.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield Waiting(reader, is_printed)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
