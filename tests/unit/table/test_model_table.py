"""model -> wire -> table: whatever the model does, the table follows, through bytes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pidscope import events
from pidscope.errors import IllegalEvent
from pidscope.model.exit import complete_signal
from pidscope.model.features import LINUX_4_4, TODAY, Features
from pidscope.model.fork import CLONE_PARENT, CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.nsproxy import CLONE_NEWPID
from pidscope.model.pid import find_task_by_pid_ns, pid_vnr
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import PF_KTHREAD, SIGKILL, TaskStruct
from pidscope.model.syscalls import call
from pidscope.simulated.procfs import SimulatedProcFs
from pidscope.table.start import start
from pidscope.table.table import Table
from pidscope.wire.decode import decode
from pidscope.wire.encode import encode
from tests.unit.compare import expect_equal, of_table
from tests.unit.illegal import impossible, unknown
from tests.unit.stepped_kernel import place_cursors, undisturbed

WHICH = strategies.integers(0, 1 << 16)
FLAGS = strategies.sampled_from([0, 0, CLONE_NEWPID, CLONE_THREAD, CLONE_PARENT])


class ModelAndTable(RuleBasedStateMachine):
    """One kernel; its events go through bytes to a table that was started somewhere on the way."""

    @initialize(features=strategies.sampled_from([TODAY, LINUX_4_4]))
    def boot(self, features: Features) -> None:
        self.kernel = Kernel(features, self.listen)
        self.queue: list[events.Event] = []
        self.kernel.init_pid_ns.pid_max = 32
        self.pick_number: Callable[[Sequence[int]], int] | None = None
        for _ in range(3):
            call(self.kernel.init, "fork")
        self.table = self.started()

    def listen(self, event: events.Event) -> None:
        self.queue.append(decode(encode(event)).event)

    def started(self) -> Table:
        """A table from the model's own /proc, as at any moment."""
        self.queue.clear()
        snapshot = SimulatedProcFs(self.kernel, undisturbed).snapshot()
        return start(snapshot, [], self.kernel.init_pid_ns.inum, NS_PER_TICK)

    def actor(self, which: int) -> TaskStruct:
        able = [t for t in self.kernel.tasks() if not t.blocked and not t.flags & PF_KTHREAD]
        return able[which % len(able)]

    def number(self, which: int, actor: TaskStruct) -> int:
        tasks = list(self.kernel.tasks())
        return pid_vnr(tasks[which % len(tasks)].thread_pid, actor)

    def make(self, actor: TaskStruct, name: str, *args: Any) -> None:
        if self.pick_number is not None:
            place_cursors(self.kernel, self.pick_number)
        with contextlib.suppress(OSError):
            call(actor, name, *args)

    @rule(which=WHICH, flags=FLAGS, bad=strategies.booleans())
    def clone(self, which: int, flags: int, bad: bool) -> None:
        if len(list(self.kernel.tasks())) < 30:
            self.make(self.actor(which), "clone", flags, (), bad and bool(which % 3))

    @rule(which=WHICH)
    def vfork(self, which: int) -> None:
        self.make(self.actor(which), "vfork")

    @rule(which=WHICH)
    def unshare(self, which: int) -> None:
        self.make(self.actor(which), "unshare", CLONE_NEWPID)

    @rule(which=WHICH, into=WHICH)
    def setns(self, which: int, into: int) -> None:
        spaces = [t.thread_pid.numbers[-1].ns for t in self.kernel.tasks() if t.thread_pid]
        self.make(self.actor(which), "setns", spaces[into % len(spaces)])

    @rule(which=WHICH)
    def execve(self, which: int) -> None:
        self.make(self.actor(which), "execve", b"program%d" % which)

    @rule(which=WHICH)
    def rename(self, which: int) -> None:
        self.make(self.actor(which), "set_comm", b"name%d" % which)

    @rule(
        which=WHICH,
        name=strategies.sampled_from(["exit", "exit_group"]),
        code=strategies.integers(0, 255),
    )
    def exit(self, which: int, name: str, code: int) -> None:
        actor = self.actor(which)
        if actor.signal is not self.kernel.init.signal:
            self.make(actor, name, code)

    @rule(which=WHICH, whom=WHICH, sig=strategies.sampled_from([0, 9, 15]))
    def kill(self, which: int, whom: int, sig: int) -> None:
        actor = self.actor(which)
        nr = self.number(whom, actor)
        if nr > 0:
            self.make(actor, "kill", nr, sig)

    @rule(which=WHICH)
    def wait(self, which: int) -> None:
        self.make(self.actor(which), "wait4", -1)

    @rule(which=WHICH)
    def setsid(self, which: int) -> None:
        self.make(self.actor(which), "setsid")

    @rule(which=WHICH, whom=WHICH, group=WHICH)
    def setpgid(self, which: int, whom: int, group: int) -> None:
        actor = self.actor(which)
        own = [0, self.number(whom, actor)]
        self.make(actor, "setpgid", own[whom % 2], own[group % 2] or self.number(group, actor))

    @rule(which=WHICH)
    def subreaper(self, which: int) -> None:
        self.make(self.actor(which), "set_child_subreaper", which % 2)

    @rule(which=WHICH, nr=strategies.sampled_from([0, 1, 5, 299, 300, 301, 32766]))
    def ns_last_pid(self, which: int, nr: int) -> None:
        self.make(self.actor(which), "write_ns_last_pid", nr)

    @rule(pick=WHICH)
    def pick_numbers(self, pick: int) -> None:
        """They come again at once, or late, or anyhow, or in turn."""
        self.pick_number = (min, max, random.Random(pick).choice, None)[pick % 4]

    @rule()
    def begin_anew(self) -> None:
        """A new start over what is there: held and partial struct pids are not told by /proc."""
        if all(
            pid.tasks[events.PidType.PID] for pid in self.kernel.init_pid_ns.allocator.pids.values()
        ):
            self.table = self.started()

    @precondition(lambda self: hasattr(self, "table"))
    @rule(which=WHICH, kind=WHICH)
    def illegal(self, which: int, kind: int) -> None:
        """What cannot follow raises and changes nothing."""
        before = of_table(self.table), self.table.generation
        tasks = list(self.kernel.tasks())
        events = impossible(self.kernel, tasks[which % len(tasks)])
        with pytest.raises(IllegalEvent):
            self.table.apply(events[kind % len(events)])
        assert (of_table(self.table), self.table.generation) == before

    @precondition(lambda self: hasattr(self, "table"))
    @rule(kind=strategies.sampled_from([0, 1, 2]))
    def replayed(self, kind: int) -> None:
        """While a start is replayed, what is told of the unknown is passed over."""
        before = of_table(self.table)
        init = find_task_by_pid_ns(1, self.kernel.init_pid_ns)  # another, once a thread called exec
        self.table.replay = True
        self.table.apply(unknown(init)[kind])
        self.table.replay = False
        assert of_table(self.table) == before

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "table"):
            return
        for event in self.queue:
            self.table.apply(event)
        self.queue.clear()
        expect_equal(self.table, self.kernel)

    def teardown(self) -> None:
        """When every task has gone nothing is left."""
        if not hasattr(self, "table"):
            return
        for task in self.kernel.tasks():
            if task.signal is not self.kernel.init.signal and not task.flags & PF_KTHREAD:
                complete_signal(task, SIGKILL)
        self.kernel.come_to_rest()
        init = find_task_by_pid_ns(1, self.kernel.init_pid_ns)
        call(init, "execve", b"last")  # its other threads end
        with pytest.raises(ChildProcessError):
            while call(init, "wait4", -1):
                pass
        self.equal()
        for number in (2, 1):
            self.table.apply(events.PidDetached(0, 0, number, number, 0))
        assert list(self.table.namespaces) == [self.table.root.inum]
        assert self.table.root.pids == {}
        assert not self.table.init_struct_pid.groups
        assert not self.table.init_struct_pid.sessions


ModelAndTable.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestModelAndTable = ModelAndTable.TestCase


# The machine can fail


def _forget(event: type, **fields: object) -> Callable[[events.Event], events.Event | None]:
    """Lose the events of a kind on their way, those with these fields."""

    def pass_on(passing: events.Event) -> events.Event | None:
        lost = isinstance(passing, event) and passing._asdict().items() >= fields.items()
        return None if lost else passing

    return pass_on


def _in_own_session(event: events.Event) -> events.Event:
    if isinstance(event, events.PidAttached) and event.birth:
        return event._replace(birth=event.birth._replace(sid=event.pid))
    return event


def _innermost_only(event: events.Event) -> events.Event:
    if isinstance(event, events.PidAttached) and event.birth is None:
        return event._replace(pid=events.PidNumbers(event.pid.numbers[:1], 0xEFFFFFFC))
    return event


def _wrong_way_round(event: events.Event) -> events.Event:
    if isinstance(event, events.TidsExchanged):
        return event._replace(tid=event.leader, leader=event.tid)
    return event


@pytest.mark.parametrize(
    "fault",
    [
        _forget(events.PidDetached),
        _forget(events.PidAttached, pid_type=events.PidType.SID),
        _forget(events.PidAttached, pid_type=events.PidType.PGID),
        _forget(events.TaskRenamed),
        _in_own_session,
        _innermost_only,
        _wrong_way_round,
    ],
)
def test_a_fault_on_the_way_is_found(fault: Callable[[events.Event], events.Event | None]) -> None:
    class Faulty(ModelAndTable):
        def listen(self, event: events.Event) -> None:
            passed = fault(event)
            if passed is not None:
                super().listen(passed)

    with pytest.raises((AssertionError, IllegalEvent)):
        run_state_machine_as_test(
            Faulty,
            settings=settings(
                max_examples=3_000,  # it ends with the first that finds it
                stateful_step_count=40,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                print_blob=False,
            ),
        )
