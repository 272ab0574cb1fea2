"""A workload that gets the same numbers again and again."""

from __future__ import annotations

import os
from pathlib import Path

from pidscope_dev.arguments import positive
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Family, Unable, check
from pidscope_dev.workload.workload import Options, Workload, counts

LIVES = 50
NESTED_NUMBER = 100
RESERVED_PIDS = 300
"""The kernel's constant: after a wrap the numbers start there (alloc_pid)."""
NS_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
PID_MAX = Path("/proc/sys/kernel/pid_max")


def run_reuse(family: Family, options: Options) -> str:
    """The same nested number by the cursor; the same host number by set_tid; then both at once.

    The cursor of the host is left alone: between a write of ns_last_pid and the fork, another
    process could take the number, and the next fork of any process would start from there. set_tid
    moves no cursor (alloc_pid), and asks for a number far ahead of it.
    """
    family.reap(family.fork(lambda: _reuse_nested(family, options.repeats)))
    number = _free_host_number()
    for _ in range(options.repeats):
        _live_as(family, (number,), number)
    family.reap(family.fork(lambda: _reuse_both(family, options.repeats, number)))
    return f"nested number {NESTED_NUMBER}, host number {number}"


def _reuse_nested(family: Family, lives: int) -> None:
    """In a new namespace, set the cursor back before every fork."""

    def init() -> None:
        for _ in range(lives):
            _set_last_pid(NESTED_NUMBER - 1)
            pid = family.fork(lambda: None)
            check(pid == NESTED_NUMBER, f"ns_last_pid: got {pid}, not {NESTED_NUMBER}")
            family.reap(pid)

    family.in_new_namespace(init)


def _set_last_pid(number: int) -> None:
    """Set the cursor of the caller's namespace (pid_ns_ctl_handler); raises Unable."""
    try:
        NS_LAST_PID.write_text(str(number))
    except OSError as problem:
        raise Unable(f"cannot write ns_last_pid: {problem}") from problem


def _reuse_both(family: Family, lives: int, number: int) -> None:
    """In a new namespace, the same number at both levels, from outside."""
    finish = family.channel()
    syscalls.unshare_pid_namespace()
    init = family.fork(finish.receive)
    for _ in range(lives):
        _live_as(family, (NESTED_NUMBER, number), number)
    finish.send()
    family.reap(init)


def _live_as(family: Family, numbers: tuple[int, ...], number: int) -> None:
    """One life with the numbers asked for, innermost first."""

    def live() -> None:
        check(os.getpid() == numbers[0], f"set_tid: {os.getpid()}, not {numbers[0]}")

    pid = family.fork(live, make=lambda: syscalls.clone3(set_tid=numbers))
    check(pid == number, f"set_tid: {pid}, not {number}")
    family.reap(pid)


def _free_host_number() -> int:
    """A free number far ahead of what will be given out; another for each of several runs."""
    limit, last = int(PID_MAX.read_text()), int(NS_LAST_PID.read_text())
    room = limit - RESERVED_PIDS
    start = RESERVED_PIDS + (last + os.getpid() + room // 2) % room
    for number in range(start, limit):
        if not (_exists(number) or _exists(-number)):
            return number
    raise Unable("no free host number found")


def _exists(number: int) -> bool:
    """True if a process, or for a negative number a group, has it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


REUSE = Workload(
    "reuse",
    run_reuse,
    "the same numbers again and again, nested and not",
    # Three times the lives; an outside process and an init for two of them.
    lambda it: counts(3 * it.repeats + 4, namespaces=2),
    {"--repeats": {"type": positive, "default": LIVES, "metavar": "N"}},
)
