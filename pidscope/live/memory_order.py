"""What keeps loads of mapped memory in order, in a language that has no word for it.

x86-64 keeps loads in order, and so do the string instructions that a long copy is made of: only
their stores may pass each other (Intel SDM 3A, 9.2.4). Elsewhere (arm64) nothing but the
interpreter's hundreds of instructions keeps a second load from being done before a first, which is
no argument. So a mutex is taken and given back twice: CPython's is a semaphore of the C library (or
its own byte), taken by a load with acquire semantics (arm64: LDAXR, or CASA) and given back by a
store with release semantics (STLXR, or LDADDL). No access from before the first release can be done
after it; no access from behind the second acquire can be done before it; and an acquire is never
done before a release that stands before it (RCsc, as LDAR and STLR are). So no load passes from one
side to the other. No system call is needed, and not every system call would do: SVC and ERET
synchronize the context, not the memory.
"""

from __future__ import annotations

import os
import threading

LOADS_IN_ORDER = os.uname().machine == "x86_64"


def barrier() -> None:
    """Keep loads that come before it before, and loads and stores that come after it after."""
    lock = threading.Lock()
    for _ in range(2):
        with lock:
            pass


def load_barrier() -> None:
    """The same of loads; free where they keep their order."""
    if not LOADS_IN_ORDER:
        barrier()
