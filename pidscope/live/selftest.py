"""The self-test of a start: do what the hooks are for, and check that each of them reports it.

A program can attach and still never run: the compiler may have put the function into its callers,
or another kernel may call a different one. So a child is forked that makes a group and a session,
executes from a thread, and is killed and reaped; another one makes a PID namespace that dies; and
one is refused, by alloc_pid(), since it asks for numbers at too many levels. All hooks are
exercised but ``cgroup_attach_task``, for which a control group would have to be touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable

from pidscope.events import Event, PidAttached, TaskFreed
from pidscope.session.stream import Stream
from pidscope.wire.hooks import Hook

_CLONE_NEWPID = 0x20000000
_LONGEST_S = 15.0  # sched_process_free may come LAZY_FLUSH_JIFFIES later (kernel/rcu/tree_nocb.h)
_POLL_S = 0.01
_UNTESTED = frozenset({"cgroup_attach_task"})
_OF_NAMESPACES = frozenset({"copy_pid_ns", "zap_pid_ns_processes"})
_OF_ERRORS = frozenset({"alloc_pid", "copy_process"})
_SYS_CLONE3 = 435
_NR_SET_TID = 32  # MAX_PID_NS_LEVEL: so many may be asked for, and no namespace is below as many


class OwnTasks:
    """The tasks that a process and its descendants made, less those that were freed."""

    def __init__(self, number: int) -> None:
        self._makers = {number}
        self.unfreed: set[int] = set()

    def look(self, event: Event) -> None:
        """Take note of a birth, or of an end."""
        if isinstance(event, PidAttached) and event.birth is not None:
            if event.by in self._makers:
                self._makers.add(event.tid)
                self.unfreed.add(event.tid)
        elif isinstance(event, TaskFreed):
            self.unfreed.discard(event.tid)


def silent_hooks(stream: Stream, hooks: Iterable[Hook], own: int = 0) -> list[Hook]:
    """Return the hooks that reported nothing while they were exercised.

    Return none if records were lost meanwhile: a missing one may be among them. ``own`` is this
    process in the initial namespace: what its children did reaches no output, though they may be
    freed later than they are reaped.
    """
    tasks = OwnTasks(own)
    stream.skip()
    wanted = {hook.name for hook in hooks} - _UNTESTED
    if not _exercise_namespaces():
        wanted -= _OF_NAMESPACES
    if not exercise_errors() and not any(hook.step for hook in hooks):
        wanted -= _OF_ERRORS
    _exercise_tasks()
    lost, deadline = stream.lost, time.monotonic() + _LONGEST_S
    reported: set[str] = set()
    while True:
        reported.update(stream.skip(tasks.look))
        stream.own = tasks.unfreed
        if reported >= wanted or stream.lost != lost:
            return []
        if time.monotonic() > deadline:
            return [hook for hook in hooks if hook.name in wanted - reported]
        time.sleep(_POLL_S)


def _exercise_tasks() -> None:
    """Fork, setpgid, setsid, exec by a thread, exit, reap."""
    reader, writer = os.pipe()  # the exec closes it: end of file
    child = os.fork()
    if child == 0:
        _child(_act)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _act() -> None:
    group = os.getpgrp()
    os.setpgid(0, 0)
    with contextlib.suppress(PermissionError):  # it was an orphan's of another session
        os.setpgid(0, group)
        os.setsid()
    thread = threading.Thread(target=os.execv, args=("/proc/self/exe", ["pidscope", "-ISc", ""]))
    thread.start()
    thread.join()


def _exercise_namespaces() -> bool:
    """Let a namespace's first process be born and end; False: none may be made here."""
    child = os.fork()
    if child == 0:
        _child(_make_namespace)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def exercise_errors() -> bool:
    """Let a fork fail in alloc_pid(), and so in copy_process(); False: clone3() is refused."""
    numbers = (ctypes.c_int * _NR_SET_TID)()
    # struct clone_args (include/uapi/linux/sched.h): what is asked for comes last
    args = (ctypes.c_uint64 * 10)(
        *(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), ctypes.addressof(numbers), _NR_SET_TID
    )
    libc = ctypes.CDLL(None, use_errno=True)
    child = libc.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(args), ctypes.sizeof(args))
    if child == 0:
        os._exit(1)
    if child > 0:
        os.waitpid(child, 0)
    return child < 0 and ctypes.get_errno() == errno.EINVAL


def _make_namespace() -> None:
    if ctypes.CDLL(None).unshare(_CLONE_NEWPID) != 0:
        os._exit(1)
    init = os.fork()
    if init == 0:
        os._exit(0)
    os.waitpid(init, 0)
    os._exit(0)


def _child(act: Callable[[], None]) -> None:
    """Whatever happens in a child of ours, it never comes back."""
    try:
        act()
    finally:
        os._exit(1)
