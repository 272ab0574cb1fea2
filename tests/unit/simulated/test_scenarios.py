"""The built-in scenarios: each is played to its end, and leaves the world that it promises."""

from __future__ import annotations

from collections import Counter

import pytest

from pidscope import events
from pidscope.errors import UsageError
from pidscope.model.kernel import Kernel
from pidscope.model.sched import TaskStruct
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import DEFAULT, builtin, builtin_names

NAMES = [
    "containers",
    "dying-init",
    "exec-thread",
    "fork-bomb",
    "nested",
    "reuse",
    "session",
]


class Played:
    """A built-in scenario at its end, and all that happened."""

    def __init__(self, name: str) -> None:
        self.events: list[events.Event] = []
        self.kernel = Kernel(listener=self.events.append)
        scenario = builtin(name)
        self.play = Play(self.kernel, scenario.steps, scenario.source)
        while self.play.step():
            pass

    def task(self, name: str) -> TaskStruct:
        return self.play.names[name]

    def numbers(self, name: str) -> tuple[int, ...]:
        """What a living task is called, outermost first."""
        pid = self.task(name).thread_pid
        assert pid is not None
        return pid.pid_numbers.numbers

    def has(self, number: int, level: int) -> set[bytes]:
        """Who has this number at this level."""
        pids = {task: task.thread_pid for task in self.kernel.tasks()}
        called = {
            task: pid.pid_numbers.numbers[level:] for task, pid in pids.items() if pid is not None
        }
        return {task.comm for task, numbers in called.items() if numbers[:1] == (number,)}


def test_all_are_there_and_are_short() -> None:
    assert builtin_names() == NAMES
    assert DEFAULT in NAMES
    with pytest.raises(UsageError, match=r"no scenario 'conta' \(containers, dying-init,"):
        builtin("conta")


@pytest.mark.parametrize("name", NAMES)
def test_played_to_its_end(name: str) -> None:
    played = Played(name)
    assert played.task("init").comm == b"systemd"
    assert played.task("init").signal.leader
    assert played.kernel.now_ns < 120 * 10**9
    assert sum(1 for _ in played.kernel.tasks()) > 4, "nothing is left to look at"


def test_containers_have_a_pid_17_each() -> None:
    played = Played("containers")
    assert played.has(17, 1) == {b"nginx", b"postgres"}
    assert played.has(1, 1) == {b"nginx", b"postgres"}
    assert played.numbers("nginx-worker1")[1] == played.numbers("postgres3")[1] == 17
    assert played.numbers("nginx-worker1")[0] != played.numbers("postgres3")[0]
    web, db = played.task("web"), played.task("db")
    assert web.real_parent is played.task("shim-web"), "runc's child went to the subreaper"
    assert db.real_parent is played.task("shim-db")
    assert (web.cgroup.name, db.cgroup.name) == ("web", "db")
    assert not any(task.exit_state for task in played.kernel.tasks())


def test_nested_goes_three_levels_down_and_has_a_guest() -> None:
    played = Played("nested")
    assert len(played.numbers("cc2")) == 4
    assert played.numbers("cc2")[1:] == (12, 6, 4)
    assert len(played.numbers("joined")) == 3
    parent = played.task("joined").real_parent
    assert parent is played.task("init"), "where its parent lived decides, not where it lives"


def test_session_holds_a_number_until_its_last_member_leaves() -> None:
    played = Played("session")
    told = [
        (type(event), event.pid.numbers[1])
        for event in played.events
        if isinstance(event, (events.PidAllocated, events.PidFreed))
        and event.pid.numbers[1:] in ((3,), (7,))
    ]
    assert told == [
        (events.PidAllocated, 3),
        (events.PidAllocated, 7),
        (events.PidFreed, 3),
        (events.PidAllocated, 3),
    ]


def test_reuse_gives_numbers_again() -> None:
    played = Played("reuse")
    born = Counter(
        event.pid.numbers[1]
        for event in played.events
        if isinstance(event, events.PidAttached) and event.birth and event.pid.level == 1
    )
    assert {nr for nr, times in born.items() if times > 1} == {5, 6, 300}
    assert played.has(5, 1) == {b"report"}


def test_exec_thread_takes_over_the_leader() -> None:
    played = Played("exec-thread")
    assert sum(isinstance(event, events.TidsExchanged) for event in played.events) == 2
    assert played.numbers("thread3")[1] == 2
    assert played.has(2, 1) == {b"nginx"}
    assert not played.has(3, 1) | played.has(4, 1) | played.has(5, 1)
    assert played.has(1, 1) == {b"dumb-init"}


def test_dying_init_waits_for_an_outside_parent() -> None:
    played = Played("dying-init")
    assert sum(isinstance(event, events.NamespaceDying) for event in played.events) == 3
    assert played.task("box").thread_pid is None
    assert played.task("box2").blocked == "waits for its namespace to empty"
    assert played.task("joined2").exit_state == "Z"


def test_fork_bomb_is_stopped_by_pids_max() -> None:
    played = Played("fork-bomb")
    bomb = played.play.cast.cgroups["bomb"]
    assert bomb.count == bomb.pids_max == 8
    failed = [event for event in played.events if isinstance(event, events.ForkFailed)]
    allocated = [event for event in played.events if isinstance(event, events.PidAllocated)]
    born = [
        event for event in played.events if isinstance(event, events.PidAttached) and event.birth
    ]
    assert len(failed) == len(allocated) - len(born) == 25
