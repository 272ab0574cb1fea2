"""``struct nsproxy``, the namespaces of a task's children to come: kernel/nsproxy.c.

A task never leaves the PID namespace that its ``thread_pid`` was allocated in, its active one.
``unshare()`` and ``setns()`` only replace ``pid_ns_for_children``, of the calling thread alone.
"""

from __future__ import annotations

import errno

from pidscope.model.pid import task_active_pid_ns
from pidscope.model.pid_namespace import PidNamespace, copy_pid_ns
from pidscope.model.sched import TaskStruct

CLONE_NEWPID = 0x20000000


class NsProxy:
    """``struct nsproxy``, shared by all tasks that have forked without a new namespace."""

    __slots__ = ("count", "pid_ns_for_children")

    def __init__(self, pid_ns_for_children: PidNamespace) -> None:
        """Take over the caller's reference to the namespace."""
        self.pid_ns_for_children = pid_ns_for_children
        self.count = 1

    def put(self) -> None:
        """``put_nsproxy()``."""
        self.count -= 1
        if not self.count:
            self.pid_ns_for_children.put()


def copy_namespaces(flags: int, current: TaskStruct) -> NsProxy:
    """What a new task gets: the forker's own, or one with a new PID namespace.

    Raises OSError as ``copy_pid_ns()``.
    """
    nsproxy = current.nsproxy
    assert nsproxy is not None
    if flags & CLONE_NEWPID:
        return create_new_namespaces(current, nsproxy)
    nsproxy.count += 1
    return nsproxy


def create_new_namespaces(current: TaskStruct, old: NsProxy) -> NsProxy:
    """A nsproxy with a new PID namespace; raises OSError as ``copy_pid_ns()``."""
    active = task_active_pid_ns(current)
    assert active is not None
    return NsProxy(copy_pid_ns(current, old.pid_ns_for_children, active))


def switch_task_namespaces(task: TaskStruct, new: NsProxy | None) -> None:
    """Replace a task's nsproxy; None when it exits."""
    old, task.nsproxy = task.nsproxy, new
    if old is not None:
        old.put()


def sys_unshare(current: TaskStruct, flags: int) -> int:
    """unshare(2): this thread's children go to a new namespace; raises OSError EINVAL, ENOSPC."""
    if flags & ~CLONE_NEWPID:
        raise OSError(errno.EINVAL, "only CLONE_NEWPID is known here")
    if flags:
        assert current.nsproxy is not None
        switch_task_namespaces(current, create_new_namespaces(current, current.nsproxy))
    return 0


def sys_setns(current: TaskStruct, ns: PidNamespace) -> int:
    """``pidns_install()``: let the children of this thread be born in ``ns``.

    Raises OSError EINVAL unless ``ns`` is where it lives, or further in.
    """
    active = task_active_pid_ns(current)
    if not any(level_ns is active for level_ns in ns.outwards()):
        raise OSError(errno.EINVAL, f"{ns} is neither its own namespace nor inside it")
    ns.count += 1
    switch_task_namespaces(current, NsProxy(ns))
    return 0
