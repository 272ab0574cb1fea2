"""A workload of forks that fail, before and after alloc_pid has given them a number."""

from __future__ import annotations

import errno
import os
from functools import partial

from pidscope_dev.workload import syscalls
from pidscope_dev.workload.cgroup import PidsCgroup, pids_cgroup
from pidscope_dev.workload.family import Channel, Family, check
from pidscope_dev.workload.workload import Counts, Options, Workload, counts

IN_A_ROW = 3
AFTER_FAILURES = IN_A_ROW + 2
"""The number a child of a fresh init gets after so many forks that failed with a number."""


def run_failed(family: Family, options: Options) -> str:
    """Forks that the kernel refuses at every point, each with the errno it must have."""
    _fail_at_host(family)
    family.reap(family.fork(lambda: _fail_nested(family)))
    family.reap(family.fork(lambda: _fail_to_allocate_first(family)))
    stays_usable = family.channel()
    family.reap(family.fork(lambda: _fail_first(family, stays_usable)))
    (usable,) = stays_usable.receive()
    if not options.no_cgroup:
        cgroup = family.keep(pids_cgroup("workload-failed"))
        family.reap(family.fork(lambda: _fork_beyond_limit(family, cgroup)))
    after = "stays usable" if usable else "is dead"
    return f"a namespace whose first fork failed after alloc_pid {after}"


def bad_pidfd() -> int:
    """Fork with a pidfd pointer that cannot be written: EFAULT after alloc_pid (copy_process)."""
    return syscalls.clone3(syscalls.CLONE_PIDFD, pidfd=syscalls.BAD_POINTER)


def _fail_at_host(family: Family) -> None:
    """6 refusals at host level."""
    for _ in range(IN_A_ROW):
        family.refuse_fork(errno.EFAULT, bad_pidfd)
    family.refuse_fork(errno.EEXIST, lambda: syscalls.clone3(set_tid=[os.getpid()]))
    family.refuse_fork(errno.EINVAL, lambda: syscalls.clone3(set_tid=[0]))
    # CLONE_THREAD alone is refused at the start of copy_process, nothing is allocated.
    family.refuse_fork(errno.EINVAL, lambda: syscalls.clone3(syscalls.CLONE_THREAD, exit_signal=0))


def _fail_nested(family: Family) -> None:
    """5 refusals of the init of level 1; those with a number leave a gap."""

    def init() -> None:
        for _ in range(IN_A_ROW):
            family.refuse_fork(errno.EFAULT, bad_pidfd)
        family.refuse_fork(errno.EEXIST, lambda: syscalls.clone3(set_tid=[1]))
        # An init may have no sibling (SIGNAL_UNKILLABLE), nothing is allocated.
        sibling = partial(syscalls.clone3, syscalls.CLONE_PARENT, exit_signal=0)
        family.refuse_fork(errno.EINVAL, sibling)
        _fork_after_failures(family)

    family.in_new_namespace(init)


def _fork_after_failures(family: Family) -> None:
    pid = family.fork(lambda: None)
    check(pid == AFTER_FAILURES, f"after {IN_A_ROW} failures: {pid}, not {AFTER_FAILURES}")
    family.reap(pid)


def _fail_to_allocate_first(family: Family) -> None:
    """2 refusals inside alloc_pid in a namespace without a process: it stays usable."""
    syscalls.unshare_pid_namespace()
    family.refuse_fork(errno.EINVAL, lambda: syscalls.clone3(set_tid=[2]))
    family.refuse_fork(errno.EEXIST, lambda: syscalls.clone3(set_tid=[1, os.getpid()]))
    family.reap(family.fork(_be_first))


def _be_first() -> None:
    check(os.getpid() == 1, f"the first process has number {os.getpid()}")


def _fail_first(family: Family, stays_usable: Channel) -> None:
    """4 refusals after alloc_pid in a namespace without a process, then a birth.

    Up to 7.0 the first one ends the namespace (free_pid), and the others get ENOMEM; from 7.1 on
    each gets number 1 again. Where it has ended, the birth is at host level, so that the counts
    are the same.
    """
    with open("/proc/self/ns/pid") as own:
        syscalls.unshare_pid_namespace()
        family.refuse_fork(errno.EFAULT, bad_pidfd)
        errnos = [family.try_fork(bad_pidfd) for _ in range(IN_A_ROW)]
        usable = errnos == [errno.EFAULT] * IN_A_ROW
        check(usable or errnos == [errno.ENOMEM] * IN_A_ROW, f"failures in a row: errnos {errnos}")
        if usable:
            family.reap(family.fork(_be_first))
        else:
            syscalls.enter_pid_namespace(own.fileno())
            family.reap(family.fork(lambda: None))
    stays_usable.send(int(usable))


def _fork_beyond_limit(family: Family, cgroup: PidsCgroup) -> None:
    """6 refusals by pids.max: EAGAIN after alloc_pid.

    The bound is met with one task, then with two, the second in a namespace.
    """
    cgroup.set_max(1)
    cgroup.enter()
    for _ in range(IN_A_ROW):
        family.refuse_fork(errno.EAGAIN)
    cgroup.set_max(2)

    def init() -> None:
        for _ in range(IN_A_ROW):
            family.refuse_fork(errno.EAGAIN)
        cgroup.set_max(None)
        _fork_after_failures(family)

    family.in_new_namespace(init)


def expect_failed(options: Options) -> Counts:
    """Each part's refusals and births; one namespace for each but the first."""
    if options.no_cgroup:
        return counts(3 + 2 + 2, failed_forks=6 + 5 + 2 + 4, namespaces=3)
    return counts(3 + 2 + 2 + 3, failed_forks=6 + 5 + 2 + 4 + 6, namespaces=4)


FAILED = Workload(
    "failed",
    run_failed,
    "forks the kernel refuses, also as first of a namespace",
    expect_failed,
    {"--no-cgroup": {"action": "store_true", "help": "leave out pids.max"}},
)
