"""What differs from kernel to kernel, each named for what it does, never for a version.

The differential test finds the features of the kernel that it runs on; the presets document two.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True)
class Features:
    """One kernel's habits; the defaults are 7.3's, but for two.

    These are `exits_overlap` and `zap_is_idle`.
    """

    bitmap_allocator: bool = False  # up to 4.14: pidmap pages instead of an IDR
    nesting_errno: int = errno.ENOSPC  # of level 33; EINVAL in 4.4
    pid_max_per_ns: bool = True  # since 6.14: each namespace has its own
    freed_after_unlock: bool = True  # since 6.15: free_pids() once tasklist_lock is dropped
    set_tid_checked_first: bool = True  # since 7.0: all levels are checked before any is taken
    dead_ancestor_refuses: bool = True  # since 7.1: not only the innermost namespace must live
    first_fork_may_fail: bool = True  # since 7.1; before, that ended the namespace for good
    entered_before_init: bool = True  # since 7.1: ns/pid_for_children can be read at once
    last_thread_exit_code: bool = True  # observed on 6.1, not 5.10: of the last, not the leader
    killed_from_leader: bool = True  # observed on 6.12, not 6.1: it ends first, not the target
    exits_overlap: bool = False  # observed on 7.3: all killed tasks begin to exit before one ends
    leader_gets_group_exit_code: bool = True  # since 6.15: if it was dead before its threads
    zap_is_idle: bool = False  # observed on 7.3 and late 6.1, not 6.18: a waiting init is in I
    autoreap: bool = True  # since 7.1: clone3() has CLONE_AUTOREAP
    thread_pidfd: bool = True  # observed on 6.18, not 6.12: CLONE_PIDFD goes with CLONE_THREAD


TODAY = Features()

LINUX_4_4 = Features(
    bitmap_allocator=True,
    nesting_errno=errno.EINVAL,
    pid_max_per_ns=False,
    freed_after_unlock=False,
    set_tid_checked_first=False,
    dead_ancestor_refuses=False,
    first_fork_may_fail=False,
    entered_before_init=False,
    last_thread_exit_code=False,
    killed_from_leader=False,
    leader_gets_group_exit_code=False,
    zap_is_idle=False,
    autoreap=False,
    thread_pidfd=False,
)
