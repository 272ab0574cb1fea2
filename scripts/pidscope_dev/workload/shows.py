"""Workloads to look at: zombies, hostile names, and a tree that stays."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import NamedTuple

from pidscope_dev.arguments import positive
from pidscope_dev.workload import syscalls
from pidscope_dev.workload.family import Channel, Family, check, stay
from pidscope_dev.workload.workload import (
    SECONDS,
    Options,
    Workload,
    exactly,
)

ZOMBIES = (5, 4, 3)
"""How many zombies at host level, at level 1, at level 2."""
GETPPID_ROUNDS = 20000

HOSTILE_COMMS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\x9b2J",
    b"new\nline",
    b"Name:\t1\nPid:\t7",
    b"tab\there",
    b"\r\x08\x7f",
    b"\xff\xfe\x80bad",
    b"0123456789ab\xe2\x82",
    b"back\\slash\\012",
    "rtl\u202egpj.exe".encode(),
    "zero\u200bwidth".encode(),
    b"quo\"te'`$(x)",
    b"(paren) Z 1 (",
    b'{"pid":1}',
)
"""Escapes, line ends, bytes that are not UTF-8, and what a careless reader takes for fields."""


def run_zombies(family: Family, options: Options) -> None:
    """Zombies at three levels, one at each with its own group; then all are reaped."""
    held, finish = family.channel(), family.channel()
    zombies = _make_zombies(family, ZOMBIES[0])
    nested = family.fork(lambda: _zombies_below(family, 1, held, finish))
    held.collect(len(ZOMBIES) - 1)
    if options.hold_ms is not None:
        family.hold(options.hold_ms / 1000)
    else:
        for _ in range(GETPPID_ROUNDS):
            os.getppid()
    finish.give(len(ZOMBIES) - 1)
    family.reap(nested, *zombies)


def _zombies_below(family: Family, level: int, held: Channel, finish: Channel) -> None:
    """Make the namespace of a level, with zombies in it."""

    def init() -> None:
        zombies = _make_zombies(family, ZOMBIES[level])
        held.send()
        if level + 1 < len(ZOMBIES):
            _zombies_below(family, level + 1, held, finish)
        finish.receive()
        family.reap(*zombies)

    family.in_new_namespace(init)


def _make_zombies(family: Family, number: int) -> list[int]:
    """Children that are dead and not reaped; the group of the first is changed as it is dead."""
    zombies = [family.fork(lambda: None) for _ in range(number)]
    for zombie in zombies:
        os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    os.setpgid(zombies[0], zombies[0])
    return zombies


def run_hostile(family: Family, options: Options) -> None:
    """Processes with hostile names, alive together in two namespaces."""
    ready, finish = family.channel(), family.channel()
    outside = family.fork(lambda: _hostile_below(family, 1, ready, finish))
    lives = 2 * len(HOSTILE_COMMS)
    ready.collect(lives)
    for _ in range(GETPPID_ROUNDS):
        os.getppid()
    finish.give(lives)
    family.reap(outside)


def _hostile_below(family: Family, level: int, ready: Channel, finish: Channel) -> None:
    """Make the namespace of a level, with a process for each name in it."""

    def init() -> None:
        lives = [_named(family, comm, ready, finish) for comm in HOSTILE_COMMS]
        if level == 1:
            _hostile_below(family, 2, ready, finish)
        family.reap(*lives)

    family.in_new_namespace(init)


def _named(family: Family, comm: bytes, ready: Channel, finish: Channel) -> int:
    """A process that takes a name and stays."""

    def live() -> None:
        syscalls.set_comm(comm)
        check(syscalls.get_comm() == comm, f"comm {comm!r} became {syscalls.get_comm()!r}")
        stay(ready, finish)

    return family.fork(live)


class _Process(NamedTuple):
    """One process of `tree`: its threads and children, and the init of a namespace below."""

    comm: bytes
    children: tuple[_Process, ...] = ()
    threads: int = 0
    is_leader: bool = False  # of a session
    below: _Process | None = None


_JOB = _Process(b"init", (_Process(b"job"),))
_DATABASE = _Process(
    b"init", (_Process(b"db", threads=3, is_leader=True), _Process(b"runtime", below=_JOB))
)
_WEB = _Process(b"web", (_Process(b"worker"), _Process(b"worker")), 2, True)
_SERVER = _Process(b"init", (_WEB, _Process(b"runtime", below=_DATABASE), _Process(b"cron")))
_SUPERVISOR = _Process(b"supervisor", below=_SERVER)
TREE_PROCESSES = 12
TREE_THREADS = 5


def run_tree(family: Family, options: Options) -> None:
    """Three nested namespaces with named processes, a session and threads, until asked to end."""
    ready, finish = family.channel(), family.channel()
    outside = family.fork(lambda: _live(family, _SUPERVISOR, ready, finish))
    ready.collect(TREE_PROCESSES)
    family.hold(options.seconds, say="ready")
    finish.give(TREE_PROCESSES)
    family.reap(outside)


def _live(family: Family, process: _Process, ready: Channel, finish: Channel) -> None:
    """Be one process of the tree, and make those below; sign to be there, wait for the end."""
    if process.is_leader:
        os.setsid()
    syscalls.set_comm(process.comm)
    for index in range(process.threads):
        start_named_thread(process.comm + b"-%d" % (index + 1))

    def fork(child: _Process) -> int:
        return family.fork(partial(_live, family, child, ready, finish))

    pids = [fork(child) for child in process.children]
    if process.below is not None:
        syscalls.unshare_pid_namespace()
        pids.append(fork(process.below))
    stay(ready, finish)
    family.reap(*pids)


def start_named_thread(comm: bytes) -> None:
    """Start a thread with a name, which lives as long as its process."""
    named = threading.Event()

    def live() -> None:
        syscalls.set_comm(comm)
        named.set()
        threading.Event().wait()

    threading.Thread(target=live, daemon=True).start()
    named.wait()


ZOMBIE = Workload(
    "zombies",
    run_zombies,
    "zombies at 3 levels, some in their own groups",
    exactly(sum(ZOMBIES) + 3, change_pid=3, namespaces=2),
    {
        "--hold-ms": {
            "type": positive,
            "metavar": "MS",
            "help": "keep them so long, or until the end of a standard input pipe",
        }
    },
)
HOSTILE = Workload(
    "hostile",
    run_hostile,
    "names with escapes, line ends, broken UTF-8, at 2 levels",
    exactly(3 + 2 * len(HOSTILE_COMMS), namespaces=2),
)
TREE = Workload(
    "tree",
    run_tree,
    "containers in containers, to look at; prints 'ready'",
    exactly(TREE_PROCESSES, TREE_THREADS, change_pid=4, namespaces=3),
    SECONDS,
)
