"""The fence: a system call after which every earlier change of a PID is visible.

The hooks that make state run at the entry of functions that are called with ``tasklist_lock``
held for writing: a record is reserved first, the change that it reports follows, then the lock is
dropped. ``setpgid()`` takes the same lock for writing before it looks at anything but signs
(kernel/sys.c, in 4.4 to 7.3). So when it returns, whatever was reserved in the ring before it was
called has happened, and a later read of /proc sees it.

The fence asks for a process group that cannot exist: no number is as high (``PID_MAX_LIMIT``,
include/linux/threads.h). So the kernel refuses, and changes nothing, whatever group and PID
namespace this process is in.

Timestamps cannot do this: a hook runs before the change, by an unknown time.
"""

from __future__ import annotations

import contextlib
import os

_NOBODYS_GROUP = 0x7FFFFFFF


def fence() -> None:
    """Wait for every writer of the tasklist lock that came before."""
    with contextlib.suppress(PermissionError):
        os.setpgid(0, _NOBODYS_GROUP)
