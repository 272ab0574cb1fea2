"""The stream's grammar: what must have been reported before what, whatever /proc shows.

The second judge. /proc shows what is there, not how it came about: if `exchange_tids` falls silent,
all numbers still agree. But every task does its own acts in the order that the kernel's code has,
and all records lie in one ring. So for each struct pid::

    alloc_pid -> attach_pid (birth) -> changes -> detach_pid (release) -> free_pid -> alloc_pid ...

and for each task that forks, execs or ends::

    [copy_pid_ns ->] alloc_pid -> attach_pid -> copy_process returns the task
    [copy_pid_ns ->] alloc_pid -> free_pid -> copy_process returns an error
    [copy_pid_ns ->] alloc_pid returns an error -> copy_process returns it
    [exchange_tids -> transfer_pid, three times ->] task_rename -> sched_process_exec
    sched_process_exit [-> zap_pid_ns_processes] -> detach_pid

A stream is read from some position on, and what began before that is no fault: a task's first fork
and its first exec are passed over unless the task was born since.
"""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from pidscope import events

KEPT = 100  # in words, of what may come without end; the rest is counted

_CLONE_NEWPID = 0x20000000
_TRANSFERRED = frozenset({events.PidType.TGID, events.PidType.PGID, events.PidType.SID})


class Fault(NamedTuple):
    """A record that is missing: the hook that had to write it, and what shows that."""

    hook: str
    what: str

    def __str__(self) -> str:
        return f"{self.what}: {self.hook} did not tell"


class Faults:
    """What a stream lacked: how often by hook, and the latest of each in words."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, deque[Fault]] = {}

    def append(self, fault: Fault) -> None:
        """Count one, and keep it as long as there is room."""
        self._counts[fault.hook] += 1
        self._latest.setdefault(fault.hook, deque(maxlen=KEPT)).append(fault)

    def count(self, explained: Mapping[str, int]) -> int:
        """How many there were beyond so many of each hook."""
        return sum(self._beyond(hook, explained) for hook in self._counts)

    def latest(self, explained: Mapping[str, int]) -> list[Fault]:
        """Those beyond so many of each hook, the latest ``KEPT`` at most of each."""
        return [
            fault
            for hook, faults in self._latest.items()
            for fault in list(faults)[max(0, len(faults) - self._beyond(hook, explained)) :]
        ]

    def _beyond(self, hook: str, explained: Mapping[str, int]) -> int:
        return max(0, self._counts[hook] - explained.get(hook, 0))


# What happened to a struct pid since it was allocated or born, and not freed.
_BORN, _EXITED, _RELEASED = 1, 2, 4


class Grammar:
    """Reads a stream event by event.

    Args:
        sees: whether there is a hook of this name; what absent hooks would have reported is not
            missed.
        steps: whether ``alloc_pid`` and ``copy_process`` report more than errors.
    """

    def __init__(self, sees: Callable[[str], bool] = lambda name: True, steps: bool = True) -> None:
        self._sees = sees
        self._sees_alloc, self._sees_free = steps and sees("alloc_pid"), sees("free_pid")
        self._lives: dict[int, int] = {}  # by number in the initial namespace, until freed
        self._inits: dict[int, int] = {}  # the namespace (inum) whose number 1 it is
        # By the forker, from alloc_pid() on: the new number, negative once freed; 0: in no fork.
        # A task that was born since the stream began, and is not in here, is in none: most never
        # fork.
        self._forks: dict[int, int] = {}
        self._halves: set[int] = set()  # forkers whose fork began before the stream did
        self._refused: dict[int, int] = {}  # by the forker, the errno of alloc_pid()
        self._exchanges: dict[int, int] = {}  # leader's number: the exec'ing thread's
        self._transfers: dict[int, set[events.PidType]] = {}  # by the exec'ing thread's old number
        self._renamed: set[int] = set()  # since the last exec
        self._execs_known: set[int] = set()  # tasks older than the stream that have exec'd
        self._made_ns: set[int] = set()
        self._dying: set[int] = set()
        self._rules: dict[type, Callable[[Any], Fault | None]] = {
            events.PidAllocated: lambda e: self.allocated(e.by, e.pid.nr),
            events.PidRefused: self._refuse,
            events.PidAttached: self._attached,
            events.TaskCreated: lambda e: self.created(e.by, e.tid, e.flags),
            events.ForkFailed: self._failed,
            events.PidFreed: lambda e: self.freed(e.by, e.pid.nr),
            events.PidDetached: lambda e: self.detached(e.tid),
            events.TidsExchanged: self._exchanged,
            events.PidTransferred: self._transferred,
            events.TaskRenamed: lambda e: self.renamed(e.tid),
            events.TaskExecuted: lambda e: self.executed(e.tid, e.old_tid),
            events.TaskExited: lambda e: self.exited(e.tid),
            events.NamespaceCreated: self._namespace,
            events.NamespaceDying: self._zapped,
        }

    def add(self, event: events.Event) -> Fault | None:
        """Read one event; returns what is missing before it.

        The frequent ones have a method each, for the fast path, which has no event of them.
        """
        rule = self._rules.get(type(event))
        return rule(event) if rule is not None else None

    def _missed(self, hook: str, what: str) -> Fault | None:
        return Fault(hook, what) if self._sees(hook) else None

    # Forks

    def allocated(self, by: int, nr: int) -> Fault | None:
        """Task ``by`` was given a struct pid."""
        fault = None
        if nr in self._lives:
            fault = self._missed("free_pid", f"{nr} is given out again")
        fault = self._unreturned(by) or fault
        if self._fork_of(by) is None:
            self._halves.add(by)
        else:
            self._halves.discard(by)
        self._lives[nr] = 0
        self._forks[by] = nr
        return fault

    def _fork_of(self, by: int) -> int | None:
        """What `_forks` says of a task; None: it is older than the stream."""
        fork = self._forks.get(by)
        return 0 if fork is None and self._is_born(by) else fork

    def _is_born(self, nr: int) -> int:
        """Whether a task was born since the stream began."""
        return self._lives.get(nr, 0) & _BORN

    def _unreturned(self, by: int) -> Fault | None:
        """What is missing if ``by`` begins a fork here."""
        if by in self._refused:
            del self._refused[by]
            return self._missed("copy_process", f"{by} forks, and was refused a number")
        fork = self._forks.get(by)
        if fork and self._sees_alloc:
            return self._missed("copy_process", f"{by} forks, and made {abs(fork)}")
        return None

    def _refuse(self, event: events.PidRefused) -> Fault | None:
        fault = self._unreturned(event.by)
        self._refused[event.by] = event.errno
        self._forks[event.by] = 0
        return fault

    def _attached(self, event: events.PidAttached) -> Fault | None:
        if event.birth is None:
            return None
        is_init = event.pid.level and event.pid.numbers[-1] == 1
        return self.born(event.by, event.tid, event.pid.ns if is_init else 0)

    def born(self, by: int, nr: int, init_of: int) -> Fault | None:
        """Task ``by`` had a child; ``init_of``: the inum of a new namespace that it is init of."""
        refused = by in self._refused
        fault = self._unreturned(by) if refused else None
        if self._sees_alloc:
            fault = self._unallocated(by, nr, refused) or fault
        self._lives[nr] = self._lives.get(nr, 0) | _BORN
        if init_of:
            self._inits[nr] = init_of
            self._dying.discard(init_of)
        return fault

    def _unallocated(self, by: int, nr: int, refused: bool) -> Fault | None:
        """What is missing if the task that ``by`` has was given no struct pid."""
        fork = self._fork_of(by)
        if fork == nr:
            return None
        self._forks[by] = nr
        self._halves.add(by)
        return None if refused or fork is None else Fault("alloc_pid", f"birth of {nr}")

    def created(self, by: int, nr: int, flags: int) -> Fault | None:
        """``copy_process()`` gave ``by`` a task."""
        if not nr:  # fork_idle(): a CPU comes up
            return None
        fork, whole, made_ns = self._fork_of(by), by not in self._halves, by in self._made_ns
        self._forks[by] = 0
        self._halves.discard(by)
        if fork is not None and (fork != nr or not self._is_born(nr)):
            return self._missed("attach_pid", f"copy_process() returned {nr}")
        self._made_ns.discard(by)
        if flags & _CLONE_NEWPID and fork and whole and not made_ns:
            return self._missed("copy_pid_ns", f"{nr} is born into a new namespace")
        return None

    def _failed(self, event: events.ForkFailed) -> Fault | None:
        by, fork = event.by, self._forks.get(event.by, 0)
        refused = self._refused.pop(by, event.errno)
        self._forks[by] = 0
        if refused != event.errno:
            name = errno.errorcode.get(refused, refused)
            return self._missed("copy_process", f"{by} was refused a number with {name}")
        if fork > 0:
            self._forget_if_no_free(fork)
            return self._missed("free_pid", f"the fork of {fork} failed")
        return None

    def _namespace(self, event: events.NamespaceCreated) -> Fault | None:
        self._made_ns.add(event.by)
        return None

    # Execs

    def _exchanged(self, event: events.TidsExchanged) -> Fault | None:
        thread, leader = event.tid, event.leader
        if thread in self._lives:
            self._lives[thread] |= _EXITED  # it is the old leader's now, which had to end first
        if leader in self._lives:
            self._lives[leader] &= ~_EXITED
        self._exchanges[leader] = thread
        self._transfers[thread] = set()
        self._forks[leader] = 0
        return None

    def _transferred(self, event: events.PidTransferred) -> Fault | None:
        if event.old in self._transfers:
            self._transfers[event.old].add(event.pid_type)
        return None

    def renamed(self, nr: int) -> Fault | None:
        """A task has another name."""
        self._renamed.add(nr)
        return None

    def executed(self, nr: int, old_nr: int) -> Fault | None:
        """A task, once called ``old_nr``, runs another program."""
        known, renamed = nr in self._execs_known, nr in self._renamed
        if self._is_born(nr):
            known = True
        else:
            self._execs_known.add(nr)
        self._renamed.discard(nr)
        thread = self._exchanges.pop(nr, nr)
        if known and old_nr not in (nr, thread):
            return self._missed("exchange_tids", f"{old_nr} execs as {nr}")
        if known and not renamed:
            return self._missed("task_rename", f"{nr} execs")
        return None

    # Ends

    def exited(self, nr: int) -> Fault | None:
        """A task ends."""
        life = self._lives.get(nr)
        if life is not None:
            self._lives[nr] = life | _EXITED
        self._exchanges.pop(nr, None)  # an exec that fails so late kills
        return None

    def _zapped(self, event: events.NamespaceDying) -> Fault | None:
        self._dying.add(event.ns)
        return None

    def detached(self, nr: int) -> Fault | None:
        """A task is released."""
        self._forks.pop(nr, None)
        self._refused.pop(nr, None)
        self._halves.discard(nr)
        self._renamed.discard(nr)
        self._execs_known.discard(nr)
        self._made_ns.discard(nr)
        init_of = self._inits.pop(nr, 0)
        if self._transfers.pop(nr, _TRANSFERRED) != _TRANSFERRED:
            return self._missed("transfer_pid", f"{nr} was exchanged")
        life = self._lives.get(nr)
        if life is None:
            return None
        self._lives[nr] = life | _RELEASED
        self._forget_if_no_free(nr)
        if life & _BORN and not life & _EXITED:
            return self._missed("sched_process_exit", f"release of {nr}")
        if init_of and init_of not in self._dying:
            return self._missed("zap_pid_ns_processes", f"release of {nr}, init of {init_of}")
        self._dying.discard(init_of)
        return None

    def _forget_if_no_free(self, nr: int) -> None:
        if not self._sees_free:
            self._lives.pop(nr, None)

    def freed(self, by: int, nr: int) -> Fault | None:
        """Task ``by`` freed a struct pid."""
        if self._forks.get(by) == nr:
            self._forks[by] = -nr
        life = self._lives.pop(nr, 0)
        if life & _BORN and not life & _RELEASED:
            self._inits.pop(nr, None)
            return self._missed("detach_pid", f"{nr} is free again")
        return None
