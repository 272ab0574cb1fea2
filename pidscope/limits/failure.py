"""Why a fork failed, as far as that can be concluded from outside.

Pure. ``copy_process()`` (kernel/fork.c) returns only an errno, and several bounds have the same:

- before ``alloc_pid()``: flags that do not go together (EINVAL), a pending signal
  (ERESTARTNOINTR), RLIMIT_NPROC and threads-max (EAGAIN), a right that is missing (EPERM), new
  namespaces (``copy_pid_ns()``: ENOSPC beyond 32 levels or user.max_pid_namespaces);
- in it: no number is free at one level (EAGAIN), the namespace's number 1 has exited (ENOMEM), the
  numbers asked for by set_tid cannot be had (EINVAL, EEXIST, EPERM). `PidRefused` reports these;
- after it: a pointer that faults (EFAULT), pids.max of a cgroup (EAGAIN), a fatal signal (EINTR),
  and again a namespace that dies (ENOMEM).

The cause is certain if the errno and the stage determine it, likely if limits support it that are
read afterwards (they may have changed since), otherwise not known.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from pidscope.events import ERESTARTNOINTR, ForkFailed
from pidscope.limits.fork_stage import Facts, Stage
from pidscope.limits.tasks_limit import MAX, PIDS_MAX, RLIMIT_NPROC, THREADS_MAX, Amount, TasksLimit

_CLONE_THREAD = 0x00010000  # include/uapi/linux/sched.h
_CLONE_NEWPID = 0x20000000
_CLONE_INTO_CGROUP = 0x200000000
_CLONE_OTHER_NEW = 0x5E020000  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWNET
_MAX_PID_NS_LEVEL = 32  # include/linux/pid_namespace.h
# As include/uapi/asm-generic/errno.h has it; Python calls these two ENOTSUP and EDEADLOCK.
_KERNELS_OWN = {
    ERESTARTNOINTR: "ERESTARTNOINTR",
    errno.EOPNOTSUPP: "EOPNOTSUPP",
    errno.EDEADLK: "EDEADLK",
}


class Known(enum.Enum):
    """How certain a reason is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    NOT = "not known"


class Reason(NamedTuple):
    """Why a fork failed.

    ``causes`` have the kernel's names; of several, one is the cause. ``limit`` is the number that
    was reached, ``cgroup`` the path of the cgroup if it is a pids.max.
    """

    known: Known
    causes: tuple[str, ...]
    text: str
    cgroup: str | None = None
    limit: int | None = None

    @property
    def sentence(self) -> str:
        """The text, preceded by how certain it is."""
        return {
            Known.CERTAIN: self.text,
            Known.LIKELY: f"likely {self.text}",
            Known.NOT: f"not known: {self.text}",
        }[self.known]

    @property
    def short(self) -> str:
        """The cause in one word, with ``?`` unless it is certain; empty: no single one."""
        if len(self.causes) != 1 or self.known is Known.NOT:
            return ""
        return self.causes[0] + ("" if self.known is Known.CERTAIN else "?")


def reason_json(why: Reason) -> dict[str, Any]:
    """Return a reason as JSON has it."""
    return {
        "known": why.known.value,
        "causes": list(why.causes),
        "cgroup": why.cgroup,
        "limit": why.limit,
        "text": why.text,
    }


Counted = Callable[[], Sequence[TasksLimit]]
"""Reads RLIMIT_NPROC of a forker's user and threads-max, as far as they hold and can be read."""
Cgroups = Callable[[], Optional[Sequence[TasksLimit]]]
"""Reads a forker's own cgroup and those above it; None: they could not be read."""


def errno_name(number: int) -> str:
    """Return the name of an errno, also of those that the kernel keeps to itself."""
    return _KERNELS_OWN.get(number) or errno.errorcode.get(number, str(number))


def reason(event: ForkFailed, facts: Facts, counted: Counted, cgroups: Cgroups) -> Reason:
    """Return why a fork failed; ``counted`` and ``cgroups`` are called only if they may matter."""
    if facts.stage is Stage.REFUSED:
        return _of_alloc_pid(event, facts)
    if event.errno == errno.EAGAIN:
        into = event.flags & _CLONE_INTO_CGROUP  # another cgroup than its own: no event reports it
        return _of_limits(facts.stage, counted, _unread if into else cgroups)
    if event.errno == errno.ENOSPC:
        return _of_namespaces(event, facts)
    if event.errno == errno.EINVAL:
        return _of_flags(event, facts)
    if event.errno == errno.ENOMEM:
        return _of_memory(event, facts)
    return _OTHERS.get(event.errno, Reason(Known.NOT, (), "nothing here tells why"))


_SET_TID = {
    errno.EEXIST: Reason(Known.CERTAIN, ("set_tid",), "set_tid: the number asked for is taken"),
    errno.EINVAL: Reason(Known.LIKELY, ("set_tid",), "set_tid: the number asked for cannot be had"),
    errno.EPERM: Reason(
        Known.LIKELY, ("set_tid",), "set_tid: the right to choose a number is missing"
    ),
}


def _of_alloc_pid(event: ForkFailed, facts: Facts) -> Reason:
    if event.errno == errno.EAGAIN:
        ns = f"pid:[{event.children_ns}]"
        more = "" if facts.level == 0 else " or in one around it"
        return Reason(Known.CERTAIN, ("pid_max",), f"pid_max: no number is free in {ns}{more}")
    if event.errno == errno.ENOMEM:
        return _of_memory(event, facts)
    return _SET_TID.get(event.errno, Reason(Known.NOT, (), "alloc_pid() refused"))


def _of_memory(event: ForkFailed, facts: Facts) -> Reason:
    """ENOMEM also comes from a namespace whose number 1 has exited."""
    if facts.dead:
        text = f"a dead namespace: no number 1 lives in pid:[{event.children_ns}]"
        return Reason(Known.LIKELY, ("number 1",), text)
    return Reason(Known.LIKELY, ("memory",), "want of memory: the namespace's number 1 is alive")


def _unread() -> None:
    """Read no cgroups."""


def _of_limits(stage: Stage, counted: Counted, read: Cgroups) -> Reason:
    """Return the reason of EAGAIN though numbers were free, in the order of the kernel's checks."""
    names = (RLIMIT_NPROC, THREADS_MAX)
    reached = None if stage is Stage.BEHIND else _reached(counted())
    if reached is not None:
        return reached
    if stage is Stage.BEFORE:
        return Reason(Known.LIKELY, names, f"{RLIMIT_NPROC} of its user, or {THREADS_MAX}")
    cgroups = read()
    found = _reached(cgroups or ()) or _refused(cgroups or ())
    if found is not None:
        return found
    if stage is Stage.BEHIND:
        now = "could not be read" if cgroups is None else "is no longer reached"
        text = f"pids.max of its cgroup or one above it, which {now}"
        return Reason(Known.LIKELY, (PIDS_MAX,), text)
    if cgroups is None:
        text = "pids.max of a cgroup, which could not be read, RLIMIT_NPROC or threads-max"
        return Reason(Known.NOT, (PIDS_MAX, *names), text)
    text = "RLIMIT_NPROC of its user, threads-max, or pids.max: none is seen to be reached now"
    return Reason(Known.NOT, (*names, PIDS_MAX), text)


def _refused(cgroups: Sequence[TasksLimit]) -> Reason | None:
    """Return what pids.events shows of a limit that is no longer reached, since a task has exited.

    Since 6.11 the cgroup with the limit counts a refusal, before that the forker's cgroup
    (``pids_event()``, kernel/cgroup/pids.c).
    """
    refusing = [it for it in cgroups if it.events_local]
    if refusing:
        it = min(refusing, key=lambda it: MAX if it.room is None else it.room)
        text = f"pids.max of {it.of}, which has refused {it.events_local} forks so far"
        return Reason(Known.LIKELY, (PIDS_MAX,), text, it.of, _finite(it.max))
    own = cgroups[0] if cgroups else None
    if own is not None and own.events_local is None and own.events:
        text = f"pids.max of {own.of} or of one above it: {own.events} forks refused so far"
        return Reason(Known.LIKELY, (PIDS_MAX,), text)
    return None


def _reached(limits: Sequence[TasksLimit]) -> Reason | None:
    """Return the first limit that is reached; cgroups are charged from the inside outwards."""
    for it in limits:
        if it.is_reached:
            text = f"{it.name} {it.max} of {it.of}, which has {it.current} tasks"
            cgroup = it.of if it.name == PIDS_MAX else None
            return Reason(Known.LIKELY, (it.name,), text, cgroup, _finite(it.max))
    return None


def _finite(amount: Amount) -> int | None:
    return None if amount is None or amount == MAX else int(amount)


def _of_namespaces(event: ForkFailed, facts: Facts) -> Reason:
    if not event.flags & _CLONE_NEWPID:
        text = "a limit of new namespaces (/proc/sys/user)"
        return Reason(Known.LIKELY, ("max_*_namespaces",), text)
    if facts.level == _MAX_PID_NS_LEVEL:
        text = f"depth: pid:[{event.children_ns}] is at level {facts.level}, the last there is"
        return Reason(Known.CERTAIN, ("MAX_PID_NS_LEVEL",), text)
    if event.flags & _CLONE_OTHER_NEW:
        text = "max_pid_namespaces of its user, or the limit of the other namespaces asked for"
        return Reason(Known.LIKELY, ("max_pid_namespaces", "max_*_namespaces"), text)
    if facts.level is None:
        text = "max_pid_namespaces of its user, or depth (32 levels)"
        return Reason(Known.LIKELY, ("max_pid_namespaces", "MAX_PID_NS_LEVEL"), text)
    return Reason(Known.LIKELY, ("max_pid_namespaces",), "max_pid_namespaces of its user")


def _of_flags(event: ForkFailed, facts: Facts) -> Reason:
    diverted = facts.home is not None and facts.home != event.children_ns
    if diverted and event.flags & (_CLONE_THREAD | _CLONE_NEWPID):
        what = "thread" if event.flags & _CLONE_THREAD else "PID namespace"
        text = f"no new {what} after unshare or setns: children go to pid:[{event.children_ns}]"
        return Reason(Known.LIKELY, ("pid_ns_for_children",), text)
    return Reason(Known.LIKELY, ("arguments",), "the call's arguments do not go together")


_OTHERS = {
    errno.EFAULT: Reason(Known.LIKELY, ("arguments",), "a pointer among the call's arguments"),
    errno.EPERM: Reason(Known.LIKELY, ("privilege",), "a right that is missing, as CAP_SYS_ADMIN"),
    errno.EINTR: Reason(Known.CERTAIN, ("signal",), "a fatal signal came first"),
    ERESTARTNOINTR: Reason(
        Known.CERTAIN, ("signal",), "a signal came first: the call is made again by itself"
    ),
}
