"""Workloads across the border of a namespace: processes that enter it, and its death."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family, check, stay
from pidscope_dev.workload.workload import Options, Workload, exactly

MEMBERS = 4
DEEP_MEMBERS = 3
LEVELS = 3
ENTERED_LEVELS = (2, 3)


class _Passed:
    """A namespace that one process passes to another (SCM_RIGHTS)."""

    def __init__(self, family: Family) -> None:
        self._sender, self._receiver = map(family.keep, socket.socketpair(type=socket.SOCK_DGRAM))

    def send_own(self) -> None:
        """Pass the caller's namespace."""
        with open("/proc/self/ns/pid") as file:
            socket.send_fds(self._sender, [b"."], [file.fileno()])

    def enter(self) -> None:
        """Let the children to come be born in the namespace that was passed."""
        _, descriptors, _, _ = socket.recv_fds(self._receiver, 1, 1)
        syscalls.enter_pid_namespace(descriptors[0])
        os.close(descriptors[0])


@dataclass(frozen=True)
class _Signs:
    """What the processes of `dying-init` signal to each other, in this order."""

    populated: Channel
    """The init to the intruder: all are there, and the namespace was passed."""
    entered: Channel
    """The intruder to the owner: a child of mine is in there too."""
    hit: Channel
    """The intruder to the owner: it was killed, and I have not reaped it."""
    checked: Channel
    """The owner to the intruder: reap it."""
    dead: Channel
    """The owner to the intruder: the init is reaped."""


def run_dying_init(family: Family, options: Options) -> None:
    """An init is killed; it ends only when an outside parent has reaped a process in there."""
    namespace = _Passed(family)
    signs = _Signs(*(family.channel() for _ in range(5)))
    intruder = family.fork(lambda: _intrude(family, namespace, signs))
    owner = family.fork(lambda: _own(family, namespace, signs))
    family.reap(owner, intruder)


def _own(family: Family, namespace: _Passed, signs: _Signs) -> None:
    """The parent of the init: kills it when all are there."""
    syscalls.unshare_pid_namespace()
    init = family.fork(lambda: _populate(family, namespace, signs.populated))
    signs.entered.receive()
    os.kill(init, signal.SIGKILL)
    signs.hit.receive()
    # zap_pid_ns_processes has begun, for it killed the intruder's child, and it waits for that one.
    check(os.waitpid(init, os.WNOHANG) == (0, 0), "init was reaped before the last of its members")
    family.refuse_fork(errno.ENOMEM)
    signs.checked.send()
    family.reap(init, killed_by=signal.SIGKILL)
    family.refuse_fork(errno.ENOMEM)
    signs.dead.send()


def _intrude(family: Family, namespace: _Passed, signs: _Signs) -> None:
    """An outside process with a child in the namespace, which it reaps late."""
    ready, never = family.channel(), family.channel()
    signs.populated.receive()
    namespace.enter()
    child = family.fork(lambda: stay(ready, never))
    ready.receive()
    signs.entered.send()
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    family.refuse_fork(errno.ENOMEM)
    signs.hit.send()
    signs.checked.receive()
    family.reap(child, killed_by=signal.SIGKILL)
    signs.dead.receive()
    family.refuse_fork(errno.ENOMEM)


def _populate(family: Family, namespace: _Passed, populated: Channel) -> None:
    """The init: members, and a deeper namespace with members."""
    ready, never = family.channel(), family.channel()
    for _ in range(MEMBERS):
        family.fork(lambda: stay(ready, never))
    family.fork(lambda: _populate_deeper(family, ready, never))
    ready.collect(MEMBERS + DEEP_MEMBERS)
    namespace.send_own()
    populated.send()
    never.receive()


def _populate_deeper(family: Family, ready: Channel, never: Channel) -> None:
    """A member with a namespace below, whose init has members."""

    def init() -> None:
        for _ in range(DEEP_MEMBERS):
            family.fork(lambda: stay(ready, never))
        never.receive()

    syscalls.unshare_pid_namespace()
    family.fork(init)
    never.receive()


def run_injected(family: Family, options: Options) -> None:
    """Processes enter levels 2 and 3 from outside; their parent dies, then they do."""
    finish = family.channel()
    ready = family.channel()
    namespaces = {level: _Passed(family) for level in ENTERED_LEVELS}
    outside = family.fork(lambda: _descend(family, 1, namespaces, ready, finish))
    ready.receive()
    for level in ENTERED_LEVELS:
        _inject(family, namespaces[level])
    finish.give(LEVELS)
    family.reap(outside)


def _descend(
    family: Family, level: int, namespaces: dict[int, _Passed], ready: Channel, finish: Channel
) -> None:
    """Make the namespaces of levels 1 to 3; each init reaps what comes to it until the sign."""

    def init() -> None:
        if level in namespaces:
            namespaces[level].send_own()
        if level == LEVELS:
            ready.send()
        else:
            family.fork(lambda: _descend(family, level + 1, namespaces, ready, finish))
        finish.receive()
        _reap_all()

    family.in_new_namespace(init)


def _reap_all() -> None:
    """Wait for every child there is; raises Failure if one ended badly."""
    while True:
        try:
            _, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        check(status == 0, f"an orphan ended with wait status {status:#x}")


def _inject(family: Family, namespace: _Passed) -> None:
    """Make one injected process with a child; see where each goes when its parent dies."""
    born, orphaned, orphan_is_well = family.channel(), family.channel(), family.channel()
    left, child_is_well = family.channel(), family.channel()

    def child() -> None:
        os.setpgid(0, 0)
        left.receive()
        check(os.getppid() == 1, "the child of an injected process did not go to the inner init")
        child_is_well.send()

    def injected() -> None:
        os.setsid()
        check(os.getppid() == 0 and os.getsid(0) == os.getpid() != 1, "not injected")
        family.fork(child, outlives=True)
        orphaned.receive()
        check(os.getppid() == 0, "an injected orphan did not go to the outside reaper")
        orphan_is_well.send()

    family.reap(family.fork(lambda: _enter_and_leave(family, namespace, injected, born)))
    (pid,) = born.receive()
    orphaned.send()
    orphan_is_well.receive()
    family.reap(pid)
    left.send()
    child_is_well.receive()


def _enter_and_leave(
    family: Family, namespace: _Passed, injected: Callable[[], None], born: Channel
) -> None:
    """The parent that dies at once."""
    namespace.enter()
    born.send(family.fork(injected, outlives=True))


DYING_INIT = Workload(
    "dying-init",
    run_dying_init,
    "an init dies; an outside parent of a member delays it",
    exactly(2 + 1 + MEMBERS + 2 + DEEP_MEMBERS + 1, failed_forks=4, namespaces=2),
)
INJECTED = Workload(
    "injected",
    run_injected,
    "processes enter levels 2 and 3 from outside",
    exactly(3 + 3 + 2 * 3, change_pid=2 * 3, namespaces=3),
)
