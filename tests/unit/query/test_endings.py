"""Which exit ends a process: the kernel's own count of living threads is the judge."""

from __future__ import annotations

import pytest

from pidscope.events import Event, Repaired, TaskExited
from pidscope.model.fork import CLONE_THREAD
from pidscope.model.kernel import Kernel
from pidscope.model.pid import find_task_by_pid_ns
from pidscope.model.proc import NS_PER_TICK
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.query.ended import Ended
from pidscope.query.endings import Endings
from pidscope.simulated.random_workload import random_play
from pidscope.table.table import Table
from tests.unit.acting import fork


class Followed:
    """A kernel, its table from some moment on, and what was said of each exit."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.table = Table(kernel.init_pid_ns.inum, NS_PER_TICK)
        self.said: list[tuple[int, bool | None, bool]] = []  # tid, the answer, the truth
        self.lives = Ended()
        kernel.listener = self.listen
        self.endings = Endings(self.table.generation)

    def listen(self, event: Event) -> None:
        if isinstance(event, TaskExited):
            task = find_task_by_pid_ns(event.tid, self.kernel.init_pid_ns)
            assert task is not None
            answer = self.endings.is_last(event, self.table)
            self.said.append((event.tid, answer, not task.signal.live))
        self.endings.add(event, self.table)
        self.lives.add(event, self.table)
        self.table.apply(event)


def boot() -> tuple[Followed, TaskStruct]:
    """A process that is forked while its birth is observed."""
    kernel = Kernel()
    followed = Followed(kernel)
    followed.table.replay = True  # the first two were there before
    return followed, fork(kernel.init)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_answer_is_the_kernels(seed: int) -> None:
    kernel = Kernel()
    followed = Followed(kernel)
    followed.table.replay = True
    play = random_play(kernel, seed)
    for _ in range(400):
        play.step()
    assert len(followed.said) > 5
    for tid, answer, truth in followed.said:
        assert answer is truth, tid


def test_a_leader_that_ends_first_does_not_end_its_process() -> None:
    """As pthread_exit() of the main thread; elastic/ebpf#64."""
    followed, leader = boot()
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit", 0)
    child = fork(thread)
    call(child, "exit", 4)
    call(thread, "exit_group", 3)
    assert followed.said == [
        (leader.pid, False, False),
        (child.pid, True, True),
        (thread.pid, True, True),
    ]
    [life] = followed.lives.of(followed.table.root, leader.pid) or [None]
    assert life is None  # it is not waited for yet
    exits = kernel_exits(followed)
    call(followed.kernel.init, "wait4", leader.pid)
    [life] = followed.lives.of(followed.table.root, leader.pid)
    assert life is not None and life.exited_ns == exits


def kernel_exits(followed: Followed) -> int:
    """The time of the last exit, as the process's own."""
    return max(followed.lives._exits.values())


@pytest.mark.parametrize("gap", [False, True], ids=["start", "repair"])
def test_a_leader_that_may_have_ended_before_leaves_it_open(gap: bool) -> None:
    followed, leader = boot()
    thread = fork(leader, CLONE_THREAD)
    call(leader, "exit", 0)
    if gap:
        followed.endings.add(Repaired(0, 4, 0, 1), followed.table)
    else:
        followed.endings = Endings(followed.table.generation)
    call(thread, "exit_group", 3)
    assert followed.said[-1] == (thread.pid, None, True)


def test_of_an_unknown_task_nothing_is_said() -> None:
    table = Table(1, NS_PER_TICK)
    assert Endings(0).is_last(TaskExited(0, 9, 9, 9, 0), table) is None
