"""Faults to plant in the model: the differential test must find each within a minute.

Each is a mistake that an author who knows the kernel less well could make. They are functions to
put in the place of the model's, by name. A name that is imported from a module stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

from pidscope.events import PidType
from pidscope.model import exec as exec_
from pidscope.model import exit, fork, idr, nsproxy, pid, signal, sys, syscalls, wait
from pidscope.model.exit import find_new_reaper
from pidscope.model.fork import check_flags, link, reserve
from pidscope.model.nsproxy import sys_unshare
from pidscope.model.pid import (
    PIDTYPE_PID,
    Pid,
    _take,
    exchange_tids,
    find_task_by_vpid,
    task_session,
)
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.sched import SIGKILL, TaskStruct, same_thread_group
from pidscope.model.signal import send_signal
from pidscope.model.sys import _may_setpgid, sys_setpgid, sys_setsid


def _next_above_reserved(self: idr.Idr, pid_max: int) -> int | None:
    """The wrap goes to 300 also if the cursor is just there."""
    lowest = idr.RESERVED_PIDS if self.cursor >= idr.RESERVED_PIDS else 1
    numbers = (*range(max(self.cursor, lowest), pid_max), *range(lowest, self.cursor))
    free = next((nr for nr in numbers if nr not in self.pids), None)
    self.cursor = self.cursor if free is None else free + 1
    return free


def _without_subreapers(father: TaskStruct, child_reaper: TaskStruct) -> TaskStruct:
    return exit.find_alive_thread(father) or child_reaper


def _without_threads(father: TaskStruct, child_reaper: TaskStruct) -> TaskStruct:
    with mock.patch.object(exit, "find_alive_thread", lambda p: None if p is father else p):
        return find_new_reaper(father, child_reaper)


def _across_namespaces(father: TaskStruct, child_reaper: TaskStruct) -> TaskStruct:
    """The nearest subreaper, wherever it lives (as before 4.11)."""
    thread = exit.find_alive_thread(father)
    reaper = father.real_parent
    while thread is None and reaper.real_parent is not reaper:
        thread = exit.find_alive_thread(reaper) if reaper.signal.is_child_subreaper else None
        reaper = reaper.real_parent
    return thread or child_reaper


def _exchange_outermost(left: TaskStruct, right: TaskStruct) -> None:
    """Only what the host and the first level see is exchanged."""
    exchange_tids(left, right)
    one, two = left.thread_pid, right.thread_pid
    assert one is not None and two is not None
    one.numbers, two.numbers = one.numbers[:2] + two.numbers[2:], two.numbers[:2] + one.numbers[2:]


def _free_though_held(self: idr.Idr, nr: int, pid_max: int) -> int | None:
    """A number is free once its process is gone, though a group or a session has it still."""
    while nr in self.pids and self.pids[nr].tasks[PIDTYPE_PID]:
        nr += 1
    return nr if nr < pid_max else None


def _any_session(p: TaskStruct, group_leader: TaskStruct) -> None:
    """setpgid() of a child that is in another session."""
    with mock.patch.object(sys, "task_session", lambda task: None):
        _may_setpgid(p, group_leader)


def _group_of_any_session(current: TaskStruct, nr: int, pgid: int) -> int:
    """setpgid() into a group of another session."""
    asked = iter((True, True))  # what _may_setpgid() asks for: the target's and the caller's

    def forgets(task: TaskStruct) -> Pid | None:
        return task_session(task) if next(asked, False) else None

    child = find_task_by_vpid(nr, current)
    if child is None or not same_thread_group(child.real_parent, current):
        next(asked), next(asked)  # it will not ask
    with mock.patch.object(sys, "task_session", forgets):
        return sys_setpgid(current, nr, pgid)


def _rewind(
    proxy: nsproxy.NsProxy, current: TaskStruct, set_tid: Sequence[int], bad_pidfd: bool
) -> Pid:
    """A fork that fails gives its numbers back to the cursors."""
    cursors = {ns: ns.allocator.last_pid for ns in proxy.pid_ns_for_children.outwards()}
    try:
        return reserve(proxy, current, set_tid, bad_pidfd)
    except OSError:
        for ns, last_pid in cursors.items():
            ns.allocator.last_pid = last_pid
        raise


def _take_moves_cursor(ns: PidNamespace, nr: int) -> int:
    taken = _take(ns, nr)
    ns.allocator.last_pid = taken
    return taken


def _forgetful_link(p: TaskStruct, current: TaskStruct, own: Pid) -> None:
    """has_child_subreaper is not inherited."""
    link(p, current, own)
    p.signal.has_child_subreaper = False


def _setsid_of_leader(current: TaskStruct) -> int:
    """setsid() by a group's leader."""
    with mock.patch.object(sys, "pid_task", lambda *_: None):
        return sys_setsid(current)


def _sibling_of_init(current: TaskStruct, flags: int) -> None:
    """CLONE_PARENT by an init is allowed."""
    check_flags(current, flags & ~fork.CLONE_PARENT)


def _thread_anywhere(current: TaskStruct, flags: int) -> None:
    """CLONE_THREAD after unshare() or setns() is allowed."""
    check_flags(current, flags & ~fork.CLONE_THREAD)


def _unshare_process(current: TaskStruct, flags: int) -> int:
    """unshare() moves the children of all threads."""
    result = sys_unshare(current, flags)
    assert current.nsproxy is not None
    for thread in current.signal.threads:
        if thread is not current and thread.nsproxy is not None:
            current.nsproxy.count += 1
            nsproxy.switch_task_namespaces(thread, current.nsproxy)
    return result


def _setns_anywhere(current: TaskStruct, ns: PidNamespace) -> int:
    """setns() to an outer namespace."""
    ns.count += 1
    nsproxy.switch_task_namespaces(current, nsproxy.NsProxy(ns))
    return 0


def _heard_by_init(current: TaskStruct, t: TaskStruct, sig: int) -> None:
    """SIGKILL from inside ends an init."""
    if sig == SIGKILL and t.signal.live:
        exit.complete_signal(t, sig)
    else:
        send_signal(current, t, sig)


def _oldest_first(of: Pid | None, kind: PidType) -> list[TaskStruct]:
    """A group's members are killed in the order in which they have joined."""
    return list(of.tasks[kind]) if of is not None else []


def _deaf_init(current: TaskStruct, t: TaskStruct, sig: int) -> None:
    """SIGKILL from outside does not reach an init."""
    if not t.signal.unkillable:
        send_signal(current, t, sig)


FAULTS: dict[str, tuple[object, str, object]] = {
    "wrap-to-1": (idr, "RESERVED_PIDS", 1),
    "wrap-at-300": (idr.Idr, "next", _next_above_reserved),
    "no-subreapers": (exit, "find_new_reaper", _without_subreapers),
    "subreapers-across": (exit, "find_new_reaper", _across_namespaces),
    "subreapers-not-inherited": (fork, "link", _forgetful_link),
    "orphans-leave-threads": (exit, "find_new_reaper", _without_threads),
    "exchange-outermost": (exec_, "exchange_tids", _exchange_outermost),
    "free-though-held": (idr.Idr, "_free_from", _free_though_held),
    "setpgid-any-session": (sys, "_may_setpgid", _any_session),
    "setpgid-any-group": (syscalls.SYSCALLS, "setpgid", _group_of_any_session),
    "setsid-of-leader": (syscalls.SYSCALLS, "setsid", _setsid_of_leader),
    "failed-fork-rewinds": (fork, "reserve", _rewind),
    "set-tid-moves-cursor": (pid, "_take", _take_moves_cursor),
    "sibling-of-init": (fork, "check_flags", _sibling_of_init),
    "thread-anywhere": (fork, "check_flags", _thread_anywhere),
    "unshare-process": (syscalls.SYSCALLS, "unshare", _unshare_process),
    "setns-anywhere": (syscalls.SYSCALLS, "setns", _setns_anywhere),
    "dead-ns-lives": (exit, "disable_pid_allocation", lambda ns: None),
    "init-hears": (signal, "send_signal", _heard_by_init),
    "init-is-deaf": (signal, "send_signal", _deaf_init),
    "oldest-first": (signal, "_attached", _oldest_first),
    "wait-own-only": (wait, "threads_from", lambda current: [current]),
    "leader-does-not-wait": (wait, "delay_group_leader", lambda p: False),
}
"""What is replaced, where, and by what."""


def planted(name: str | None) -> AbstractContextManager[object]:
    """The model with this fault; without a name, as it is."""
    if name is None:
        return nullcontext()
    where, what, replacement = FAULTS[name]
    if isinstance(where, dict):
        return mock.patch.dict(where, {what: replacement})
    return mock.patch.object(where, what, replacement)
