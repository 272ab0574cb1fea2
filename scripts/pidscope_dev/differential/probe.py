"""Which kernel is this: its features found by experiment, each in its own world."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable

from pidscope.model.features import Features
from pidscope.model.fork import CLONE_AUTOREAP, CLONE_THREAD
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid_namespace import MAX_PID_NS_LEVEL
from pidscope_dev.differential.puppets import Command, World
from pidscope_dev.differential.state import NotAtRest, State, read_state
from pidscope_dev.differential.theatre import Theatre

PID_MAX = "sys/kernel/pid_max"


def find_features(theatre: Theatre) -> Features:
    """Try out whatever kernels are known to differ in."""
    found: dict[str, Any] = {}
    for name, probe in PROBES.items():
        with theatre.new_world() as world:
            found[name] = probe(world)
    return Features(bitmap_allocator=False, **found)


def _pid_max_per_ns(world: World) -> bool:
    """Change the world's and look at our own."""
    ours = int(Path("/proc", PID_MAX).read_text())
    value = world.call(world.first, Command("WRITE_SYSCTL", ours - 1, path=PID_MAX))
    changed = int(Path("/proc", PID_MAX).read_text()) != ours
    if changed:
        world.call(world.first, Command("WRITE_SYSCTL", ours, path=PID_MAX))
    return value == 0 and not changed


def _first_fork_may_fail(world: World) -> bool:
    world.call(world.first, Command("UNSHARE", CLONE_NEWPID))
    failed = Command("CLONE3", 0, 1)
    assert world.call(world.first, failed, world.take_channel()) == -errno.EFAULT
    return world.call(world.first, Command("FORK"), world.take_channel()) > 0


def _entered_before_init(world: World) -> bool:
    world.call(world.first, Command("UNSHARE", CLONE_NEWPID))
    try:
        os.readlink("1/ns/pid_for_children", dir_fd=world.proc)
    except FileNotFoundError:
        return False
    return True


def _autoreap(world: World) -> bool:
    return world.call(world.first, Command("CLONE3", CLONE_AUTOREAP), world.take_channel()) > 0


def _thread_pidfd(world: World) -> bool:
    """With a place for the pidfd that cannot be written: refused at once, or only then."""
    command = Command("CLONE3", CLONE_THREAD, 1)
    return world.call(world.first, command, world.take_channel()) == -errno.EFAULT


def _set_tid_checked_first(world: World) -> bool:
    """A number in use at level 2, and none at all at level 1: which of them is complained about."""
    child, _ = _born(world, world.first, Command("CLONE", CLONE_NEWPID))
    command = Command("CLONE3", 0, 0, (1, 0))
    return world.call(child, command, world.take_channel()) == -errno.EINVAL


def _dead_ancestor_refuses(world: World) -> bool:
    """An empty namespace in a dead one; where those cannot be entered it makes no difference."""
    init, _ = _born(world, world.first, Command("CLONE", CLONE_NEWPID))
    member, number = _born(world, init, Command("FORK"))
    world.call(member, Command("UNSHARE", CLONE_NEWPID))
    if world.call(world.first, Command("SETNS", path=f"{number + 1}/ns/pid_for_children")) < 0:
        return False
    world.call(world.first, Command("KILL", 2, 9))
    return world.call(world.first, Command("FORK"), world.take_channel()) == -errno.ENOMEM


def _last_thread_exit_code(world: World) -> bool:
    """The leader ends with 1, and then the other thread with 0: which is the process's code."""
    leader, process = _born(world, world.first, Command("FORK"))
    thread, _ = _born(world, leader, Command("CLONE", CLONE_THREAD))
    world.send(leader, Command("EXIT", 1))
    _await_zombie(world, process)
    world.send(thread, Command("EXIT", 0))
    while _rested(world)[process].threads > 1:
        pass
    world.send(world.first, Command("WAIT4", -1))
    return world.hear([world.first])[world.first].status == 0


def _exits_overlap(world: World) -> bool:
    """exit_group by the last thread, which wakes the leader and then the other.

    If all are exiting before the first hands on its orphan, each gives it to the init at once.
    """
    return _last_orphan_is_first(world, Command("EXIT_GROUP", 0))


def _killed_from_leader(world: World) -> bool:
    """SIGKILL for the last thread; how orphans are handed on decides what their order means."""
    return _last_orphan_is_first(world, None) != _exits_overlap(world)


def _last_orphan_is_first(world: World, end: Command | None) -> bool:
    """A process ends, two threads of which have a dead child each: who is first in the init's line.

    ``end`` is what the last thread calls; without it, it is killed from outside.
    """
    leader, _ = _born(world, world.first, Command("FORK"))
    threads = [_born(world, leader, Command("CLONE", CLONE_THREAD)) for _ in range(2)]
    for thread, _ in threads:
        child, number = _born(world, thread, Command("FORK"))
        world.send(child, Command("EXIT", 0))
        _await_zombie(world, number)
    last, tid = threads[-1]
    if end is None:
        world.call(world.first, Command("KILL", tid, 9))
    else:
        world.send(last, end)
    while True:
        reaped = world.call(world.first, Command("WAIT4", -1))
        if reaped > tid:
            world.call(world.first, Command("WAIT4", -1))
            return reaped == number


def _born(world: World, parent: int, command: Command) -> tuple[int, int]:
    """Let a puppet make another one; the channel of that, and its number for its parent."""
    channel = world.take_channel()
    return channel, world.call(parent, command, channel)


def _await_zombie(world: World, number: int) -> None:
    while not _rested(world)[number].zombie:
        pass


def _rested(world: World) -> State:
    while True:
        try:
            return read_state(world.proc)
        except NotAtRest:
            pass


def _zap_is_idle(world: World) -> bool:
    """An init that waits for a zombie whose parent is outside: the letter of its state."""
    init, number = _born(world, world.first, Command("CLONE", CLONE_NEWPID))
    world.call(world.first, Command("SETNS", path=f"{number}/ns/pid"))
    _, zombie = _born(world, world.first, Command("FORK"))
    world.send(init, Command("EXIT", 0))
    _await_zombie(world, zombie)
    file = os.open(f"{number}/status", os.O_RDONLY, dir_fd=world.proc)
    with os.fdopen(file, "rb") as status:
        return b"\nState:\tI" in status.read()


def _nesting_errno(world: World) -> int:
    deepest = world.first
    for _ in range(MAX_PID_NS_LEVEL - 1):
        deepest, number = _born(world, deepest, Command("CLONE", CLONE_NEWPID))
        assert number > 0
    return -world.call(deepest, Command("CLONE", CLONE_NEWPID), world.take_channel())


PROBES: dict[str, Callable[[World], object]] = {
    "pid_max_per_ns": _pid_max_per_ns,
    "first_fork_may_fail": _first_fork_may_fail,
    "entered_before_init": _entered_before_init,
    "autoreap": _autoreap,
    "thread_pidfd": _thread_pidfd,
    "set_tid_checked_first": _set_tid_checked_first,
    "dead_ancestor_refuses": _dead_ancestor_refuses,
    "last_thread_exit_code": _last_thread_exit_code,
    "exits_overlap": _exits_overlap,
    "killed_from_leader": _killed_from_leader,
    "zap_is_idle": _zap_is_idle,
    "nesting_errno": _nesting_errno,
}
"""By the name of the feature."""
