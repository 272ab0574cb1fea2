"""The fence: a system call after which every earlier change of a PID is visible.

The hooks that make state run at the entry of functions that are called with ``tasklist_lock``
held for writing: a record is reserved first, the change it tells of follows, then the lock is
dropped. ``setpgid(0, getpgrp())`` changes nothing, but takes the same lock for writing
(kernel/sys.c, in 4.4 to 7.3). So when it returns, whatever was reserved in the ring before it was
called has happened, and a later read of /proc sees it.

Timestamps cannot do this: a hook runs before the change, by an unknown time.
"""

from __future__ import annotations

import contextlib
import os

from pidscope.errors import HostError


def fence() -> None:
    """Wait for every writer of the tasklist lock that came before.

    Raises:
        HostError: our process group is outside our PID namespace, so the call would change it.
    """
    group = os.getpgrp()
    if group == 0:
        raise HostError(
            "this process belongs to a process group of another PID namespace",
            "start pidscope from a process group of the initial PID namespace (setsid pidscope …)",
        )
    # A session leader is refused, but only once the lock is held: that is all that is wanted.
    with contextlib.suppress(PermissionError):
        os.setpgid(0, group)
