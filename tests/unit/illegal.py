"""Events that cannot come now, of a model kernel whose table is up to date."""

from __future__ import annotations

from pidscope.events import (
    Birth,
    Event,
    PidAttached,
    PidDetached,
    PidNumbers,
    PidType,
    TidsExchanged,
)
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_pid_ns
from pidscope.model.sched import TaskStruct, same_thread_group, thread_group_leader
from tests.unit.stepped_kernel import ROOT

NOBODY = 999_999
ZERO = PidNumbers((0,), ROOT)
_NOWHERE = 4711  # no namespace has this inum
_NEW = PidNumbers((NOBODY,), ROOT)
_STRANGER = Birth(NOBODY, 1, 0, b"x", 0, ZERO, ZERO)


def impossible(kernel: Kernel, task: TaskStruct) -> list[Event]:
    """Every kind of them; the first are of tasks that nobody knows (`unknown`)."""
    return [
        *unknown(task),
        *_births(kernel, task),
        *_changes(task),
        *_ends_and_exchanges(kernel, task),
    ]


def unknown(task: TaskStruct) -> list[Event]:
    """What is passed over while a start is replayed."""
    return [
        PidDetached(0, 1, NOBODY, NOBODY, 0),
        PidAttached(0, 1, NOBODY, PidType.PGID, _numbers(task)),
        TidsExchanged(0, 1, NOBODY, NOBODY - 1, 0, 0),
    ]


def _births(kernel: Kernel, task: TaskStruct) -> list[Event]:
    own, nr = _numbers(task), task.pid
    born = PidAttached(0, 1, NOBODY, PidType.PID, _NEW, _STRANGER)
    again = born._replace(tid=nr, pid=own)
    return [
        again._replace(birth=_STRANGER._replace(tgid=nr)),
        again._replace(birth=Birth(nr, 1, 1, b"", 0, own, own)),
        born._replace(birth=_STRANGER._replace(tgid=NOBODY - 1)),
        born._replace(birth=_STRANGER._replace(pgid=_NEW)),
        born._replace(birth=_STRANGER._replace(ppid=NOBODY - 1)),
        born._replace(pid=PidNumbers((NOBODY, 2), _NOWHERE)),
        born._replace(pid=PidNumbers((NOBODY,), _NOWHERE)),
        *(born._replace(pid=pid) for pid in _taken(kernel)),
        PidAttached(0, nr, nr, PidType.PID, own),
    ]


def _taken(kernel: Kernel) -> list[PidNumbers]:
    """A new number in the initial namespace, one in use in each that there is further in."""
    inside = (
        (pid.numbers[1:], level)
        for pid in kernel.init_pid_ns.allocator.pids.values()
        for level in range(1, len(pid.numbers))
    )
    return [
        PidNumbers((NOBODY, 5), _NOWHERE),
        *(
            PidNumbers((NOBODY, *(upid.nr for upid in inner[:level])), inner[level - 1].ns.inum)
            for inner, level in inside
        ),
    ]


def _changes(task: TaskStruct) -> list[Event]:
    own, nr = _numbers(task), task.pid
    change = PidAttached(0, nr, nr, PidType.SID, own)
    return [
        change._replace(pid_type=PidType.PGID, pid=_NEW),
        change._replace(pid=_NEW),
        change._replace(pid=PidNumbers((*own.numbers, 7), own.ns)),
        change._replace(pid=PidNumbers(own.numbers, _NOWHERE)),
    ]


def _ends_and_exchanges(kernel: Kernel, task: TaskStruct) -> list[Event]:
    nr, init = task.pid, find_task_by_pid_ns(1, kernel.init_pid_ns)
    assert init is not None
    found: list[Event] = [TidsExchanged(0, 1, nr, NOBODY, 0, 0)]
    if not thread_group_leader(task):
        found.append(TidsExchanged(0, 1, task.tgid, nr, 0, 0))
    elif len(task.signal.threads) > 1:
        found.append(PidDetached(0, 1, nr, nr, 0))
    if not same_thread_group(task, init):
        found.append(TidsExchanged(0, 1, 1, nr, 0, 0))
    return found


def _numbers(task: TaskStruct) -> PidNumbers:
    assert task.thread_pid is not None
    return task.thread_pid.pid_numbers
