"""The numbers that a process's children will need, read from a host's /proc.

No process is forked into another namespace, though since 6.14, where each namespace has its own
pid_max, it can only be read from inside.
"""

from __future__ import annotations

import os

from pidscope.errors import BtfError
from pidscope.host.cgroup import parse_amount
from pidscope.host.ns_chain import children_ns_parents
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import read_whole
from pidscope.limits.bounds import Everyone, PidNsNumbers, numbers_in_use
from pidscope.query.process import Process
from pidscope.snapshot import Mount, is_ending

_BTF = "/sys/kernel/btf/vmlinux"
_CLONE_NEWPID = 0x20000000  # include/uapi/linux/sched.h


def children_chain(
    procfs: ProcFs, task: Process, everyone: Everyone, exiting: bool | None
) -> list[int | None]:
    """Return the namespace of a task's children, and those around it, outwards.

    None stands for one that is not known. If unshare or setns sends the children elsewhere, it is
    to a namespace inside the task's own (``pidns_install()``). A task that is exiting has no
    nsproxy any more (``exit_task_namespaces()``).
    """
    active: list[int | None] = [level.ns for level in reversed(task.levels)]
    children = procfs.children_ns(task.tid)
    if exiting or children == active[0]:  # or neither is known
        return active
    inner: list[int | None] = [children]
    parents = {**children_ns_parents(procfs.root, task.tid), **everyone.ns_parents}
    while inner[-1] is not None and inner[-1] != active[0]:
        parent = parents.get(inner[-1])
        inner.append(parent if parent not in inner else None)
    return [*inner[:-1], *active] if inner[-1] is not None else [*inner, *active]


def level_of(ns: int | None, everyone: Everyone) -> int | None:
    """Return how deep a namespace is, by a task that lives in it; None: no such task is visible."""
    depths = (len(it.levels) - 1 for it in everyone.processes if it.ns == ns)
    return None if ns is None else next(depths, None)


def read_numbers(
    procfs: ProcFs, chain: list[int | None], everyone: Everyone, mount: Mount
) -> list[PidNsNumbers]:
    """Return the numbers in each namespace of a chain, as far as they are known."""
    own = mount.ns if mount.inside is None else mount.inside
    pid_max = sysctl(procfs, "kernel/pid_max")  # of the reader's namespace, whatever mount it is
    everywhere = (
        None
        if set(chain) <= {own} or has_field("pid_namespace", "pid_max") is not False
        else pid_max
    )
    found = []
    for ns in chain:
        used = set() if ns is None else numbers_in_use(everyone.processes, ns)
        is_own = ns is not None and ns == own
        # A task outside the mount can use a number inside only as its group or session. In the
        # outermost, a task's number is known even if its namespace cannot be read.
        all_seen = everyone.all_read or (ns == mount.ns and everyone.nobody_hidden)
        all_seen = all_seen and ns is not None and mount.initial is True
        last_pid = procfs.last_pid() if is_own else None
        found.append(PidNsNumbers(ns, used, all_seen, pid_max if is_own else everywhere, last_pid))
    if not mount.initial:
        found.append(PidNsNumbers(None, (), False, None, None))  # those around the mount's
    return found


def has_field(struct: str, field: str) -> bool | None:
    """Return whether a structure of the running kernel has a field; None: not known."""
    from pidscope.host.btf import Btf  # few answers need it

    data = read_whole(_BTF)
    try:
        btf = None if data is None else Btf(data)
    except BtfError:
        return None
    if btf is None or not btf.has("pid_namespace", "level"):
        return None
    return btf.has(struct, field)


def is_adding(
    procfs: ProcFs, ns: int | None, lives_in: int | None, everyone: Everyone, mount: Mount
) -> bool | None:
    """Return whether a namespace takes new tasks: its number 1 has a thread that is not exiting.

    None: that is not known.

    Args:
        ns: inum of the namespace, as ``ns/pid_for_children`` gives it if it is not ``lives_in``.
        lives_in: inum of the forker's own.
    """
    for task in everyone.processes:
        if ns is not None and _is_init(task, ns):
            return not is_ending(procfs, task.pid)
    if ns is None or ns == lives_in or not (everyone.all_read and mount.initial):
        return None
    return _has_lost_its_init(procfs, ns, everyone)


def _is_init(task: Process, ns: int) -> bool:
    innermost = task.levels[-1]
    return innermost.ns == ns and innermost.tid == 1


def _has_lost_its_init(procfs: ProcFs, ns: int, everyone: Everyone) -> bool | None:
    """Return False if a namespace in which no number 1 was found has had one: it takes no task.

    Up to 7.0 the link that named it cannot be read before (``pidns_for_children_get()``). The
    number 1 may have been born since the tasks were read: then it takes tasks.
    """
    known = {task.pid for task in everyone.processes}
    for number in set(procfs.numbers()) - known:
        reading = procfs.read(number)
        if reading is not None and reading.ns == ns and reading.status.ns_pid[-1] == 1:
            return True
    return False if can_read_before_init(procfs) is False else None


def can_read_before_init(procfs: ProcFs) -> bool | None:
    """Return whether ``pid_for_children`` can be read before that namespace has a number 1.

    Found by experiment, in a child that makes a namespace, forks nothing into it and ends. None:
    this user may not make one.
    """
    child = os.fork()
    if child == 0:
        answer = 2
        try:
            answer = _unshare_and_read(procfs)
        finally:
            os._exit(answer)
    _, status = os.waitpid(child, 0)
    return {0: True, 1: False}.get(os.waitstatus_to_exitcode(status))


def _unshare_and_read(procfs: ProcFs) -> int:
    try:
        import ctypes  # hardly any answer needs it
    except ImportError:
        return 2
    if ctypes.CDLL(None).unshare(_CLONE_NEWPID) != 0:
        return 2
    try:
        os.readlink(f"{procfs.root}/self/ns/pid_for_children")  # noqa: PTH115
    except FileNotFoundError:
        return 1
    return 0


def sysctl(procfs: ProcFs, name: str) -> int | None:
    """Return the number in a file below /proc/sys; None: none, or it cannot be read."""
    return parse_amount(read_whole(f"{procfs.root}/sys/{name}") or b"")
