"""Which kernel is this: its features found by experiment, each in its own world."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable

from pidscope.model.features import Features
from pidscope.model.fork import CLONE_THREAD
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


def _thread_pidfd(world: World) -> bool:
    """With a place for the pidfd that cannot be written: refused at once, or only then."""
    command = Command("CLONE3", CLONE_THREAD, 1)
    return world.call(world.first, command, world.take_channel()) == -errno.EFAULT


def _set_tid_checked_first(world: World) -> bool:
    """A number in use at level 2, and none at all at level 1: which of them is complained about."""
    child = world.take_channel()
    world.call(world.first, Command("CLONE", CLONE_NEWPID), child)
    command = Command("CLONE3", 0, 0, (1, 0))
    return world.call(child, command, world.take_channel()) == -errno.EINVAL


def _dead_ancestor_refuses(world: World) -> bool:
    """An empty namespace in a dead one; where those cannot be entered it makes no difference."""
    init, member = world.take_channel(), world.take_channel()
    world.call(world.first, Command("CLONE", CLONE_NEWPID), init)
    number = world.call(init, Command("FORK"), member) + 1
    world.call(member, Command("UNSHARE", CLONE_NEWPID))
    if world.call(world.first, Command("SETNS", path=f"{number}/ns/pid_for_children")) < 0:
        return False
    world.call(world.first, Command("KILL", 2, 9))
    return world.call(world.first, Command("FORK"), world.take_channel()) == -errno.ENOMEM


def _last_thread_exit_code(world: World) -> bool:
    """The leader ends with 1, and then the other thread with 0: which is the process's code."""
    leader, thread = world.take_channel(), world.take_channel()
    process = world.call(world.first, Command("FORK"), leader)
    world.call(leader, Command("CLONE", CLONE_THREAD), thread)
    world.send(leader, Command("EXIT", 1))
    while not _rested(world)[process].zombie:
        pass
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
    leader, *threads = (world.take_channel() for _ in range(3))
    world.call(world.first, Command("FORK"), leader)
    tids = [world.call(leader, Command("CLONE", CLONE_THREAD), thread) for thread in threads]
    for thread in threads:
        child = world.take_channel()
        number = world.call(thread, Command("FORK"), child)
        world.send(child, Command("EXIT", 0))
        while not _rested(world)[number].zombie:
            pass
    if end is None:
        world.call(world.first, Command("KILL", tids[-1], 9))
    else:
        world.send(threads[-1], end)
    while True:
        reaped = world.call(world.first, Command("WAIT4", -1))
        if reaped > tids[-1]:
            world.call(world.first, Command("WAIT4", -1))
            return reaped == number


def _rested(world: World) -> State:
    while True:
        try:
            return read_state(world.proc)
        except NotAtRest:
            pass


def _zap_is_idle(world: World) -> bool:
    """An init that waits for a zombie whose parent is outside: the letter of its state."""
    init, joined = world.take_channel(), world.take_channel()
    number = world.call(world.first, Command("CLONE", CLONE_NEWPID), init)
    world.call(world.first, Command("SETNS", path=f"{number}/ns/pid"))
    zombie = world.call(world.first, Command("FORK"), joined)
    world.send(init, Command("EXIT", 0))
    while not _rested(world)[zombie].zombie:
        pass
    file = os.open(f"{number}/status", os.O_RDONLY, dir_fd=world.proc)
    with os.fdopen(file, "rb") as status:
        return b"\nState:\tI" in status.read()


def _nesting_errno(world: World) -> int:
    deepest = world.first
    for _ in range(MAX_PID_NS_LEVEL - 1):
        child = world.take_channel()
        assert world.call(deepest, Command("CLONE", CLONE_NEWPID), child) > 0
        deepest = child
    return -world.call(deepest, Command("CLONE", CLONE_NEWPID), world.take_channel())


PROBES: dict[str, Callable[[World], object]] = {
    "pid_max_per_ns": _pid_max_per_ns,
    "first_fork_may_fail": _first_fork_may_fail,
    "entered_before_init": _entered_before_init,
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
