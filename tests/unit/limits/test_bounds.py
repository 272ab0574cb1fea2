"""What limits/bounds.py predicts, against what the model's forks then do."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest

from pidscope.limits import bounds as limits
from pidscope.limits.bounds import Bound, Facts, PidNsNumbers, UserTasks
from pidscope.limits.tasks_limit import MAX, TasksLimit
from pidscope.model.cgroup import Cgroup
from pidscope.model.kernel import Kernel
from pidscope.model.sched import TaskStruct
from pidscope.model.syscalls import call
from pidscope.simulated.limits import fork_facts
from pidscope.simulated.random_workload import random_play
from tests.unit.played import SHELL, go_on, play


def bounds_of(task: TaskStruct) -> list[Bound]:
    facts = fork_facts(task.kernel, task.pid)
    assert facts is not None
    return limits.bounds(facts)


def forks_until_refused(task: TaskStruct, most: int) -> tuple[int, int]:
    """How many forks succeed, and the errno of the next."""
    for count in range(most + 1):
        try:
            call(task, "fork")
        except OSError as error:
            return count, error.errno or 0
    raise AssertionError(f"more than {most} forks")


def expect_as_predicted(task: TaskStruct) -> Bound:
    found = bounds_of(task)
    first = limits.tight(found)
    assert first is not None and limits.is_certain(found)
    room = first.room
    assert room is not None and room != MAX
    count, number = forks_until_refused(task, int(room) + 5)
    assert (count, errno.errorcode[number]) == (room, first.errno), first
    return first


# --- the model does what is predicted -----------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_as_many_forks_as_predicted_and_then_that_errno(seed: int) -> None:
    rng = random.Random(seed)
    kernel = Kernel()
    play = random_play(kernel, seed)
    for _ in range(rng.randint(1, 120)):
        play.step()
    for ns in {
        level for task in kernel.tasks() for level in task.thread_pid.numbers[-1].ns.outwards()
    }:  # type: ignore[union-attr]
        ns.pid_max = rng.randint(301, 330)
        if rng.random() < 0.6:
            ns.allocator.last_pid = rng.choice([0, 250, 298, 299, 300, 301, 310])
    box = Cgroup("box", kernel.cgroup_root, 2, rng.choice([None, rng.randint(0, 40)]))
    inner = Cgroup("inner", box, 3, rng.choice([None, rng.randint(0, 40)]))
    actors = [task for task in kernel.tasks() if not task.blocked and task.nsproxy is not None]
    for actor in rng.sample(actors, min(2, len(actors))):
        if actor.blocked:
            continue
        call(actor, "join_cgroup", rng.choice([box, inner]))
        expect_as_predicted(actor)


TIGHT = {
    "a cgroup above": (
        """
        cgroup box pids.max 3
        cgroup inner in box pids.max 7
        shell: join inner
        """,
        "shell",
        2,
        "EAGAIN at pids.max 3 of /box",
    ),
    "a number is needed at every level": (
        """
        shell: clone NEWPID -> box
        box: sysctl pid_max 4000
        shell: sysctl pid_max 320
        shell: sysctl ns_last_pid 305
        """,
        "box",
        20,
        "EAGAIN at pid_max 320 of pid:[4026531836]",
    ),
    "a namespace whose init has exited": (
        """
        shell: clone NEWPID -> box
        shell: setns box
        box: exit_group
        """,
        "shell",
        0,
        "ENOMEM: number 1 of pid:[4026531840] has exited",
    ),
    "a namespace inside one whose init has exited": (
        """
        shell: clone NEWPID -> box
        shell: setns box
        shell: fork -> guest
        guest: unshare NEWPID
        shell: setns guest children
        box: exit_group
        """,
        "shell",
        0,
        "ENOMEM: number 1 of pid:[4026531841] has exited",
    ),
}


@pytest.mark.parametrize(("text", "actor", "room", "failure"), TIGHT.values(), ids=TIGHT)
def test_the_tight_bound_of_a_scenario(text: str, actor: str, room: int, failure: str) -> None:
    task = play(SHELL + text).names[actor]
    assert expect_as_predicted(task).room == room
    assert limits.sentence(bounds_of(task)) == f"the next fork fails with {failure}"


def test_of_two_that_are_reached_the_one_asked_first_is_named() -> None:
    played = play(
        f"""{SHELL}
        cgroup outer pids.max 1
        cgroup inner in outer pids.max 1
        cgroup open
        shell: join inner
        shell: sysctl pid_max 301
        shell: sysctl ns_last_pid 300
        init: fork  # the last number
        """
    )
    shell = played.names["shell"]
    reached = [bound for bound in limits.by_room(bounds_of(shell)) if bound.room == 0]
    assert [bound.of for bound in reached] == ["pid:[4026531836]", "/outer/inner", "/outer"]
    go_on(played, "shell: join open")
    assert expect_as_predicted(shell).name == "pid_max"


def test_new_namespaces_have_their_own_limits() -> None:
    played = play(f"{SHELL}init: sysctl max_pid_namespaces 1\nshell: clone NEWPID -> box")
    found = bounds_of(played.names["box"])
    rooms = {it.name: (it.room, it.errno) for it in found if it.stops == limits.NAMESPACE}
    assert rooms["max_pid_namespaces"] == (0, "ENOSPC")
    assert rooms["MAX_PID_NS_LEVEL"][0] == 31
    go_on(played, "box: clone NEWPID = ENOSPC")
    first = limits.tight(found)
    assert first is not None and first.stops == limits.FORK


def test_after_unshare_there_are_no_new_threads() -> None:
    shell = play(SHELL + "shell: unshare NEWPID").names["shell"]
    found = [it for it in bounds_of(shell) if it.name == "pid_ns_for_children"]
    assert [(it.stops, it.errno, it.room) for it in found] == [
        ("thread", "EINVAL", 0),
        ("namespace", "EINVAL", 0),
    ]


def test_a_task_that_has_exited_forks_no_more() -> None:
    kernel = play(SHELL + "shell: fork = 4\nshell: kill 4 KILL").kernel
    assert fork_facts(kernel, 4) is None
    assert fork_facts(kernel, 77) is None


# --- arithmetic -----------------------------------------------------------------------------------

HOST = TasksLimit("this host", 1000, 100, "threads-max")
FULL = HOST._replace(current=1000)
FREE = PidNsNumbers(4026531836, {1, 2, 3}, True, 32768, 3)
NOTHING = Facts([FREE], True, 0, False, [], True, None, HOST, 0, 50)


OF_HOST = "room for 900 more: threads-max of this host"
AT_MOST = "room for at most 900 more: threads-max of this host"
NPROC = TasksLimit("user 1000", 20, 20, "RLIMIT_NPROC")
FAR = FREE._replace(last_pid=None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, OF_HOST),
        ({"threads": FULL}, "the next fork fails with EAGAIN at threads-max 1000 of this host"),
        # lowered below the tasks that there were
        (
            {"cgroups": [TasksLimit("/x", 3, 9)]},
            "the next fork fails with EAGAIN at pids.max 3 of /x",
        ),
        (
            {"user": UserTasks(NPROC, True, False)},
            "the next fork fails with EAGAIN at RLIMIT_NPROC 20 of user 1000",
        ),
        ({"user": UserTasks(NPROC, True, True)}, OF_HOST),
        ({"user": UserTasks(NPROC, True, None)}, AT_MOST),
        (
            {"user": UserTasks(NPROC._replace(current=9), False, False)},
            "room for at most 11 more: RLIMIT_NPROC of user 1000",
        ),
        ({"user": UserTasks(NPROC._replace(max=MAX, current=None), True, False)}, OF_HOST),
        # A cursor that is not known matters near the end only.
        ({"numbers": [FAR]}, OF_HOST),
        ({"numbers": [FAR._replace(pid_max=1100)]}, AT_MOST),
    ],
)
def test_the_sentence_names_the_tight_bound(changes: dict[str, Any], sentence: str) -> None:
    assert limits.sentence(limits.bounds(NOTHING._replace(**changes))) == sentence


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"cgroups": [TasksLimit("/x", None, None)]}, ("pids.max", "/x")),
        ({"cgroups_known": False}, ("pids.max", "cgroups not seen")),
        ({"adding": None}, ("number 1", "pid:[4026531836]")),
        ({"threads": HOST._replace(current=None)}, ("threads-max", "this host")),
        ({"numbers": [FREE._replace(all_seen=False)]}, ("pid_max", "pid:[4026531836]")),
    ],
    ids=[
        "a cgroup",
        "cgroups above",
        "whether number 1 can be given",
        "threads",
        "numbers that are hidden",
    ],
)
def test_what_is_not_known_is_never_taken_for_no_limit(
    changes: dict[str, Any], unknown: tuple[str, str]
) -> None:
    found = limits.bounds(NOTHING._replace(**changes))
    assert not limits.is_certain(found)
    assert [(bound.name, bound.of) for bound in limits.unknown(found)] == [unknown]
    assert "at most" in limits.sentence(found)


def test_what_is_not_known_does_not_matter_once_another_is_reached() -> None:
    found = limits.bounds(NOTHING._replace(threads=FULL, cgroups_known=False))
    assert limits.is_certain(found)


@pytest.mark.parametrize(
    ("last_pid", "free"),
    [(0, 317), (3, 316), (298, 21), (299, 20), (300, 20), (310, 20), (319, 20)],
)
def test_low_numbers_are_lost_once_the_cursor_is_beyond_them(last_pid: int, free: int) -> None:
    numbers = PidNsNumbers(1, {1, 2}, True, 320, last_pid)
    assert limits.free_numbers(numbers) == free


def test_an_emptied_bound_has_no_room_even_if_it_is_not_exact() -> None:
    full = PidNsNumbers(1, set(range(1, 320)), False, 320, 310)
    found = limits.bounds(NOTHING._replace(numbers=[full]))
    assert limits.sentence(found).startswith("the next fork fails with EAGAIN at pid_max 320")
    assert limits.is_certain(found)
