from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers.container import Container
from pidscope.containers.rules import parse_path
from pidscope.query.membership import container_of
from pidscope.query.namespace_owner import Homes, chains, homes
from pidscope.query.process import Level, Process

HOST, ONE, TWO, THREE = 100, 101, 102, 103  # inums
A, B, C = "a" * 64, "b" * 64, "c" * 64


def process(pid: int, *levels: tuple[int, int], ppid: int = 1) -> Process:
    """A process by (inum, its number there) from the outermost level inwards."""
    made = [
        Level(ns=ns, tid=number, pid=number, ppid=ppid, pgid=number, sid=number)
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


def in_pod(number: str) -> Container:
    return Container("oci", number, pod_uid=POD_UID)


def test_chains_of_files() -> None:
    both = f"0::/docker/{A}\n".encode()
    assert chains({7: both, 8: both, 9: b"0::/\n"}) == {7: (docker(A),), 8: (docker(A),), 9: ()}


POD_UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
POD = f"/kubepods/pod{POD_UID}"
C1 = Container("lxc", "c1", "c1")
SERVICE_A, SERVICE_B = (Container("systemd", "", unit=f"{name}.service") for name in "ab")
THREAD = process(21, (ONE, 7))._replace(tid=22)
HIDDEN = process(30, (TWO, 1))._replace(ns=None)

# By title: processes and their cgroups, when each started where that has to be asked, the homes.
CASES: dict[str, tuple[list[tuple[Process, str]], dict[int, int] | None, Homes]] = {
    "two containers, and a process executed in each": (
        [
            (process(20, (ONE, 1)), f"/docker/{A}"),
            (process(21, (ONE, 17)), f"/docker/{A}"),
            (process(30, (TWO, 1)), f"/docker/{B}"),
            (process(31, (TWO, 17)), f"/docker/{B}"),
        ],
        None,
        Homes({ONE: docker(A), TWO: docker(B)}, {}),
    ),
    "a container in a container": (
        [
            (process(20, (ONE, 1)), f"/docker/{A}/init"),
            (process(21, (ONE, 7), (TWO, 1)), f"/docker/{A}/docker/{B}"),
        ],
        None,
        Homes({ONE: docker(A), TWO: docker(B)}, {}),
    ),
    "the same name inside is another container": (
        [
            (process(20, (ONE, 1)), "/lxc.payload.c1/init.scope"),
            (process(21, (ONE, 7), (TWO, 1)), "/lxc.payload.c1/lxc.payload.c1/init.scope"),
        ],
        None,
        Homes({ONE: C1, TWO: C1}, {}),
    ),
    # Both are of one container: the oldest member tells which is its.
    "a namespace that a process made inside is no container's": (
        [
            (process(20, (ONE, 1)), f"/docker/{A}"),
            (process(21, (ONE, 7), (TWO, 1), ppid=20), f"/docker/{A}"),
        ],
        {20: 5, 21: 6},
        Homes({ONE: docker(A)}, {}),
    ),
    "--pid=host": (
        [(process(20), f"/docker/{A}")],
        None,
        Homes({}, {HOST: (docker(A),)}),
    ),
    "--pid=host, and one of its processes made a namespace": (
        [(process(20), f"/docker/{A}"), (process(21, (ONE, 1)), f"/docker/{A}")],
        {20: 5, 21: 6},
        # Or a monitor and its container: number 1 says this, and the oldest process that.
        Homes({}, {HOST: (docker(A),), ONE: (docker(A),)}, frozenset({ONE})),
    ),
    # It joins the cgroup before the namespace, and is younger than the container's init.
    "what a runtime executes passes through the host": (
        [
            (process(7), "/system.slice/containerd.service"),
            (process(15, ppid=7), f"/docker/{A}"),
            (process(20, (ONE, 1), ppid=7), f"/docker/{A}"),
        ],
        {20: 5, 15: 9},
        Homes({ONE: docker(A)}, {}),
    ),
    "what comes from elsewhere makes it uncertain": (
        [(process(15), f"/docker/{A}"), (process(20, (ONE, 1)), f"/docker/{A}")],
        {20: 5, 15: 9},
        Homes({}, {HOST: (docker(A),), ONE: (docker(A),)}, frozenset({ONE})),
    ),
    "of two that are equally old neither is the oldest": (
        [(process(20, (ONE, 1)), f"/docker/{A}"), (process(15), f"/docker/{A}")],
        {20: 5, 15: 5},
        Homes({}, {ONE: (docker(A),), HOST: (docker(A),)}, frozenset({ONE})),
    ),
    "one that is gone when asked for its start is not the oldest": (
        [(process(20, (ONE, 1)), f"/docker/{A}"), (process(25), f"/docker/{A}")],
        {20: 5},
        Homes({ONE: docker(A)}, {}),
    ),
    "a pod that shares its namespace": (
        [
            (process(20, (ONE, 1)), f"{POD}/{A}"),
            (process(21, (ONE, 7)), f"{POD}/{B}"),
            (process(22, (ONE, 8)), f"{POD}/{C}"),
        ],
        None,
        Homes({ONE: in_pod(A)}, {ONE: (in_pod(B), in_pod(C))}),
    ),
    # `nsenter -p`: numbers there, and the cgroup of a session on the host.
    "one that entered the namespace alone is no member": (
        [
            (process(20, (ONE, 1)), f"/docker/{A}"),
            (process(40, (ONE, 9)), "/user.slice/user-0.slice/session-1.scope"),
        ],
        None,
        Homes({ONE: docker(A)}, {}),
    ),
    "services with PIDs of their own, on the host and in a container": (
        [
            (process(20, (ONE, 1)), "/system.slice/a.service"),
            (process(30), "/system.slice/b.service"),
            (process(40, (TWO, 1)), "/lxc/c1/init.scope"),
            (process(41, (TWO, 5)), "/lxc/c1/system.slice/b.service"),
            (process(42, (TWO, 6), (THREE, 1), ppid=41), "/lxc/c1/system.slice/b.service"),
        ],
        {40: 1, 41: 2, 42: 3},
        Homes({ONE: SERVICE_A, TWO: C1, THREE: SERVICE_B}, {}),
    ),
    "a namespace inside that of a service is not the service's": (
        [
            (process(20, (ONE, 1)), "/system.slice/a.service"),
            (process(21, (ONE, 5), (TWO, 1)), "/system.slice/a.service"),
        ],
        None,
        Homes({ONE: SERVICE_A}, {}),
    ),
    "threads, and namespaces that may not be read, say nothing": (
        [(THREAD, f"/docker/{A}"), (HIDDEN, f"/docker/{B}")],
        None,
        Homes({}, {}),
    ),
    "the root cgroup is no container": ([(process(20, (ONE, 1)), "/")], None, Homes({}, {})),
    "a scope is no container": ([(process(20, (ONE, 1)), "/init.scope")], None, Homes({}, {})),
    "a session is no container": (
        [(process(20, (ONE, 1)), "/user.slice/user-0.slice/session-1.scope")],
        None,
        Homes({}, {}),
    ),
}


@pytest.mark.parametrize("title", CASES)
def test_whose_each_namespace_is(title: str) -> None:
    tasks, started, expected = CASES[title]
    assert found(tasks, never if started is None else started.get) == expected


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
    """However wild: each has its own namespace or shares one, never both, unless it is disputed."""
    made = [(process(10 + at, *levels), path) for at, (levels, path) in enumerate(tasks)]
    homes = found(made, lambda number: number)
    keys = {container_of(parse_path(path)) for _, path in made} - {()}
    own = [it for it in homes.own.values() if it.id]
    shared = [container for them in homes.shared.values() for container in them]
    assert {*own, *shared} == {key[-1] for key in keys}
    assert len(own) + len(set(shared)) <= len(keys)
    assert bool(homes.disputed) or len(own) + len(shared) == len(keys)
