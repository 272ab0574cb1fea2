"""The task iterator: every task that has a number here, with all its numbers, in milliseconds.

A BPF_ITER(task) program (bpf/iterator.c) is attached to nothing that runs: each opening of its
link walks the tasks once (kernel/bpf/task_iter.c), by their number in the opener's own PID
namespace, threads too. Unlike /proc it gives the whole of each struct pid, its group's and its
session's included. bcc can load such a program, but cannot link or read it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from pidscope.events import TaskSeen
from pidscope.gc_pause import gc_paused
from pidscope.live.compiler import explain, stderr_kept
from pidscope.wire.batch import decode_batch

_BPF_PROG_TYPE_TRACING = 26  # enum bpf_prog_type, include/uapi/linux/bpf.h
_CHUNK = 1 << 18


class TaskIterator:
    """The iterator, loaded and linked.

    Args:
        module: a compiled bcc module that has ``bpf_iter__task``.

    Raises:
        OSError: the kernel refuses it.
    """

    def __init__(self, module: Any) -> None:
        self._library = ctypes.CDLL("libbcc.so.0", use_errno=True)
        with stderr_kept() as said:
            ctypes.set_errno(0)
            try:
                function = module.load_func(b"bpf_iter__task", _BPF_PROG_TYPE_TRACING)
            except Exception as error:  # bcc raises nothing more precise
                number = ctypes.get_errno()
                raise OSError(number, explain(number, said(), error)) from error
        self._link = self._checked(self._library.bcc_iter_attach(function.fd, None, 0))

    def read(self) -> list[TaskSeen]:
        """Walk all tasks once; raises OSError, WireError."""
        fd = self._checked(self._library.bcc_iter_create(self._link))
        chunks = []
        try:
            while chunk := os.read(fd, _CHUNK):
                chunks.append(chunk)
        finally:
            os.close(fd)
        with gc_paused():
            return decode_batch(b"".join(chunks))

    def close(self) -> None:
        """Take it out of the kernel."""
        os.close(self._link)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno() or -result
            raise OSError(number, os.strerror(number) if number in errno.errorcode else "refused")
        return result
