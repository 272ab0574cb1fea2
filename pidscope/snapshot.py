"""The tasks as they can be read, of a kernel or of the model: the second door of both worlds.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself, which
every command would wait for.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Optional, Protocol

from pidscope.errors import ProcError

if TYPE_CHECKING:
    from pidscope.events import TaskSeen


class Status(NamedTuple):
    """The PID lines of one ``/proc/N/status`` (``proc_pid_status()``, fs/proc/array.c).

    Each number in a tuple was read on its own, without a lock, in the order of the fields here
    from ``ppid`` on: the file is not atomic. Tuples run from the /proc mount's namespace inwards.
    """

    name: bytes  # as escaped by the kernel
    state: str  # one letter: R S D T t Z X I …
    ppid: int
    tgid: int
    pid: int
    ns_tgid: tuple[int, ...]
    ns_pid: tuple[int, ...]
    ns_pgid: tuple[int, ...]
    ns_sid: tuple[int, ...]


class Zombie(NamedTuple):
    """What a status says of a task that has exited and is not released."""

    # Tasks of its process that are not released, itself included; None: no such line.
    threads: Optional[int]
    # Number of the thread that traces it, in the mount's namespace; 0: none there. It has to wait
    # before the parent's wait finds anything (``wait_consider_task()``, kernel/exit.c).
    tracer: Optional[int]
    # Of a leader: a thread of its process that has not exited; 0: all have; None: not known.
    living: Optional[int] = None


class Mount(NamedTuple):
    """The PID namespace that a /proc mount shows: the reader's own, or one around it."""

    ns: Optional[int]  # inum; None: not the reader's own, and may not be read
    initial: Optional[bool]  # every task of the machine has a number in the mount
    inside: Optional[int] = None  # inum of the reader's own namespace, if that is another


class TaskReading(NamedTuple):
    """One task, opened by ``number``: three files of /proc, read one after the other."""

    number: int
    status: Status
    # Field 22 of stat (`pidscope.host.ticks`); None: vanished meanwhile, or not asked for.
    start_ticks: Optional[int]
    # Inum of ns/pid; None: vanished, or this user may not read it. A snapshot may know it still.
    ns: Optional[int]
    zombie: Optional[Zombie] = None  # of a zombie, in a snapshot; None: it was reaped meanwhile


class Kept(NamedTuple):
    """PID namespaces in which no task lives, which something else keeps."""

    parents: Mapping[int, int]  # inum of each, and of its parent
    all_seen: bool  # whatever could keep one was looked at


class Unread(NamedTuple):
    """A file of one task that is there and cannot be read: it costs what it would have shown.

    ``what`` is ``task`` (it is missing from the snapshot) or ``cgroup`` (its container is not
    known). ``reason`` is foreign where it quotes the file, and not escaped.
    """

    number: int
    what: str
    reason: str


class Snapshot(NamedTuple):
    """All tasks, threads included, and the parent inum of each namespace where it is known.

    Each task was read in one of two ways: from /proc, or by the task iterator.
    """

    tasks: tuple[TaskReading, ...]
    ns_parents: Mapping[int, int] = MappingProxyType({})  # 0: it is the mount's own
    seen: tuple["TaskSeen", ...] = ()
    starts: bool = True  # the start of each task was asked for
    # The content of ``cgroup`` by process number; None: not asked for. One not in it has vanished,
    # or is in ``unread``.
    cgroups: Optional[Mapping[int, bytes]] = None
    unread: tuple[Unread, ...] = ()


class ProcReading(NamedTuple):
    """What a command reads of a /proc mount at once."""

    mount: Mount
    snapshot: Snapshot
    sees_all: bool  # no process is hidden
    boot_time: Optional[int]  # in seconds since the epoch; None: not known, or not asked for
    ticks_per_second: int  # USER_HZ
    # Of the reader's time namespace, in each start; None: not known, or not asked for.
    start_offset_ns: Optional[int]


class ProcFiles(Protocol):
    """The files of tasks in a /proc mount, by the task's number in the mount.

    What vanished, or may not be read, is None or left out.
    """

    def numbers(self) -> list[int]:
        """The process numbers listed, increasing."""

    def threads(self, number: int) -> list[int]:
        """The tids of process ``number``, increasing."""

    def read(self, number: int) -> Optional[TaskReading]:
        """Status, namespace and start of one task, all of one ``struct pid``."""

    def read_status(self, number: int) -> Optional[Status]:
        """The PID lines of one status file."""

    def judged_status(self, number: int) -> Optional[Status]:
        """The same; raises ProcError for one that is there and may not be read."""

    def read_zombie(self, number: int) -> Optional[Zombie]:
        """What a zombie's status has besides; None: it is none, or vanished."""

    def is_exiting(self, number: int) -> Optional[bool]:
        """Whether field 9 of stat has PF_EXITING; None: vanished."""

    def start_ticks(self, number: int) -> Optional[int]:
        """Field 22 of stat, the start as this reader is shown it (`pidscope.host.ticks`)."""

    def pid_ns(self, number: int) -> Optional[int]:
        """The inum of ``ns/pid``."""

    def forks(self) -> Optional[int]:
        """``processes`` of /proc/stat: the tasks born since boot, also threads; None: not there."""

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """(inum, inum of its parent) from the task's own PID namespace outwards."""

    def children_ns(self, number: int) -> Optional[int]:
        """The inum of ``ns/pid_for_children``, in which the task's children will be born."""

    def kept(self, known: Collection[int], whole: bool) -> Kept:
        """The PID namespaces inside the ``known`` ones, by inum, in which no task lives."""

    def mount(self) -> Mount:
        """The namespace that it shows."""

    def own_number(self) -> Optional[int]:
        """The number of the reader, if it has one here."""

    def sees_all(self) -> bool:
        """Whether no process is hidden."""

    def boot_id(self) -> Optional[str]:
        """The UUID of this boot, if it has one."""

    def last_pid(self) -> Optional[int]:
        """The last number given out in the reader's namespace."""

    def cgroups_of(self, numbers: Iterable[int]) -> Optional[Mapping[int, bytes]]:
        """The content of each process's ``cgroup``, by its number; None: there is no such file."""

    def sees_cgroups_whole(self) -> bool:
        """Whether ``cgroup`` shows whole paths."""

    def host_root(self) -> str:
        """The directory below which the host's files are."""


def take_snapshot(
    procfs: ProcFiles,
    threads: bool = True,
    read: Optional[Callable[[int], Optional[TaskReading]]] = None,
    covered: Collection[int] = (),
) -> Snapshot:
    """Read every task that is listed, and the parent of every PID namespace met.

    ``read`` reads one task in another way than ``procfs.read()`` does. Not atomic: a task born or
    gone during the walk may be in it or not. A file without the kernel's form costs its task.
    No file is opened of the processes that are ``covered`` by another mount, which may not answer.
    """
    read = read or procfs.read
    tasks: list[TaskReading] = []
    ns_parents: dict[int, int] = {}
    unread: list[Unread] = []
    for process in procfs.numbers():
        if process in covered:
            unread.append(Unread(process, "task", "another mount covers it"))
            continue
        # A leader comes first even if its number is not the group's smallest.
        others = [tid for tid in procfs.threads(process) if tid != process] if threads else []
        for reading in read_each(procfs, [process, *others], read, unread):
            tasks.append(reading)
            if reading.ns is not None and reading.ns not in ns_parents:
                ns_parents.update(procfs.ns_chain(reading.number))
    return Snapshot(tuple(tasks), ns_parents, unread=tuple(unread))


def read_each(
    procfs: ProcFiles,
    numbers: Iterable[int],
    read: Callable[[int], Optional[TaskReading]],
    unread: list[Unread],
) -> Iterator[TaskReading]:
    """Yield the tasks that are still there; one that cannot be read goes into ``unread``."""
    for number in numbers:
        try:
            reading = read(number)
        except ProcError as error:
            unread.append(Unread(number, "task", str(error)))
            continue
        if reading is not None and reading.status.state == "Z":
            reading = reading._replace(zombie=_zombie(procfs, reading))
        if reading is not None:
            yield reading


def _zombie(procfs: ProcFiles, task: TaskReading) -> Optional[Zombie]:
    """Return what else is known of a zombie; of a leader, also whether its process goes on.

    A leader that ends first stays a zombie until all other threads are released
    (``delay_group_leader()``, include/linux/sched/signal.h).
    """
    zombie = procfs.read_zombie(task.number)
    if zombie is None or zombie.threads is None or task.status.ns_pid != task.status.ns_tgid:
        return zombie
    others = procfs.threads(task.number) if zombie.threads > 1 else []
    return zombie._replace(living=next((tid for tid in others if _is_living(procfs, tid)), 0))


def _is_living(procfs: ProcFiles, tid: int) -> bool:
    status = procfs.read_status(tid)
    return status is not None and status.state not in "ZX"


def is_ending(procfs: ProcFiles, number: int) -> Optional[bool]:
    """Return whether every thread of process ``number`` is exiting; None: it vanished.

    A number 1 of which that is true waits, maybe for long, until its namespace is empty, which
    takes no task any more (``zap_pid_ns_processes()``, kernel/pid_namespace.c).
    """
    exiting = procfs.is_exiting(number)
    if not exiting:
        return exiting
    others = (procfs.is_exiting(tid) for tid in procfs.threads(number) if tid != number)
    return all(it is not False for it in others)
