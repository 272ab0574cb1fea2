"""Workloads of process groups and sessions: fast changes, and numbers held after a death."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pidscope_dev.arguments import positive
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family, check, refuse, stay
from pidscope_dev.workload.workload import Options, Workload, counts, exactly

ROUNDS = 2000
FLIPPERS = 3
EXECUTED = (
    "import os, select, sys; "
    "os.write(int(sys.argv[1]), b'\\n'); select.select([int(sys.argv[2])], [], [])"
)
"""The program of the process whose group may no longer be changed: gives a sign, waits for one."""


@dataclass(frozen=True)
class _Signs:
    """What the processes of `groups` signal to each other."""

    ready: Channel
    go: Channel
    finish: Channel
    leader: Channel
    """The number of the nested leader, in the outermost namespace."""
    deeper: Channel
    """A sign that the leader of the deeper namespace has its group."""
    executed: Channel
    end_executed: Channel


def run_groups(family: Family, options: Options) -> None:
    """Three flippers change their group at the same time: outside, level 1 and level 2."""
    signs = _Signs(*(family.channel() for _ in range(7)))
    family.reap(family.fork(lambda: _outside(family, signs, options.rounds)))


def _outside(family: Family, signs: _Signs, rounds: int) -> None:
    """The process outside the namespaces: makes level 1, changes the groups of processes in it."""
    os.setpgid(0, 0)
    os.setpgid(0, 0)  # the same again: setpgid makes no change_pid call
    home = os.getpid()
    family.reap(family.fork(os.setsid))
    joiner = family.fork(lambda: _join(signs, rounds, home))
    syscalls.unshare_pid_namespace()
    init = family.fork(lambda: _level_one(family, signs, rounds))
    os.setpgid(init, init)
    signs.leader.send(init)
    _change_until_exec(family, signs, home)
    signs.ready.collect(FLIPPERS)
    signs.go.give(FLIPPERS)
    family.reap(joiner)
    signs.finish.send()
    family.reap(init)


def _join(signs: _Signs, rounds: int, home: int) -> None:
    """An outside process joins the group of a nested leader, whose struct pid is deeper."""
    (leader,) = signs.leader.receive()
    stay(signs.ready, signs.go)
    _flip(rounds, (leader, home))


def _flip(rounds: int, groups: Sequence[int]) -> None:
    """Change the own group so many times, to each of two in turn."""
    for index in range(rounds):
        os.setpgid(0, groups[index % 2])


def _change_until_exec(family: Family, signs: _Signs, home: int) -> None:
    """Change the group of a nested child from outside, as a shell does, until it has executed."""
    executed, end = signs.executed.descriptors()[1], signs.end_executed.descriptors()[0]
    execute = family.channel()

    def child() -> None:
        execute.receive()
        os.set_inheritable(executed, True)
        os.set_inheritable(end, True)
        program = (sys.executable, "-I", "-S", "-c", EXECUTED, str(executed), str(end))
        os.execv(sys.executable, program)

    pid = family.fork(child)
    os.setpgid(pid, pid)
    os.setpgid(pid, home)
    os.setpgid(pid, home)
    execute.send()
    signs.executed.receive()
    refuse(errno.EACCES, lambda: os.setpgid(pid, pid), "setpgid after exec")
    signs.end_executed.send()
    family.reap(pid)


def _level_one(family: Family, signs: _Signs, rounds: int) -> None:
    """The init of level 1: a group leader, a session leader, a flipper that makes level 2."""
    led = family.channel()
    leader = family.fork(lambda: _lead(led, signs.finish))
    led.receive()
    session = family.fork(os.setsid)
    flipper = family.fork(lambda: _flip_deeper(family, signs, rounds, leader))
    family.reap(session, flipper, leader)


def _lead(led: Channel, finish: Channel) -> None:
    """A group leader, until the end."""
    os.setpgid(0, 0)
    stay(led, finish)


def _flip_deeper(family: Family, signs: _Signs, rounds: int, leader: int) -> None:
    """A flipper of level 1, between a group of its own level and one of level 2."""
    syscalls.unshare_pid_namespace()
    finish = family.channel()
    deeper = family.fork(lambda: _level_two(family, signs, rounds, finish))
    signs.deeper.receive()
    stay(signs.ready, signs.go)
    _flip(rounds, (deeper, leader))
    finish.send()
    family.reap(deeper)


def _level_two(family: Family, signs: _Signs, rounds: int, finish: Channel) -> None:
    """The init of level 2: leads a group, has another leader, a flipper and a session leader."""
    os.setpgid(0, 0)
    refuse(errno.EPERM, os.setsid, "setsid of a group leader")
    led, end_leader = family.channel(), family.channel()
    leader = family.fork(lambda: _lead(led, end_leader))
    led.receive()
    signs.deeper.send()

    def flip() -> None:
        stay(signs.ready, signs.go)
        _flip(rounds, (leader, 1))
        os.setsid()

    flipper = family.fork(flip)
    family.reap(family.fork(os.setsid))
    family.reap(flipper)
    end_leader.send()
    family.reap(leader)
    finish.receive()


def run_held(family: Family, options: Options) -> None:
    """A number whose process is gone stays taken while it is a group or a session."""
    _hold_number(family)
    family.reap(family.fork(lambda: _hold_nested(family, 1)))
    family.reap(family.fork(lambda: _hold_from_outside(family)))


def _hold_nested(family: Family, level: int) -> None:
    """The same in namespaces of level 1 and 2, whose inits take in the orphans."""

    def init() -> None:
        _hold_number(family)
        if level == 1:
            _hold_nested(family, 2)

    family.in_new_namespace(init)


def _hold_number(family: Family) -> None:
    """A session leader dies before the other member; the caller becomes that one's parent."""
    born, leave = family.channel(), family.channel()

    def lead() -> None:
        os.setsid()
        born.send(family.fork(lambda: leave.receive(), outlives=True))

    leader = family.fork(lead)
    family.reap(leader)
    (member,) = born.receive()
    check((os.getpgid(member), os.getsid(member)) == (leader, leader), "group or session is gone")
    refuse(errno.ESRCH, lambda: os.kill(leader, 0), "kill of the dead leader")
    refuse(errno.ESRCH, lambda: os.getpgid(leader), "getpgid of the dead leader")
    os.killpg(leader, 0)
    again = partial(syscalls.clone3, set_tid=(leader,))
    family.refuse_fork(errno.EEXIST, again)
    leave.send()
    family.reap(member)
    refuse(errno.ESRCH, lambda: os.killpg(leader, 0), "kill of the empty group")
    pid = family.fork(lambda: None, make=again)
    check(pid == leader, f"number {leader} was free, got {pid}")
    family.reap(pid)


def _hold_from_outside(family: Family) -> None:
    """A dead leader's nested number is held by a process that is not in its namespace."""
    joined, leave, left = family.channel(), family.channel(), family.channel()
    leads, die, finish = family.channel(), family.channel(), family.channel()
    number = family.channel()

    def join() -> None:
        os.setpgid(0, number.receive()[0])
        joined.send()
        leave.receive()
        os.setpgid(0, 0)
        left.send()

    def lead() -> None:
        os.setpgid(0, 0)
        leads.send(os.getpid())
        die.receive()

    joiner = family.fork(join)
    syscalls.unshare_pid_namespace()
    init = family.fork(finish.receive)
    leader = family.fork(lead)
    (nested,) = leads.receive()
    number.send(leader)
    joined.receive()
    die.send()
    family.reap(leader)
    os.killpg(leader, 0)
    family.refuse_fork(errno.EEXIST, partial(syscalls.clone3, set_tid=(nested,)))
    leave.send()
    left.receive()
    pid = family.fork(
        lambda: check(os.getpid() == nested, "another nested number"),
        make=partial(syscalls.clone3, set_tid=(nested, leader)),
    )
    check(pid == leader, f"number {leader} was free, got {pid}")
    family.reap(pid)
    finish.send()
    family.reap(init, joiner)


GROUPS = Workload(
    "groups",
    run_groups,
    "fast setpgid at 3 levels at once; setsid at each",
    # 4 setsid, 7 other setpgid, and what the flippers do.
    lambda it: counts(12, change_pid=4 * 2 + 7 + FLIPPERS * it.rounds, namespaces=2),
    {"--rounds": {"type": positive, "default": ROUNDS, "metavar": "N"}},  # of each flipper
)
HELD = Workload(
    "held",
    run_held,
    "dead leaders whose numbers stay taken while members live",
    exactly(12 + 5, failed_forks=4, change_pid=9, namespaces=3),
)
