"""A /proc as it was read once: what commands that list ask of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from pidscope.history.listing_json import Listing
from pidscope.snapshot import Kept, Mount, ProcReading, Status, TaskReading, Zombie


class ListedProc:
    """A `pidscope.snapshot.ProcFiles`: what was not read is not known.

    Args:
        listing: what was read.
        boot_id: of the boot in which it was.
    """

    def __init__(self, listing: Listing, boot_id: str | None) -> None:
        self.listing = listing
        self._boot_id = boot_id

    @cached_property
    def _tasks(self) -> Mapping[int, TaskReading]:
        return {it.number: it for it in self.listing.reading.snapshot.tasks}

    def read_all(self, threads: bool, starts: bool, cgroups: bool) -> ProcReading:
        """Return all that was read; threads and cgroups only if they are asked for."""
        reading = self.listing.reading
        snapshot = reading.snapshot
        if not threads:
            leaders = (it for it in snapshot.tasks if it.number == it.status.ns_tgid[0])
            snapshot = snapshot._replace(tasks=tuple(leaders))
        if not cgroups:
            snapshot = snapshot._replace(cgroups=None)
        return reading._replace(snapshot=snapshot)

    def numbers(self) -> list[int]:
        """The process numbers that were listed, increasing."""
        return sorted({it.status.ns_tgid[0] for it in self._tasks.values()})

    def threads(self, number: int) -> list[int]:
        """The tids of process ``number``, increasing."""
        tasks = self._tasks.values()
        return sorted(it.number for it in tasks if it.status.ns_tgid[0] == number)

    def read(self, number: int) -> TaskReading | None:
        """Status, namespace and start of one task."""
        return self._tasks.get(number)

    def read_status(self, number: int) -> Status | None:
        """The PID lines of one status file."""
        task = self._tasks.get(number)
        return None if task is None else task.status

    def judged_status(self, number: int) -> Status | None:
        """The same."""
        return self.read_status(number)

    def read_zombie(self, number: int) -> Zombie | None:
        """What a zombie's status has besides."""
        task = self._tasks.get(number)
        return None if task is None else task.zombie

    def is_exiting(self, number: int) -> bool | None:
        """Whether the task was exiting, of the threads of a number 1."""
        return self.listing.exiting.get(number)

    def start_ticks(self, number: int) -> int | None:
        """Field 22 of stat."""
        task = self._tasks.get(number)
        return None if task is None else task.start_ticks

    def pid_ns(self, number: int) -> int | None:
        """The inum of ``ns/pid``."""
        task = self._tasks.get(number)
        return None if task is None else task.ns

    def forks(self) -> int | None:
        """Return None: that is in another part of the recording."""
        return None

    def ns_chain(self, number: int) -> list[tuple[int, int]]:
        """(inum, inum of its parent) from the task's own PID namespace outwards."""
        parents = self.listing.reading.snapshot.ns_parents
        chain: list[tuple[int, int]] = []
        ns = self.pid_ns(number)
        while ns is not None and ns in parents and len(chain) <= len(parents):
            chain.append((ns, parents[ns]))
            ns = parents[ns] or None
        return chain

    def children_ns(self, number: int) -> int | None:
        """The inum of ``ns/pid_for_children``."""
        return self.listing.children_ns.get(number)

    def kept(self, known: Collection[int], whole: bool) -> Kept:
        """The PID namespaces in which no task lived, as far as they were looked for."""
        found = self.listing.kept
        return found._replace(
            parents={ns: it for ns, it in found.parents.items() if ns not in known}
        )

    def mount(self) -> Mount:
        """The namespace that it showed."""
        return self.listing.reading.mount

    def own_number(self) -> int | None:
        """Return None: its reader is not this process."""
        return None

    def sees_all(self) -> bool:
        """Whether no process was hidden."""
        return self.listing.reading.sees_all

    def boot_id(self) -> str | None:
        """The UUID of that boot."""
        return self._boot_id

    def last_pid(self) -> int | None:
        """The last number given out in the reader's namespace."""
        return self.listing.last_pid

    def cgroups_of(self, numbers: Iterable[int]) -> Mapping[int, bytes] | None:
        """The content of each process's ``cgroup``."""
        cgroups = self.listing.reading.snapshot.cgroups
        if cgroups is None:
            return None
        return {number: cgroups[number] for number in numbers if number in cgroups}

    def sees_cgroups_whole(self) -> bool:
        """Whether ``cgroup`` showed whole paths."""
        return self.listing.whole_cgroups

    def host_root(self) -> str:
        """Return the name of no directory: the host's files are not here."""
        return "/nonexistent"
