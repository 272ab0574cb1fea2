"""Everything that can be read of a world: one row for each task, threads and zombies too.

Both sides are brought to this form: `read_state` reads it from the world's own proc mount, which is
of level 1, and `expected_state` from the model. Rows are equal or they are not, there is no
tolerance. A namespace is a label, the order in which it is met when one goes through the tasks by
number: labels say which tasks share one.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from pidscope.model.kernel import Kernel
from pidscope.model.pid import Pid, pid_nr_ns
from pidscope.model.pid_namespace import PidNamespace
from pidscope.model.proc import pidns_for_children_get
from pidscope.model.sched import EXIT_ZOMBIE, TaskStruct

LEVEL = 1
"""The level of the proc mount."""
UNREADABLE = -1
"""The label of a namespace that the kernel does not show."""

_STATUS = re.compile(
    rb"State:\t(\w)[^\n]*\nTgid:\t(\d+)\nNgid:\t\d+\nPid:\t(\d+)\nPPid:\t(\d+)\n.*?"
    rb"\nNStgid:\t([^\n]*)\nNSpid:\t([^\n]*)\nNSpgid:\t([^\n]*)\nNSsid:\t([^\n]*)\n"
    rb".*?Threads:\t(\d+)\n",
    re.DOTALL,
)
_AT_REST = b"SDIZ"  # waits for a command, for a vfork child, for its namespace to empty; zombie


class Row(NamedTuple):
    """One task as ``/proc/PID/status`` of the level 1 mount has it, and two labels."""

    zombie: bool
    tgid: int
    pid: int
    ppid: int
    threads: int
    nstgid: tuple[int, ...]
    nspid: tuple[int, ...]
    nspgid: tuple[int, ...]
    nssid: tuple[int, ...]
    ns: int
    children_ns: int

    def __str__(self) -> str:
        names = ("tgid", "pid", "pgid", "sid")
        lines = " ".join(f"{name} {','.join(map(str, ns))}" for name, ns in zip(names, self[5:9]))
        state = "zombie" if self.zombie else "alive "
        children = "?" if self.children_ns == UNREADABLE else self.children_ns
        ids = f"{self.pid} of {self.tgid} ({self.threads}) under {self.ppid}"
        return f"{state} {ids}, NS {lines}, in ns {self.ns}, children in {children}"


State = dict[int, Row]


class NotAtRest(Exception):
    """Somebody was running, or ended meanwhile: what was read is not of one moment."""


class Labels:
    """Numbers for namespaces in the order in which they are met."""

    def __init__(self) -> None:
        self._labels: dict[object, int] = {}

    def of(self, namespace: object) -> int:
        """The label of this one; None is one that cannot be read."""
        if namespace is None:
            return UNREADABLE
        return self._labels.setdefault(namespace, len(self._labels))


def read_state(proc: int) -> State:
    """Every task of a world by number, from its proc mount; raises NotAtRest."""
    try:
        rows: State = {}
        for leader in _numbers(proc):
            rows[leader] = _read_row(proc, leader)
            if rows[leader].threads > 1:
                for tid in _threads(proc, leader):
                    rows[tid] = _read_row(proc, tid)
        labels = Labels()
        for tid in sorted(rows):
            ns = os.readlink(f"{tid}/ns/pid", dir_fd=proc)
            rows[tid] = rows[tid]._replace(
                ns=labels.of(ns), children_ns=labels.of(_children_ns(proc, tid))
            )
    except (FileNotFoundError, ProcessLookupError, PermissionError) as gone:
        raise NotAtRest(str(gone)) from gone
    return rows


def _read_row(proc: int, tid: int) -> Row:
    file = os.open(f"{tid}/status", os.O_RDONLY, dir_fd=proc)
    with open(file, "rb", buffering=0) as status:
        match = _STATUS.search(status.read(8192))
    if match is None or match[1] not in _AT_REST:
        raise NotAtRest(f"{tid} is in state {match[1]!r}" if match else f"{tid} is gone")
    tgid, pid, ppid = int(match[2]), int(match[3]), int(match[4])
    tgids, pids, pgids, sids = (tuple(map(int, match[n].split())) for n in (5, 6, 7, 8))
    zombie = match[1] == b"Z"
    return Row(zombie, tgid, pid, ppid, int(match[9]), tgids, pids, pgids, sids, 0, 0)


def _threads(proc: int, leader: int) -> list[int]:
    """The tids of a process but its leader's."""
    directory = os.open(f"{leader}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc)
    try:
        return [tid for tid in _numbers(directory) if tid != leader]
    finally:
        os.close(directory)


def _numbers(directory: int) -> list[int]:
    return [int(name) for name in os.listdir(directory) if name.isdecimal()]


def _children_ns(proc: int, tid: int) -> str | None:
    """ns/pid_for_children: None for the dead, and for one without an init before 7.1."""
    try:
        return os.readlink(f"{tid}/ns/pid_for_children", dir_fd=proc)
    except FileNotFoundError:
        return None


def expected_state(kernel: Kernel) -> State:
    """Every task from level 1 inwards, by its number there."""
    numbered = ((number_at(task.thread_pid), task) for task in kernel.tasks())
    tasks = {number: task for number, task in numbered if number}
    labels = Labels()
    return {tid: _expected_row(tasks[tid], labels) for tid in sorted(tasks)}


def number_at(pid: Pid | None, level: int = LEVEL) -> int:
    """The number of a struct pid at a level; 0 if it has none."""
    return pid.numbers[level].nr if pid is not None and len(pid.numbers) > level else 0


def _expected_row(task: TaskStruct, labels: Labels) -> Row:
    pid, tgid, pgid, sid = task.thread_pid, *task.signal.pids[1:]
    assert pid is not None
    namespaces = [upid.ns for upid in pid.numbers[LEVEL:]]
    return Row(
        task.exit_state == EXIT_ZOMBIE,
        number_at(tgid),
        number_at(pid),
        number_at(task.real_parent.signal.pids[1]),
        len(task.signal.threads),
        _nrs(tgid, namespaces),
        _nrs(pid, namespaces),
        _nrs(pgid, namespaces),
        _nrs(sid, namespaces),
        labels.of(namespaces[-1]),
        labels.of(pidns_for_children_get(task)),
    )


def _nrs(pid: Pid | None, namespaces: list[PidNamespace]) -> tuple[int, ...]:
    return tuple(pid_nr_ns(pid, ns) for ns in namespaces)
