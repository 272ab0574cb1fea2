"""Reading every task while the stream goes on, for a start: by the task iterator, or in /proc.

What the iterator shows is believed; what it does not show may exist all the same, because a kernel
may leave processes out of it (observed: process 1 with all its threads). So /proc is listed too,
and a process whose leader the iterator did not show is read in /proc, with its threads. A process
born or ended between the two is read for nothing; its event is in the window.

The threads of a process that was shown are not counted again in /proc. It would take one listing a
process, a good part of what the iterator saves, and nothing in how the kernel iterates calls for
it: it goes from number to number, whatever task has them, so that a thread is left out only by
intent, and intent concerns processes, as in /proc. If it happened all the same, it would be found:
the thread's release would be illegal, and `pidscope.verify.verdicts` judges each thread that /proc
lists.

A process that execs meanwhile is read again in /proc, and one that loses a thread while its threads
are listed there is listed again: see `pidscope.table.start`.
"""

from __future__ import annotations

from pidscope.errors import HostError
from pidscope.events import Event, TaskSeen
from pidscope.session.stream import Stream
from pidscope.session.world import World
from pidscope.snapshot import Snapshot, TaskReading
from pidscope.table.start import cut_short, to_read_again

_ATTEMPTS = 100


class ReadTasks:
    """One reading of all tasks, after a fence.

    ``window`` is every event from the first reading to the last. ``refused``: why the task
    iterator, though it is there, could not be read.
    """

    def __init__(self, world: World, stream: Stream) -> None:
        self._world = world
        self._procfs = world.procfs
        self._stream = stream
        self.window: list[Event] = []
        self.refused = ""
        self._seen: dict[int, list[TaskSeen]] = {}  # by process, as the rest
        self._read: dict[int, list[TaskReading]] = {}
        self._ns_parents: dict[int, int] = {}

    def read_all(self) -> Snapshot:
        """Read each process whole in one of the two ways.

        Raises:
            HostError: threads end or processes exec faster than they can be read.
        """
        todo = set(self._procfs.numbers())
        self._iterate()
        todo -= self._seen.keys()
        for _ in range(_ATTEMPTS):
            begun = len(self.window)
            for number in sorted(todo):
                self._read_process(number)
            self._drain()
            known = self._seen.keys() | self._read.keys()
            todo = to_read_again(self.window[begun:]) & known
            if not todo:
                return self._snapshot()
        raise HostError(f"processes {sorted(todo)} exec faster than they can be read")

    def _snapshot(self) -> Snapshot:
        tasks = tuple(task for process in self._read.values() for task in process)
        seen = tuple(task for process in self._seen.values() for task in process)
        return Snapshot(tasks, self._ns_parents, seen)

    def _iterate(self) -> None:
        """Keep the processes whose leader is shown: of others it may not show all."""
        try:
            rows = self._world.tasks()
        except OSError as error:
            self.refused = str(error)
            return
        processes: dict[int, list[TaskSeen]] = {}
        for row in rows or ():
            processes.setdefault(row.birth.tgid, []).append(row)
        for number, process in processes.items():
            if any(row.tid == number for row in process):
                self._seen[number] = process

    def _read_process(self, number: int) -> None:
        tids = self._list_threads(number)
        self._seen.pop(number, None)
        self._read[number] = []
        for tid in tids:
            reading = self._procfs.read(tid)
            if reading is None or reading.status.ns_tgid[0] != number:
                continue  # gone, or another process's thread by now: that has its own listing
            self._read[number].append(reading)
            if reading.ns is not None and reading.ns not in self._ns_parents:
                self._ns_parents.update(self._procfs.ns_chain(tid))
        self._drain()

    def _list_threads(self, number: int) -> set[int]:
        for _ in range(_ATTEMPTS):
            self._drain()
            self._world.fence()
            begun = len(self.window)
            tids = {number, *self._procfs.threads(number)}
            self._drain()
            if not cut_short(number, self.window[begun:]):
                return tids
        raise HostError(f"threads of {number} end faster than they can be listed")

    def _drain(self) -> None:
        self.window.extend(self._stream.read(self._stream.position))
