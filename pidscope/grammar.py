"""The stream's grammar: what must have been told before what, whatever /proc shows.

The second judge. /proc tells what is there, not how it came about: if `exchange_tids` falls silent,
all numbers still agree. But every task does its own acts in the order that the kernel's code has,
and all records lie in one ring. So for each struct pid::

    alloc_pid -> attach_pid (birth) -> changes -> detach_pid (release) -> free_pid -> alloc_pid ...

and for each task that forks, execs or ends::

    [copy_pid_ns ->] alloc_pid -> attach_pid -> copy_process returns the task
    [copy_pid_ns ->] alloc_pid -> free_pid -> copy_process returns an error
    [exchange_tids -> transfer_pid, three times ->] task_rename -> sched_process_exec
    sched_process_exit [-> zap_pid_ns_processes] -> detach_pid

A stream is read from some position on, and what began before that is nobody's fault: a task's first
fork and its first exec are passed over unless it was born since.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Callable, NamedTuple

from pidscope.event import (
    Event,
    ForkFailed,
    NamespaceCreated,
    NamespaceDying,
    PidAllocated,
    PidAttached,
    PidDetached,
    PidFreed,
    PidTransferred,
    PidType,
    TaskCreated,
    TaskExecuted,
    TaskExited,
    TaskRenamed,
    TidsExchanged,
)

KEPT = 100  # in words, of what may come without end; the rest is counted

_CLONE_NEWPID = 0x20000000
_TRANSFERRED = frozenset({PidType.TGID, PidType.PGID, PidType.SID})


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


class _Life:
    """One struct pid, from its allocation or birth on."""

    __slots__ = ("born", "exited", "init_of", "released")

    def __init__(self) -> None:
        self.born = self.exited = self.released = False
        self.init_of = 0  # inum of the namespace whose number 1 it is; 0: none


class _Fork:
    """One task's way through ``copy_process()``, from its ``alloc_pid()`` on."""

    __slots__ = ("born", "freed", "nr", "whole")

    def __init__(self, nr: int, whole: bool) -> None:
        self.nr = nr
        self.whole = whole  # it began after the stream did
        self.born = self.freed = False


class Grammar:
    """Reads a stream event by event.

    Args:
        sees: whether there is a hook of this name; what hooks that are not there would have told
            is not missed.
    """

    def __init__(self, sees: Callable[[str], bool] = lambda name: True) -> None:
        self._sees = sees
        self._lives: dict[int, _Life] = {}  # by number in the initial namespace, until freed
        self._forks: dict[int, _Fork | None] = {}  # by the forker; None: it is in none
        self._exchanges: dict[int, int] = {}  # leader's number: the exec'ing thread's
        self._transfers: dict[int, set[PidType]] = {}  # by the exec'ing thread's old number
        self._renamed: set[int] = set()  # since the last exec
        self._execs_known: set[int] = set()  # who has exec'd, or was born, since the stream began
        self._made_ns: set[int] = set()
        self._dying: set[int] = set()
        self._rules: dict[type, Callable[[Event], Fault | None]] = {
            PidAllocated: self._allocated,  # type: ignore[dict-item]
            PidAttached: self._attached,  # type: ignore[dict-item]
            TaskCreated: self._created,  # type: ignore[dict-item]
            ForkFailed: self._failed,  # type: ignore[dict-item]
            PidFreed: self._freed,  # type: ignore[dict-item]
            PidDetached: self._detached,  # type: ignore[dict-item]
            TidsExchanged: self._exchanged,  # type: ignore[dict-item]
            PidTransferred: self._transferred,  # type: ignore[dict-item]
            TaskRenamed: self._rename,  # type: ignore[dict-item]
            TaskExecuted: self._executed,  # type: ignore[dict-item]
            TaskExited: self._exited,  # type: ignore[dict-item]
            NamespaceCreated: self._namespace,  # type: ignore[dict-item]
            NamespaceDying: self._zapped,  # type: ignore[dict-item]
        }

    def add(self, event: Event) -> Fault | None:
        """Read one event; what is missing before it."""
        rule = self._rules.get(type(event))
        return rule(event) if rule is not None else None

    def _missed(self, hook: str, what: str) -> Fault | None:
        return Fault(hook, what) if self._sees(hook) else None

    # Forks

    def _allocated(self, event: PidAllocated) -> Fault | None:
        nr, by = event.pid.nr, event.by
        fault = None
        if nr in self._lives:
            fault = self._missed("free_pid", f"{nr} is given out again")
        open_fork = self._forks.get(by)
        if open_fork is not None:
            fault = fault or self._missed("copy_process", f"{by} forks, and made {open_fork.nr}")
        self._lives[nr] = _Life()
        self._forks[by] = _Fork(nr, whole=by in self._forks)
        return fault

    def _attached(self, event: PidAttached) -> Fault | None:
        if event.birth is None:
            return None
        nr, by = event.tid, event.by
        fork = self._forks.get(by)
        fault = None
        if by in self._forks and (fork is None or fork.nr != nr):
            fault = self._missed("alloc_pid", f"birth of {nr}")
        if fork is None or fork.nr != nr:
            fork = self._forks[by] = _Fork(nr, whole=False)
        fork.born = True
        life = self._lives.setdefault(nr, _Life())
        life.born = True
        if event.pid.level and event.pid.numbers[-1] == 1:
            life.init_of = event.pid.ns
            self._dying.discard(event.pid.ns)
        self._forks[nr] = None
        self._execs_known.add(nr)
        return fault

    def _created(self, event: TaskCreated) -> Fault | None:
        nr, by = event.tid, event.by
        if not nr:  # fork_idle(): a CPU comes up
            return None
        known, fork = by in self._forks, self._forks.get(by)
        self._forks[by] = None
        if known and (fork is None or fork.nr != nr or not fork.born):
            return self._missed("attach_pid", f"copy_process() returned {nr}")
        made_ns = by in self._made_ns
        self._made_ns.discard(by)
        if event.flags & _CLONE_NEWPID and fork is not None and fork.whole and not made_ns:
            return self._missed("copy_pid_ns", f"{nr} is born into a new namespace")
        return None

    def _failed(self, event: ForkFailed) -> Fault | None:
        fork = self._forks.get(event.by)
        self._forks[event.by] = None
        if fork is not None and not fork.freed:
            self._forget_unseen_end(fork.nr)
            return self._missed("free_pid", f"the fork of {fork.nr} failed")
        return None

    def _namespace(self, event: NamespaceCreated) -> Fault | None:
        self._made_ns.add(event.by)
        return None

    # Execs

    def _exchanged(self, event: TidsExchanged) -> Fault | None:
        thread, leader = event.tid, event.leader
        left, right = self._lives.get(thread), self._lives.get(leader)
        if left is not None:
            left.exited = True  # it is the old leader's now, which had to end first
        if right is not None:
            right.exited = False
        self._exchanges[leader] = thread
        self._transfers[thread] = set()
        self._forks[leader] = None
        return None

    def _transferred(self, event: PidTransferred) -> Fault | None:
        if event.old in self._transfers:
            self._transfers[event.old].add(event.pid_type)
        return None

    def _rename(self, event: TaskRenamed) -> Fault | None:
        self._renamed.add(event.tid)
        return None

    def _executed(self, event: TaskExecuted) -> Fault | None:
        nr = event.tid
        known, renamed = nr in self._execs_known, nr in self._renamed
        self._execs_known.add(nr)
        self._renamed.discard(nr)
        thread = self._exchanges.pop(nr, nr)
        if known and event.old_tid not in (nr, thread):
            return self._missed("exchange_tids", f"{event.old_tid} execs as {nr}")
        if known and not renamed:
            return self._missed("task_rename", f"{nr} execs")
        return None

    # Ends

    def _exited(self, event: TaskExited) -> Fault | None:
        life = self._lives.get(event.tid)
        if life is not None:
            life.exited = True
        self._exchanges.pop(event.tid, None)  # an exec that fails so late kills
        return None

    def _zapped(self, event: NamespaceDying) -> Fault | None:
        self._dying.add(event.ns)
        return None

    def _detached(self, event: PidDetached) -> Fault | None:
        nr = event.tid
        self._forks.pop(nr, None)
        for known in (self._renamed, self._execs_known, self._made_ns):
            known.discard(nr)
        if self._transfers.pop(nr, _TRANSFERRED) != _TRANSFERRED:
            return self._missed("transfer_pid", f"{nr} was exchanged")
        life = self._lives.get(nr)
        if life is None:
            return None
        life.released = True
        self._forget_unseen_end(nr)
        if life.born and not life.exited:
            return self._missed("sched_process_exit", f"release of {nr}")
        if life.init_of and life.init_of not in self._dying:
            return self._missed("zap_pid_ns_processes", f"release of {nr}, init of {life.init_of}")
        self._dying.discard(life.init_of)
        return None

    def _forget_unseen_end(self, nr: int) -> None:
        if not self._sees("free_pid"):
            self._lives.pop(nr, None)

    def _freed(self, event: PidFreed) -> Fault | None:
        nr = event.pid.nr
        fork = self._forks.get(event.by)
        if fork is not None and fork.nr == nr:
            fork.freed = True
        life = self._lives.pop(nr, None)
        if life is not None and life.born and not life.released:
            return self._missed("detach_pid", f"{nr} is free again")
        return None
