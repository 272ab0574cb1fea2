"""What tracepoints tell of the model: less than the function hooks do, and later.

The model tells by function hooks. Here each of its acts is told as the tracepoints of
bpf/newtask.c would: a birth after the attachment, at the latest before the child or its forker does
anything else; an end any time after the release; changes of group and session, and exchanges, not
at all; an exec with the task as it is then. What a record holds is read when it is told.
"""

from __future__ import annotations

import itertools
import random
from typing import Callable

from pidscope import events
from pidscope.model.kernel import Kernel
from pidscope.model.sched import TaskStruct
from pidscope.simulated.iterator import _row
from pidscope.simulated.ring import RING_BYTES
from pidscope.verify.hook_counts import accounted
from pidscope.wire.encode import encode
from pidscope.wire.hooks import TRACEPOINT, TRACEPOINT_HOOKS
from tests.unit.stepped_kernel import FaultyWorld, undisturbed

_SOON = 0.3  # how likely what is due is told at the next act of anybody


class _Newborn:
    """A task that was attached and has not been woken; ``told`` of by task_newtask or not."""

    def __init__(self, task: TaskStruct, forker: int) -> None:
        self.task = task
        self.forker = forker
        self.flags = 0
        self.told = False


class Tracer:
    """Between a model's function hooks and whoever is told by tracepoints.

    ``change`` may make another event of each, or None: then its tracepoint did not run at all.
    """

    def __init__(
        self,
        kernel: Kernel,
        told: Callable[[events.Event, events.TaskSeen | None], None],
        rng: random.Random,
    ) -> None:
        self.kernel = kernel
        self.told = told
        self.rng = rng
        self.newborn: dict[int, _Newborn] = {}
        self.freed: list[events.TaskFreed] = []  # released, and not told of yet
        self.change: Callable[[events.Event], events.Event | None] = lambda event: event

    def hooked(self, event: events.Event) -> None:
        """A function hook runs, before the change that it tells of."""
        self._others()
        actors = {getattr(event, "by", 0)}
        if isinstance(
            event, (events.TaskExited, events.TaskExecuted, events.TaskRenamed, events.PidDetached)
        ):
            actors.add(event.tid)
        if isinstance(event, events.TaskCreated) and event.tid in self.newborn:
            self.newborn[event.tid].flags = event.flags
            return
        for tid, newborn in list(self.newborn.items()):
            if tid in actors or newborn.forker in actors:
                self._wake(tid)
        self._translate(event)

    def settle(self) -> None:
        """Tell all that is due."""
        for tid in list(self.newborn):
            self._wake(tid)
        while self.freed:
            self._tell(self.freed.pop())

    def is_new(self, tid: int) -> bool:
        return tid in self.newborn

    def _translate(self, event: events.Event) -> None:
        if isinstance(event, events.PidAttached):
            if event.birth is not None:
                self.newborn[event.tid] = _Newborn(self._attaching(event.tid), event.by)
        elif isinstance(event, events.PidDetached):
            start_ns = self._task(event.tid).start_boottime
            self.freed.append(events.TaskFreed(event.ts_ns, 0, event.tid, event.tgid, start_ns))
        elif isinstance(event, events.TaskExecuted):
            self._tell(event, self._executed_as(event))
        elif isinstance(event, (events.TaskRenamed, events.TaskExited, events.TaskMoved)):
            self._tell(event)

    def _executed_as(self, event: events.TaskExecuted) -> events.TaskSeen:
        seen = self._seen(self._task(event.tid), event.ts_ns)
        birth = seen.birth._replace(comm=event.comm)  # the name is set before the tracepoint
        return seen._replace(by=event.by, birth=birth)

    def _attaching(self, tid: int) -> TaskStruct:
        """The task whose record came before it is attached as PID."""
        tasks = list(self.kernel.tasks())
        linked = itertools.chain(*(t.signal.threads for t in tasks), *(t.children for t in tasks))
        return next(task for task in linked if task.pid == tid)

    def _task(self, tid: int) -> TaskStruct:
        return next(task for task in self.kernel.tasks() if task.pid == tid)

    def _others(self) -> None:
        """What other CPUs come to tell."""
        for tid, newborn in list(self.newborn.items()):
            if self.rng.random() < _SOON:
                if newborn.told:
                    del self.newborn[tid]
                else:
                    self._tell_birth(newborn)
        while self.freed and self.rng.random() < _SOON:
            self._tell(self.freed.pop(self.rng.randrange(len(self.freed))))

    def _wake(self, tid: int) -> None:
        newborn = self.newborn.pop(tid)
        if not newborn.told:
            self._tell_birth(newborn)

    def _tell_birth(self, newborn: _Newborn) -> None:
        newborn.told = True
        task, by = newborn.task, newborn.forker
        seen = self._seen(task, self.kernel.now_ns)
        self._tell(
            events.PidAttached(
                seen.birth.start_ns, by, seen.tid, events.PidType.PID, seen.pid, seen.birth
            )
        )
        self._tell(events.TaskCreated(seen.ts_ns, by, seen.tid, newborn.flags, task.cgroup.id, 0))

    def _seen(self, task: TaskStruct, ts_ns: int) -> events.TaskSeen:
        row = undisturbed(_row(self.kernel, task))
        assert row is not None
        return row._replace(ts_ns=ts_ns)

    def _tell(self, event: events.Event, then: events.TaskSeen | None = None) -> None:
        changed = self.change(event)
        if changed is not None:
            self.told(changed, then)


def wrong_number(event: events.Event) -> events.Event:
    """The innermost number of a birth further in is another one."""
    if isinstance(event, events.PidAttached) and event.pid.level:
        numbers = (*event.pid.numbers[:-1], event.pid.numbers[-1] + 1000)
        return event._replace(pid=events.PidNumbers(numbers, event.pid.ns))
    return event


class TracedWorld(FaultyWorld):
    """The model as a host where only tracepoints can be had."""

    way = TRACEPOINT  # type: ignore[assignment]

    def __init__(
        self,
        kernel: Kernel,
        play: Callable[[], bool],
        seed: int = 0,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        super().__init__(kernel, play, seed, ring_bytes)
        self.tracer = Tracer(kernel, self._told, random.Random(seed + 1))

    def tasks(self) -> list[events.TaskSeen]:
        new = self.tracer.is_new
        return [row._replace(by=0 if new(row.tid) else row.tid) for row in super().tasks() or ()]

    def sees(self, name: str) -> bool:
        return name in self.hits()

    def hits(self) -> dict[str, int]:
        return {hook.name: self._hits[hook.name] for hook in TRACEPOINT_HOOKS}

    def quiet(self) -> None:
        """Nobody acts any more, and all that happened is told."""
        self.busy = False
        self.tracer.settle()

    def _hooked(self, event: events.Event) -> None:
        self.tracer.hooked(event)

    def _told(self, event: events.Event, then: events.TaskSeen | None) -> None:
        hook, hits = accounted(event, TRACEPOINT)
        self._hits[hook] += hits
        if not self.ring.write(encode(event, self.lost, then)):
            self.lost += 1
