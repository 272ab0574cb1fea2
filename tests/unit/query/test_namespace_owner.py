from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers.container import Container
from pidscope.containers.rules import parse_path
from pidscope.query.namespace_owner import Homes, chains, homes
from pidscope.query.process import Level, Process

HOST, ONE, TWO, THREE = 100, 101, 102, 103  # inums
A, B, C = "a" * 64, "b" * 64, "c" * 64


def process(pid: int, *levels: tuple[int, int]) -> Process:
    """A process by (inum, its number there) from the outermost level inwards."""
    made = [
        Level(ns=ns, tid=number, pid=number, ppid=1, pgid=number, sid=number)
        for ns, number in ((HOST, pid), *levels)
    ]
    return Process(
        pid=pid, tid=pid, id=f"{pid}@{pid}", comm="", state="S", start_time="",
        ns=made[-1].ns, joined=False, container=None, levels=made,
    )  # fmt: skip


def never(number: int) -> int:
    raise AssertionError("nobody has to be asked for a start")


def found(tasks: list[tuple[Process, str]], started: Any = never) -> Homes:
    """The homes among processes, given with their cgroups; init of the host is among them."""
    everyone = [(process(1), "/init.scope"), *tasks]
    paths = {it.pid: parse_path(path) for it, path in everyone}
    return homes([it for it, _ in everyone], paths, started)


def docker(number: str) -> Container:
    return Container("docker", number)


def test_chains_of_files() -> None:
    both = f"0::/docker/{A}\n".encode()
    assert chains({7: both, 8: both, 9: b"0::/\n"}) == {7: (docker(A),), 8: (docker(A),), 9: ()}


def test_two_containers_and_who_was_executed_in_one() -> None:
    homes = found([
        (process(20, (ONE, 1)), f"/docker/{A}"),
        (process(21, (ONE, 17)), f"/docker/{A}"),
        (process(30, (TWO, 1)), f"/docker/{B}"),
        (process(31, (TWO, 17)), f"/docker/{B}"),
    ])  # fmt: skip
    assert homes == Homes({ONE: docker(A), TWO: docker(B)}, {})


def test_a_container_in_a_container() -> None:
    homes = found([
        (process(20, (ONE, 1)), f"/docker/{A}/init"),
        (process(21, (ONE, 7), (TWO, 1)), f"/docker/{A}/docker/{B}"),
    ])  # fmt: skip
    assert homes == Homes({ONE: docker(A), TWO: docker(B)}, {})


def test_the_same_name_inside_is_another_container() -> None:
    homes = found([
        (process(20, (ONE, 1)), "/lxc.payload.c1/init.scope"),
        (process(21, (ONE, 7), (TWO, 1)), "/lxc.payload.c1/lxc.payload.c1/init.scope"),
    ])  # fmt: skip
    c1 = Container("lxc", "c1", "c1")
    assert homes == Homes({ONE: c1, TWO: c1}, {})


def test_a_namespace_that_somebody_made_inside_is_no_containers() -> None:
    """Both are of one container: the oldest member tells which is its."""
    tasks = [
        (process(20, (ONE, 1)), f"/docker/{A}"),
        (process(21, (ONE, 7), (TWO, 1)), f"/docker/{A}"),
    ]
    assert found(tasks, {20: 5, 21: 6}.get) == Homes({ONE: docker(A)}, {})


def test_the_pid_namespace_of_the_host() -> None:
    """``--pid=host``; one of its processes makes a namespace, which is not the container's."""
    tasks = [
        (process(20), f"/docker/{A}"),
        (process(21, (ONE, 1)), f"/docker/{A}"),
    ]
    assert found(tasks[:1]) == Homes({}, {HOST: (docker(A),)})
    assert found(tasks, {20: 5, 21: 6}.get) == Homes({}, {HOST: (docker(A),)})


def test_what_a_runtime_executes_passes_through_the_host() -> None:
    """It joins the cgroup before the namespace, and is younger than the container's init."""
    tasks = [
        (process(15), f"/docker/{A}"),
        (process(20, (ONE, 1)), f"/docker/{A}"),
    ]
    assert found(tasks, {20: 5, 15: 9}.get) == Homes({ONE: docker(A)}, {})
    equal = found(tasks[::-1], {20: 5, 15: 5}.get)
    assert equal == Homes({}, {HOST: (docker(A),)})


def test_who_is_gone_when_asked_for_its_start_is_not_the_oldest() -> None:
    tasks = [
        (process(20, (ONE, 1)), f"/docker/{A}"),
        (process(25), f"/docker/{A}"),
    ]
    assert found(tasks, {20: 5}.get) == Homes({ONE: docker(A)}, {})


def test_a_pod_that_shares_its_namespace() -> None:
    pod = "/kubepods/pod1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
    homes = found([
        (process(20, (ONE, 1)), f"{pod}/{A}"),
        (process(21, (ONE, 7)), f"{pod}/{B}"),
        (process(22, (ONE, 8)), f"{pod}/{C}"),
    ])  # fmt: skip
    assert homes.own[ONE].id == A
    assert [container.id for container in homes.shared[ONE]] == [B, C]


def test_who_entered_the_namespace_alone_is_no_member() -> None:
    """``nsenter -p``: numbers there, and the cgroup of a session on the host."""
    homes = found([
        (process(20, (ONE, 1)), f"/docker/{A}"),
        (process(40, (ONE, 9)), "/user.slice/user-0.slice/session-1.scope"),
    ])  # fmt: skip
    assert homes == Homes({ONE: docker(A)}, {})


def test_a_service_with_pids_of_its_own() -> None:
    homes = found([
        (process(20, (ONE, 1)), "/system.slice/a.service"),
        (process(30), "/system.slice/b.service"),
        (process(40, (TWO, 1)), "/lxc/c1/init.scope"),
        (process(41, (TWO, 5)), "/lxc/c1/system.slice/b.service"),
        (process(42, (TWO, 6), (THREE, 1)), "/lxc/c1/system.slice/b.service"),
    ], {40: 1, 41: 2, 42: 3}.get)  # fmt: skip
    assert homes.own == {
        ONE: Container("systemd", "", unit="a.service"),
        TWO: Container("lxc", "c1", "c1"),
        THREE: Container("systemd", "", unit="b.service"),
    }
    assert homes.shared == {}


def test_a_namespace_inside_that_of_a_service_is_not_the_services() -> None:
    homes = found([
        (process(20, (ONE, 1)), "/system.slice/a.service"),
        (process(21, (ONE, 5), (TWO, 1)), "/system.slice/a.service"),
    ])  # fmt: skip
    assert homes.own == {ONE: Container("systemd", "", unit="a.service")}


def test_threads_and_namespaces_that_may_not_be_read_say_nothing() -> None:
    thread = process(21, (ONE, 7))._replace(tid=22)
    hidden = process(30, (TWO, 1))._replace(ns=None)
    assert found([(thread, f"/docker/{A}"), (hidden, f"/docker/{B}")]) == Homes({}, {})


def test_seen_from_inside_the_outermost_is_a_containers_too() -> None:
    """With the host's cgroup namespace, or none; init is then the container's."""
    paths = {1: parse_path(f"/docker/{A}"), 7: parse_path(f"/docker/{A}")}
    assert homes([process(1), process(7)], paths, never) == Homes({HOST: docker(A)}, {})


forms = st.lists(
    st.sampled_from([f"docker/{A}", f"docker/{B}", f"docker/{C}", "system.slice/a.service"]),
    max_size=3,
).map(lambda parts: "/" + "/".join(parts))
places = st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE]), st.integers(1, 3)), max_size=3)


@given(st.lists(st.tuples(places, forms), max_size=8))
def test_every_container_has_one_home(tasks: list[tuple[list[tuple[int, int]], str]]) -> None:
    """However wild: each has its own namespace or shares one, and never both."""
    made = [(process(10 + at, *levels), path) for at, (levels, path) in enumerate(tasks)]
    homes = found(made, lambda number: number)
    keys = {tuple(it for it in parse_path(path) if it.id) for _, path in made} - {()}
    told = [it for it in homes.own.values() if it.id]
    told += [container for shared in homes.shared.values() for container in shared]
    assert sorted(told) == sorted(key[-1] for key in keys)


@pytest.mark.parametrize("path", ["/", "/init.scope", "/user.slice/user-0.slice/session-1.scope"])
def test_who_is_in_no_container(path: str) -> None:
    assert found([(process(20, (ONE, 1)), path)]) == Homes({}, {})
