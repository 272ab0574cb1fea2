"""The model's /proc, for any reader of a kernel's: text from the model, parsed as a kernel's is.

Every reading is a generator that stops between any two things it looks at, so that the world can
let others go on there, as CPUs do that share a kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from typing import Callable, Protocol, TypeVar

from pidscope.host.proc_parse import (
    parse_is_exiting,
    parse_start_ticks,
    parse_status,
    parse_zombie,
)
from pidscope.limits.bounds import Everyone, Facts
from pidscope.model.kernel import Kernel
from pidscope.model.pid import PIDTYPE_PID, Pid, pid_task
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import (
    NS_PER_TICK,
    pidns_for_children_get,
    pidns_get,
    proc_pid_lookup,
    proc_pid_readdir,
    proc_pid_stat,
    proc_pid_status,
    proc_task_readdir,
)
from pidscope.model.sched import TaskStruct
from pidscope.simulated.limits import fork_facts
from pidscope.snapshot import (
    Kept,
    Mount,
    ProcReading,
    Snapshot,
    Status,
    TaskReading,
    Zombie,
    take_snapshot,
)

BOOT_TIME = 1_767_225_600  # btime: 2026-01-01T00:00:00Z

T = TypeVar("T")
Reading = Generator[None, None, T]
_Show = Callable[[TaskStruct, PidNamespace, Pid], Iterator[bytes]]


class Finish(Protocol):
    """Brings a reading to its end, whatever others do meanwhile."""

    def __call__(self, reading: Reading[T]) -> T:
        """Return what the reading gives."""


class SimulatedProcFs:
    """A mount of /proc in the initial PID namespace, as `pidscope.host.proc.ProcFs` of a kernel."""

    def __init__(self, kernel: Kernel, finish: Finish) -> None:
        self._kernel = kernel
        self._ns = kernel.init_pid_ns
        self._finish = finish

    def numbers(self) -> list[int]:
        """Return the process numbers listed, increasing."""
        return self._finish(_listed(proc_pid_readdir(self._ns)))

    def threads(self, number: int) -> list[int]:
        """Return the tids of process ``number``, increasing; none if it vanished."""
        return sorted(self._finish(self._tids(number)))

    def read_status(self, number: int) -> Status | None:
        """Return the PID lines of task ``number``; None: it vanished."""
        text = self._finish(self._file(number, proc_pid_status))
        return None if text is None else parse_status(text, _path(number, "status"))

    def judged_status(self, number: int) -> Status | None:
        """Return the same: the model denies nothing."""
        return self.read_status(number)

    def start_ticks(self, number: int) -> int | None:
        """Return field 22 of stat, the start in USER_HZ ticks since boot; None: vanished."""
        text = self._finish(self._file(number, proc_pid_stat))
        return None if text is None else parse_start_ticks(text, _path(number, "stat"))

    def read_zombie(self, number: int) -> Zombie | None:
        """Return what a zombie's status has besides; None: it is none, or vanished."""
        text = self._finish(self._file(number, proc_pid_status))
        return None if text is None else parse_zombie(text)

    def is_exiting(self, number: int) -> bool | None:
        """Return whether a task has PF_EXITING; None: vanished."""
        text = self._finish(self._file(number, proc_pid_stat))
        return None if text is None else parse_is_exiting(text, _path(number, "stat"))

    def pid_ns(self, number: int) -> int | None:
        """Return the inum of ``ns/pid``; None: vanished."""
        ns = self._finish(self._namespace(number))
        return None if ns is None else ns.inum

    def own_number(self) -> int | None:
        """Return None: the reader is no task of this kernel."""
        return None

    def children_ns(self, number: int) -> int | None:
        """Return the inum of ``ns/pid_for_children``; None: exited, or vanished."""
        ns = self._finish(self._namespace(number, pidns_for_children_get))
        return None if ns is None else ns.inum

    def cgroups_of(self, numbers: Iterable[int]) -> None:
        """Return None: no task of the model is in a container."""

    def sees_cgroups_whole(self) -> bool:
        """Return False, as there are no cgroups to be read."""
        return False

    def host_root(self) -> str:
        """Return the root of this host: no container of the model is looked for below it."""
        return ""

    def fork_facts(self, number: int, everyone: Everyone | None = None) -> Facts | None:
        """Return what bounds the forks of a task; None: it vanished, or has exited."""
        return fork_facts(self._kernel, number)

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """Return (inum, inum of its parent) from the task's own PID namespace outwards."""
        ns = self._finish(self._namespace(number))
        spaces = [] if ns is None else list(ns.outwards())
        return [(ns.inum, ns.parent.inum if ns.parent else 0) for ns in spaces]

    def kept(self, known: Collection[int], whole: bool) -> Kept:
        """Return the PID namespaces in which no task lives, where children of a task would."""
        proxies = [task.nsproxy for task in self._kernel.tasks() if task.nsproxy is not None]
        spaces = {it for proxy in proxies for it in proxy.pid_ns_for_children.outwards()}
        parents = {it.inum: it.parent.inum for it in spaces if it.parent is not None}
        return Kept({inum: it for inum, it in parents.items() if inum not in known}, True)

    def read(self, number: int) -> TaskReading | None:
        """Return status, namespace and start of one task, all of one ``struct pid``."""
        status, ns, stat = self._finish(self._task(number))
        if status is None:
            return None
        return TaskReading(
            number,
            parse_status(status, _path(number, "status")),
            None if stat is None else parse_start_ticks(stat, _path(number, "stat")),
            ns,
        )

    def snapshot(
        self, threads: bool = True, starts: bool = True, cgroups: bool = False
    ) -> Snapshot:
        """Read every task that is listed, and the parent of every PID namespace met.

        The starts are read in any case: they cost little here. No task is in a container.
        """
        return take_snapshot(self, threads)

    def read_all(
        self, threads: bool = True, starts: bool = True, cgroups: bool = False
    ) -> ProcReading:
        """Return all that a command needs, read at once."""
        snapshot = self.snapshot(threads, starts, cgroups)
        return ProcReading(self.mount(), snapshot, True, BOOT_TIME, 1_000_000_000 // NS_PER_TICK, 0)

    def mount(self) -> Mount:
        """Return the initial namespace."""
        return Mount(self._ns.inum, initial=True)

    def sees_all(self) -> bool:
        """Return True: nothing is hidden here."""
        return True

    def boot_id(self) -> str | None:
        """Return None: it boots the same way every time."""
        return None

    def boot_time(self) -> int:
        """Return `BOOT_TIME`."""
        return BOOT_TIME

    def forks(self) -> int:
        """Return the births since boot, threads' too."""
        return self._kernel.total_forks

    def last_pid(self) -> int:
        """Return the last number given out in the initial namespace."""
        return self._ns.allocator.last_pid

    # The readings

    def _tids(self, number: int) -> Reading[list[int]]:
        pid = yield from proc_pid_lookup(number, self._ns)
        if pid is None:
            return []
        return (yield from _listed(proc_task_readdir(pid, self._ns)))

    def _file(self, number: int, show: _Show) -> Reading[bytes | None]:
        pid = yield from proc_pid_lookup(number, self._ns)
        if pid is None:
            return None
        return (yield from self._text(pid, show))

    def _text(self, pid: Pid, show: _Show) -> Reading[bytes | None]:
        """``proc_single_show()``: the task is looked for again, and kept while it is printed."""
        yield
        task = pid_task(pid, PIDTYPE_PID)
        if task is None:
            return None
        pieces = []
        for piece in show(task, self._ns, pid):
            pieces.append(piece)
            yield
        return b"".join(pieces)

    def _namespace(
        self, number: int, get: Callable[[TaskStruct], PidNamespace | None] = pidns_get
    ) -> Reading[PidNamespace | None]:
        pid = yield from proc_pid_lookup(number, self._ns)
        yield
        task = pid_task(pid, PIDTYPE_PID)
        return None if task is None else get(task)

    def _task(self, number: int) -> Reading[tuple[bytes | None, int | None, bytes | None]]:
        pid = yield from proc_pid_lookup(number, self._ns)
        if pid is None:
            return None, None, None
        status = yield from self._text(pid, proc_pid_status)
        task = pid_task(pid, PIDTYPE_PID)
        ns = None if task is None else pidns_get(task)
        stat = yield from self._text(pid, proc_pid_stat)
        return status, ns.inum if ns is not None else None, stat


def _listed(listing: Iterator[int]) -> Reading[list[int]]:
    found = []
    for number in listing:
        found.append(number)
        yield
    return found


def _path(number: int, file: str) -> str:
    return f"simulated:/proc/{number}/{file}"
