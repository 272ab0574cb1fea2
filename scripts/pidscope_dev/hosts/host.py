"""A host as a value: its namespaces, processes and containers, with what is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pidscope.snapshot import Mount, ProcReading, Snapshot, Status, TaskReading

HOST_NS = 4026531836


@dataclass
class Namespace:
    """A PID namespace; ``taken`` are the numbers that processes have in it."""

    ns: int
    parent: Namespace | None = None
    taken: set[int] = field(default_factory=set)

    def outwards(self) -> Iterator[Namespace]:
        at: Namespace | None = self
        while at is not None:
            yield at
            at = at.parent


@dataclass(eq=False)
class Process:
    """A process; ``numbers`` are by inum."""

    place: Namespace
    numbers: dict[int, int]
    parent: int
    started: int
    paths: dict[str, str]  # by hierarchy: systemd, pids, unified
    box: Box | None = None  # that it belongs to, wherever its cgroup is
    moved: bool = False

    @property
    def number(self) -> int:
        return self.numbers[HOST_NS]


@dataclass(eq=False)
class Box:
    """A container, and what is true of it."""

    runtime: str
    id: str
    place: Namespace  # whose its numbers are
    paths: dict[str, str]
    name: str | None = None
    engine: bool = False  # root's engine answers with its name and its first process
    pod: tuple[str, str] | None = None  # name and uid
    member: str | None = None  # what it is in the pod; None: its sandbox
    user: int | None = None  # who made its cgroup
    first: Process | None = None
    monitors: int = 0

    @property
    def lost(self) -> bool:
        """Whether its first process has been moved away, so that its cgroup shows another's."""
        return self.first is None or self.first.moved


@dataclass
class Host:
    """All of it; ``version`` of cgroups: v1, v2 or hybrid."""

    version: str
    root: Namespace
    processes: list[Process] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def at(self, number: int, ns: int) -> Process | None:
        """What has a number in a namespace."""
        return next((it for it in self.processes if it.numbers.get(ns) == number), None)

    def reading(self) -> ProcReading:
        """What /proc shows."""
        tasks = tuple(map(_task, sorted(self.processes, key=lambda it: it.number)))
        parents = {
            inner.ns: inner.parent.ns if inner.parent else 0
            for it in self.processes
            for inner in it.place.outwards()
        }
        cgroups = {it.number: self._cgroup(it) for it in self.processes}
        snapshot = Snapshot(tasks, parents, cgroups=cgroups)
        return ProcReading(Mount(HOST_NS, True), snapshot, True, 0, 100, 0)

    def _cgroup(self, process: Process) -> bytes:
        systemd, pids, unified = (process.paths[it] for it in ("systemd", "pids", "unified"))
        lines = {
            "v1": (f"9:name=systemd:{systemd}", f"8:pids:{pids}", f"1:cpu,cpuacct:{pids}"),
            "v2": (f"0::{unified}",),
            "hybrid": (f"9:name=systemd:{systemd}", f"8:pids:{pids}", f"0::{systemd}"),
        }
        return "".join(f"{line}\n" for line in lines[self.version]).encode()


def _task(process: Process) -> TaskReading:
    spaces = [it.ns for it in process.place.outwards()][::-1]
    numbers = tuple(process.numbers[ns] for ns in spaces)
    groups = tuple(0 for _ in numbers)
    status = Status(
        b"x", "S", process.parent, numbers[0], numbers[0], numbers, numbers, groups, groups
    )
    return TaskReading(process.number, status, process.started, process.place.ns)
