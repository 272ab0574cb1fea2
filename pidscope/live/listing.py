"""The tasks of this host as its /proc shows them, by one walk of the kernel instead of its files.

Only kept instructions are used (`pidscope.live.kept_programs`): compiling takes longer than reading
every file. A walk of thousands of tasks takes milliseconds. /proc is asked for what it cannot tell:
the names of workers, tasks deeper than its rows, and processes that it leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from pidscope.errors import HostError
from pidscope.host.cgroup_files import CgroupFiles
from pidscope.host.proc import ProcFs
from pidscope.host.proc_files import read_file
from pidscope.host.ticks import shown_ticks
from pidscope.host.time_namespace import offsets_of_reader
from pidscope.live.compiled import LISTING
from pidscope.live.iterator import TaskIterator
from pidscope.live.kept_programs import KeptPrograms
from pidscope.snapshot import Snapshot, Status, TaskReading, Unread, Zombie, read_each
from pidscope.wire.listing import Ask, Listed, decode_listing, name_in_status

_new = tuple.__new__  # a NamedTuple's own constructor takes three times as long


def kept_listing(kept: KeptPrograms | None) -> TaskIterator:
    """Return the listing, loaded; raise HostError if none is kept or the kernel refuses it.

    It is in the kernel until it is closed, or this process ends.
    """
    compiled = None if kept is None else kept.programs(LISTING, False)
    if compiled is None:
        raise HostError(
            "no program for this kernel is kept, to read its tasks with",
            "pidscope doctor compiles one, as root; or use --source proc",
        )
    try:
        return TaskIterator(compiled)
    except OSError as error:
        raise HostError(f"the kernel refuses a task iterator: {error.strerror}") from error


class TaskListing:
    """What `ProcFs.snapshot` reads, of a /proc of the initial PID namespace.

    Args:
        walk: gives the bytes of one walk; raises OSError.
        procfs: the /proc.

    Raises:
        HostError: the walk is through another PID namespace.
    """

    def __init__(self, walk: Callable[[], bytes], procfs: ProcFs) -> None:
        mount = procfs.mount()
        if not mount.initial or mount.inside is not None:
            raise HostError(
                "the task iterator shows only the tasks of this PID namespace", "use --source proc"
            )
        self._walk, self._procfs, self._ns = walk, procfs, mount.ns

    def snapshot(
        self, threads: bool = True, starts: bool = True, cgroups: bool = False
    ) -> Snapshot:
        """Read every task as `ProcFs.snapshot` does.

        Raises:
            OSError, WireError: the walk failed. HostError: /proc cannot be listed, or its time
                namespace cannot be known.
        """
        offset_ns = offsets_of_reader(self._procfs).start_ns if starts else None
        processes = self._procfs.numbers()
        listed = decode_listing(self._walk())
        shown = listed if threads else [it for it in listed if it.is_leader]
        unread: list[Unread] = []
        tasks = self._tasks(shown, listed, offset_ns)
        tasks += self._others(processes, shown, threads, unread)
        tasks.sort(key=_place)
        paths = self._cgroups(tasks, listed) if cgroups else None
        return Snapshot(
            tuple(tasks),
            self._ns_parents(tasks, listed),
            starts=starts,
            cgroups=None if paths is None else paths.found,
            unread=tuple(unread) if paths is None else (*unread, *paths.unread),
        )

    def _tasks(
        self, shown: Iterable[Listed], listed: Iterable[Listed], offset_ns: int | None
    ) -> list[TaskReading]:
        """Return those of which the walk tells all, or all but the name."""
        ns_per_tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        living = _Living(listed)
        tasks = []
        for it in shown:
            if it.ask is Ask.ALL:
                continue
            status = it.status if it.ask is Ask.NOTHING else self._named(it.status)
            ticks = None if offset_ns is None else shown_ticks(it.start_ns, ns_per_tick, offset_ns)
            zombie = living.zombie(it) if status.state == "Z" else None
            task = (status.pid, status, ticks, it.inums[-1], zombie)
            tasks.append(_new(TaskReading, task))
        return tasks

    def _named(self, status: Status) -> Status:
        """Return it with the whole name of a kernel thread."""
        name = (read_file(f"{self._procfs.root}/{status.pid}/comm") or b"").removesuffix(b"\n")
        # If not, the thread has ended, and the number may be another's.
        whole = name.startswith(status.name.partition(b"\\")[0])
        return status._replace(name=name_in_status(name)) if whole else status

    def _others(
        self,
        processes: Iterable[int],
        shown: Iterable[Listed],
        threads: bool,
        unread: list[Unread],
    ) -> list[TaskReading]:
        """Return by their files those of which the walk does not tell all, or nothing."""
        procfs = self._procfs
        numbers = [it.status.pid for it in shown if it.ask is Ask.ALL]
        known = {it.status.pid for it in shown}
        for process in processes:
            if process not in known:
                mine = procfs.threads(process) if threads else [process]
                numbers += [tid for tid in mine if tid not in known]
        return list(read_each(procfs, numbers, self._read, unread))

    def _read(self, number: int) -> TaskReading | None:
        """Read one task; with one number it is in the outermost namespace, link or no link."""
        task = self._procfs.read(number)
        if task is not None and len(task.status.ns_pid) == 1:
            return task._replace(ns=self._ns)
        return task

    def _ns_parents(self, tasks: Iterable[TaskReading], listed: Iterable[Listed]) -> dict[int, int]:
        """Return the parent of each namespace, by inum; 0: it is the initial one."""
        chains = {it.inums for it in listed if it.ask is not Ask.ALL}
        parents = {inum: outer for chain in chains for inum, outer in zip(chain, (0, *chain))}
        for task in tasks:
            if task.ns is not None and task.ns not in parents:
                parents.update(self._procfs.ns_chain(task.number))
        return parents

    def _cgroups(self, tasks: Iterable[TaskReading], listed: Iterable[Listed]) -> CgroupFiles:
        ids = {it.status.pid: it.cgroup_id for it in listed}
        leaders = (it.number for it in tasks if it.status.ns_pid == it.status.ns_tgid)
        found = CgroupFiles()
        found.read_by_id(self._procfs.root, {number: ids.get(number, 0) for number in leaders})
        return found


class _Living:
    """The threads that have not exited, of the processes of which that is asked."""

    def __init__(self, listed: Iterable[Listed]) -> None:
        self._listed: Collection[Listed] = list(listed)
        self._of: dict[int, int] | None = None

    def zombie(self, it: Listed) -> Zombie:
        """Return what else is known of a zombie, as `pidscope.snapshot.take_snapshot` has it."""
        if not it.is_leader:
            return Zombie(it.threads, it.tracer)
        if self._of is None:
            living = (it.status for it in self._listed if it.status.state not in "ZX")
            self._of = {status.tgid: status.pid for status in living}
        return Zombie(it.threads, it.tracer, self._of.get(it.status.tgid, 0))


def _place(task: TaskReading) -> tuple[int, bool, int]:
    """A process's threads stand behind its leader, as a listing of /proc has them."""
    tgid = task.status.tgid
    return tgid, task.number != tgid, task.number
