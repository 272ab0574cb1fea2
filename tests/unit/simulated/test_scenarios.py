"""The built-in scenarios: each is played to its end, and leaves the world that it promises."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeVar

import pytest

from pidscope import events
from pidscope.errors import UsageError
from pidscope.model.kernel import Kernel
from pidscope.simulated.play import Play
from pidscope.simulated.scenario import DEFAULT, builtin, builtin_names
from tests.unit.acting import numbers
from tests.unit.played import fates, play_all

NAMES = [
    "containers",
    "dying-init",
    "exec-thread",
    "fork-bomb",
    "nested",
    "reuse",
    "session",
]


T = TypeVar("T")


class Played(NamedTuple):
    """A built-in scenario at its end, and all that happened."""

    play: Play
    told: list[events.Event]

    def numbers(self, name: str) -> tuple[int, ...]:
        """What a living task is called, outermost first."""
        return numbers(self.play.names[name])

    def has(self, number: int, level: int) -> set[bytes]:
        """The tasks that have this number at this level."""
        return {
            task.comm
            for task in self.play.kernel.tasks()
            if numbers(task)[level : level + 1] == (number,)
        }

    def told_of(self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]

    def births(self) -> list[events.PidAttached]:
        return [event for event in self.told_of(events.PidAttached) if event.birth]


def played(name: str) -> Played:
    told: list[events.Event] = []
    return Played(play_all(builtin(name), Kernel(listener=told.append)), told)


def test_all_are_there_and_are_short() -> None:
    assert builtin_names() == NAMES
    assert DEFAULT in NAMES
    with pytest.raises(UsageError, match=r"no scenario 'conta' \(containers, dying-init,"):
        builtin("conta")


@pytest.mark.parametrize("name", NAMES)
def test_played_to_its_end(name: str) -> None:
    play = played(name).play
    assert play.names["init"].comm == b"systemd"
    assert play.names["init"].signal.leader
    assert play.kernel.now_ns < 120 * 10**9
    assert sum(1 for _ in play.kernel.tasks()) > 4, "nothing is left to look at"


def test_containers_have_a_pid_17_each() -> None:
    found = played("containers")
    assert found.has(17, 1) == found.has(1, 1) == {b"nginx", b"postgres"}
    pids = [found.numbers(name) for name in ("nginx-worker1", "postgres3")]
    assert [pid[1] for pid in pids] == [17, 17] and pids[0] != pids[1]
    become = fates(found.play)
    assert become["web"] == "child of shim-web", "runc's child went to the subreaper"
    assert become["db"] == "child of shim-db"
    assert [found.play.names[name].cgroup.name for name in ("web", "db")] == ["web", "db"]
    assert not any(task.exit_state for task in found.play.kernel.tasks())


def test_nested_goes_three_levels_down_and_has_a_guest() -> None:
    found = played("nested")
    assert found.numbers("cc2")[1:] == (12, 6, 4)
    assert len(found.numbers("joined")) == 3
    parent = fates(found.play)["joined"]
    assert parent == "child of init", "where its parent lived decides, not where it lives"


def test_session_holds_a_number_until_its_last_member_leaves() -> None:
    told = [
        (type(event), event.pid.numbers[1])
        for event in played("session").told
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
    found = played("reuse")
    born = Counter(event.pid.numbers[1] for event in found.births() if event.pid.level == 1)
    assert {nr for nr, times in born.items() if times > 1} == {5, 6, 300}
    assert found.has(5, 1) == {b"report"}


def test_exec_thread_takes_over_the_leader() -> None:
    found = played("exec-thread")
    assert len(found.told_of(events.TidsExchanged)) == 2
    assert found.numbers("thread3")[1] == 2
    have = {nr: found.has(nr, 1) for nr in range(1, 6)}
    assert have == {1: {b"dumb-init"}, 2: {b"nginx"}, 3: set(), 4: set(), 5: set()}


def test_dying_init_waits_for_an_outside_parent() -> None:
    found = played("dying-init")
    assert len(found.told_of(events.NamespaceDying)) == 3
    names = found.play.names
    assert names["box"].thread_pid is None
    assert names["box2"].blocked == "waits for its namespace to empty"
    assert names["joined2"].exit_state == "Z"


def test_fork_bomb_is_stopped_by_pids_max() -> None:
    found = played("fork-bomb")
    bomb = found.play.cast.cgroups["bomb"]
    assert bomb.count == bomb.pids_max == 8
    allocated = len(found.told_of(events.PidAllocated))
    assert len(found.told_of(events.ForkFailed)) == allocated - len(found.births()) == 25
