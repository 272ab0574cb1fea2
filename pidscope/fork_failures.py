"""Why a fork failed, as far as that can be told from outside.

Pure. ``copy_process()`` (kernel/fork.c) tells only an errno, and several bounds have the same one:

- before ``alloc_pid()``: flags that do not go together (EINVAL), a pending signal
  (ERESTARTNOINTR), RLIMIT_NPROC and threads-max (EAGAIN), a right that is missing (EPERM), new
  namespaces (``copy_pid_ns()``: ENOSPC beyond 32 levels or user.max_pid_namespaces);
- in it: no number is free at one level (EAGAIN), the namespace's number 1 has exited (ENOMEM), the
  numbers asked for by set_tid cannot be had (EINVAL, EEXIST, EPERM). `PidRefused` tells of these;
- behind it: a pointer that faults (EFAULT), pids.max of a cgroup (EAGAIN), a fatal signal (EINTR),
  and again a namespace that dies (ENOMEM).

What follows from the errno and the stage alone is certain; what is read afterwards, and may have
changed since, makes it likely; where neither helps it is not known, and that is what is said.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from pidscope.event import (
    Event,
    ForkFailed,
    Lost,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidRefused,
)
from pidscope.table import Table

_CLONE_THREAD = 0x00010000  # include/uapi/linux/sched.h
_CLONE_NEWPID = 0x20000000
_CLONE_OTHER_NEW = 0x5E020000  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWNET
_MAX_PID_NS_LEVEL = 32  # include/linux/pid_namespace.h
_ERESTARTNOINTR = 513  # include/linux/errno.h
# As include/uapi/asm-generic/errno.h has it; Python calls these two ENOTSUP and EDEADLOCK.
_KERNELS_OWN = {
    _ERESTARTNOINTR: "ERESTARTNOINTR",
    errno.EOPNOTSUPP: "EOPNOTSUPP",
    errno.EDEADLK: "EDEADLK",
}
_REMEMBERED = 1024
_FOLLOWED = (PidAttached, PidRefused, PidAllocated, ForkFailed, NamespaceDying, Lost)


class Stage(enum.Enum):
    """How far ``copy_process()`` had come, as the stream told."""

    UNKNOWN = "unknown"  # no single steps are told: before alloc_pid() or behind it
    BEFORE = "before"
    REFUSED = "refused"
    BEHIND = "behind"


class PidsLimit(NamedTuple):
    """One cgroup of the pids controller, as it was read after the failure."""

    path: str  # escaped
    max: int | None  # None: no limit
    current: int | None  # None: it could not be read

    @property
    def is_reached(self) -> bool:
        """Whether it lets nobody in."""
        return None not in (self.max, self.current) and (self.current or 0) >= (self.max or 0)


class Known(enum.Enum):
    """How sure a reason is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    NOT = "not known"


class Reason(NamedTuple):
    """Why a fork failed.

    ``causes`` are named as the kernel names them: of several, one is it. ``cgroup`` and ``limit``
    are those of a pids.max.
    """

    known: Known
    causes: tuple[str, ...]
    text: str
    cgroup: str | None = None
    limit: int | None = None

    @property
    def sentence(self) -> str:
        """The text, and in words how sure it is."""
        return {
            Known.CERTAIN: self.text,
            Known.LIKELY: f"likely {self.text}",
            Known.NOT: f"not known: {self.text}",
        }[self.known]

    @property
    def short(self) -> str:
        """The cause in a word, with a question mark unless it is certain; empty: no single one."""
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


Cgroups = Callable[[], Optional[Sequence[PidsLimit]]]
"""Reads a forker's own cgroup and those above it; None: they could not be read."""


class Facts(NamedTuple):
    """What the stream and the table tell of a failed fork; None: not known."""

    stage: Stage
    home: int | None  # inum of the namespace that the forker lives in
    level: int | None  # of the namespace of its children
    dead: bool  # as far as is known, that one has no number 1 that is alive


class Attempts:
    """Follows what is told of forks on their way, to know at which stage one failed.

    Args:
        steps: whether successes of ``alloc_pid()`` are told, too.
    """

    def __init__(self, steps: bool) -> None:
        self._otherwise = Stage.BEFORE if steps else Stage.UNKNOWN
        self._stages: dict[int, Stage] = {}  # by the forker's number
        self._dying: dict[int, None] = {}  # inums, as an ordered set

    def add(self, event: Event) -> None:
        """Follow one event; a failure itself once it has been asked for."""
        if not isinstance(event, _FOLLOWED):
            return  # most are not
        if isinstance(event, PidAttached):
            if event.birth is not None:
                self._stages.pop(event.by, None)
                if event.pid.numbers[-1] == 1:
                    self._dying.pop(event.pid.ns, None)
        elif isinstance(event, PidRefused):
            self._remember(event.by, Stage.REFUSED)
        elif isinstance(event, PidAllocated):
            self._remember(event.by, Stage.BEHIND)
        elif isinstance(event, ForkFailed):
            self._stages.pop(event.by, None)
        elif isinstance(event, NamespaceDying):
            self._dying[event.ns] = None
            _trim(self._dying)
        elif isinstance(event, Lost):
            self._stages.clear()

    def facts(self, event: ForkFailed, table: Table) -> Facts:
        """Return what is known of a failure before it is added."""
        task = table.task(event.by)
        home = task.pid.ns if task is not None and task.pid is not None else None
        ns = table.namespaces.get(event.children_ns)
        first = ns.pids.get(1) if ns is not None else None
        return Facts(
            self._stages.get(event.by, self._otherwise),
            None if home is None else home.inum,
            None if ns is None else ns.level,
            event.children_ns in self._dying or first is None or first.task is None,
        )

    def _remember(self, by: int, stage: Stage) -> None:
        self._stages[by] = stage
        _trim(self._stages)


def _trim(remembered: dict[int, Stage] | dict[int, None]) -> None:
    """Forget the oldest: the end of a fork may never be told where a hook is missing."""
    if len(remembered) > _REMEMBERED:
        del remembered[next(iter(remembered))]


def errno_name(number: int) -> str:
    """Return what an errno is called, the kernel's own among them."""
    return _KERNELS_OWN.get(number) or errno.errorcode.get(number, str(number))


def reason(event: ForkFailed, facts: Facts, cgroups: Cgroups) -> Reason:
    """Return why a fork failed; ``cgroups`` is called only if a pids.max may be it."""
    if facts.stage is Stage.REFUSED:
        return _of_alloc_pid(event, facts)
    if event.errno == errno.EAGAIN:
        return _of_limits(facts.stage, cgroups)
    if event.errno == errno.ENOSPC:
        return _of_namespaces(event, facts)
    if event.errno == errno.EINVAL:
        return _of_flags(event, facts)
    if event.errno == errno.ENOMEM:
        return _of_memory(event, facts)
    return _OTHERS.get(event.errno, Reason(Known.NOT, (), "nothing here tells why"))


def _of_alloc_pid(event: ForkFailed, facts: Facts) -> Reason:
    if event.errno == errno.EAGAIN:
        ns = f"pid:[{event.children_ns}]"
        more = "" if facts.level == 0 else " or in one around it"
        return Reason(Known.CERTAIN, ("pid_max",), f"pid_max: no number is free in {ns}{more}")
    if event.errno == errno.ENOMEM:
        return _of_memory(event, facts)
    if event.errno == errno.EEXIST:
        return Reason(Known.CERTAIN, ("set_tid",), "set_tid: the number asked for is taken")
    if event.errno == errno.EINVAL:
        return Reason(Known.LIKELY, ("set_tid",), "set_tid: the number asked for cannot be had")
    if event.errno == errno.EPERM:
        return Reason(
            Known.LIKELY, ("set_tid",), "set_tid: the right to choose a number is missing"
        )
    return Reason(Known.NOT, (), "alloc_pid() refused")


def _of_memory(event: ForkFailed, facts: Facts) -> Reason:
    """ENOMEM is what a dead namespace gives, too."""
    if facts.dead:
        text = f"a dead namespace: no number 1 lives in pid:[{event.children_ns}]"
        return Reason(Known.LIKELY, ("number 1",), text)
    return Reason(Known.LIKELY, ("memory",), "want of memory: the namespace's number 1 is alive")


def _of_limits(stage: Stage, read: Cgroups) -> Reason:
    """EAGAIN, though numbers were free. The kernel charges from the inside outwards."""
    counted = ("RLIMIT_NPROC", "threads-max")
    if stage is Stage.BEFORE:
        return Reason(Known.LIKELY, counted, "RLIMIT_NPROC of its user, or threads-max")
    cgroups = read()
    for cgroup in cgroups or ():
        if cgroup.is_reached:
            limit, path = cgroup.max, cgroup.path
            text = f"pids.max {limit} of {path}, which has {cgroup.current} tasks"
            return Reason(Known.LIKELY, ("pids.max",), text, path, limit)
    if stage is Stage.BEHIND:
        text = "pids.max of its cgroup or one above it, which is no longer reached"
        if cgroups is None:
            text = "pids.max of its cgroup or one above it, which could not be read"
        return Reason(Known.LIKELY, ("pids.max",), text)
    if cgroups is None:
        text = "pids.max of a cgroup, which could not be read, RLIMIT_NPROC or threads-max"
        return Reason(Known.NOT, ("pids.max", *counted), text)
    text = "no pids.max is reached now: RLIMIT_NPROC of its user, threads-max, or it was"
    return Reason(Known.NOT, (*counted, "pids.max"), text)


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
    _ERESTARTNOINTR: Reason(
        Known.CERTAIN, ("signal",), "a signal came first: the call is made again by itself"
    ),
}
