"""Limits that random steps do not meet, or that are the host's: each asked for on both sides."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pidscope_dev.differential.duel import Duel
from pidscope_dev.differential.hunt import hunt
from pidscope_dev.differential.probe import find_features
from pidscope_dev.differential.theatre import Theatre

from pidscope.model.cgroup import Cgroup, cgroup_attach_task
from pidscope.model.features import Features
from pidscope.simulated.scenario import parse_step

NOBODY = 65534
CGROUPS = Path("/sys/fs/cgroup")
PID_MAX = Path("/proc/sys/kernel/pid_max")


def perform(duel: Duel, *lines: str) -> list[str]:
    """Make these steps on both sides; what each gave: an errno's name, or nothing."""
    gave = []
    for line in lines:
        played = duel.step(parse_step(line))
        assert played is not None, line
        gave.append(played.error)
    return gave


def test_32_levels_are_all_there_is(theatre: Theatre, features: Features) -> None:
    with theatre.new_world() as world:
        duel = Duel(world, features)
        names = ["one", *(f"level{level}" for level in range(2, 33))]
        for outer, inner in zip(names, names[1:]):
            assert perform(duel, f"{outer}: clone NEWPID -> {inner}") == [""]
        assert perform(
            duel,
            "level32: clone NEWPID -> too_deep",
            "level32: unshare NEWPID",
            "level32: fork -> child",
            "level32: clone set_tid " + ",".join(["77"] * 32) + " -> everywhere",
            "one: kill level2 KILL",
            "one: wait",
        ) == ["ENOSPC", "ENOSPC", "", "", "", ""]


def test_an_init_in_a_group_of_its_own_namespace_ends_when_it_leaves(
    theatre: Theatre, features: Features
) -> None:
    """Until its parent moves it: the kernel waits for a number that the init itself keeps."""
    with theatre.new_world() as world:
        duel = Duel(world, features, spares_host=False)
        perform(
            duel,
            "one: clone NEWPID -> two",
            "two: fork -> member",
            "member: setpgid",
            "two: setpgid 0 member",
            "one: kill two KILL",
        )
        assert duel.play.names["two"].zaps is not None
        perform(duel, "one: wait", "one: setpgid two two", "one: wait")
        assert duel.play.names["two"].thread_pid is None


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup in which pids can be limited, of cgroup v2 or of v1's pids hierarchy."""
    of_v1 = CGROUPS / "pids"
    path = (of_v1 if of_v1.exists() else CGROUPS) / f"pidscope-{os.getpid()}"
    path.mkdir()
    if not (path / "pids.max").exists():
        path.rmdir()
        pytest.fail("no cgroup with the pids controller can be made: this needs root and cgroups")
    try:
        yield path
    finally:
        path.rmdir()


def test_pids_max_burns_numbers(theatre: Theatre, features: Features, cgroup: Path) -> None:
    with theatre.new_world() as world:
        duel = Duel(world, features)
        (cgroup / "cgroup.procs").write_text(str(world.init_pid))
        (cgroup / "pids.max").write_text("2")
        limited = Cgroup("limited", duel.kernel.cgroup_root, 2, 2)
        cgroup_attach_task(duel.play.names["one"], limited)
        assert perform(
            duel,
            "one: fork -> a",
            "one: fork -> refused",
            "one: clone THREAD -> refused",
            "a: exit",
            "one: fork -> refused",
            "one: wait",
            "one: fork -> b",
        ) == ["", "EAGAIN", "EAGAIN", "", "EAGAIN", "", ""]


def test_global_pid_max(theatre: Theatre, features: Features) -> None:
    """The host's own, so only where the host is this test's."""
    if features.pid_max_per_ns:
        return  # random steps change each namespace's own
    if Path("/proc/sys/kernel/hostname").read_text() != "pidscope-vm\n":
        pytest.skip("pid_max is global here: only scripts/vm's guest may change it")
    before = PID_MAX.read_text()
    with theatre.new_world() as world:
        duel = Duel(world, features, spares_host=False)
        try:
            assert perform(
                duel,
                "one: sysctl pid_max 300",
                "one: sysctl pid_max 5000",
                "one: sysctl pid_max",
                "one: sysctl ns_last_pid 5001",
                "one: sysctl ns_last_pid 4998",
                "one: fork -> a",
                "one: fork -> b",
                "one: clone set_tid 5000 -> c",
                "a: sysctl pid_max 4194305",
            ) == ["EINVAL", "", "", "EINVAL", "", "", "", "EINVAL", "EINVAL"]
        finally:
            PID_MAX.write_text(before)


def test_as_nobody(puppet: str) -> None:
    """In a user namespace, without any privilege and without SCHED_FIFO: the same kernel."""
    if os.geteuid() != 0:
        return  # it is what the other tests do then
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _become_nobody()
            code = _play_as_nobody(puppet)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _play_as_nobody(puppet: str) -> int:
    with Theatre(puppet, user_namespace=True) as theatre:
        features = find_features(theatre)
        score, finding = hunt(theatre, features, "nobody", 2_000, 10)
        _limit_namespaces(theatre, features)
    print(finding or score)
    return 1 if finding else 0


def _limit_namespaces(theatre: Theatre, features: Features) -> None:
    """user.max_pid_namespaces of the world's own user namespace; the world itself counts."""
    with theatre.new_world() as world:
        duel = Duel(world, features, spares_host=False)
        assert perform(
            duel,
            "one: sysctl max_pid_namespaces 3",
            "one: unshare NEWPID",
            "one: clone -> two",
            "two: clone NEWPID -> three",
            "three: clone NEWPID -> four",
            "two: unshare NEWPID",
        ) == ["", "", "", "", "ENOSPC", "ENOSPC"]
