from __future__ import annotations

from pathlib import Path

import pytest

import pidscope.containers.docker
from pidscope.containers.container import Container
from pidscope.containers.docker import NoAnswer, NoEngine
from pidscope.containers.engines import TOTAL_S
from pidscope.containers.names import Named, name_containers
from pidscope.containers.rules import parse_path

A, B = "a" * 64, "b" * 64
UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"


class Engines:
    """In the place of the sockets: the names that each gives, or why not, and which were asked."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.reason: NoAnswer | None = None
        self.asked: list[str] = []

    def ask(self, path: str, timeout_s: float) -> dict[str, str]:
        assert timeout_s <= TOTAL_S
        self.asked.append(path)
        if self.reason is not None:
            raise self.reason
        return self.names


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    engines = Engines()
    monkeypatch.setattr(pidscope.containers.docker, "ask_names", engines.ask)
    return engines


def link_log(root: Path) -> None:
    """The kubelet's link to the log of container `A`."""
    links = root / "var/log/containers"
    links.mkdir(parents=True)
    (links / f"web_shop_nginx-{A}.log").touch()


def named(*paths: str, root: str = "/nowhere", uid: int = 0) -> Named:
    return name_containers({at: parse_path(path) for at, path in enumerate(paths)}, root, uid)


def test_no_engine_is_asked_where_no_container_is(engines: Engines) -> None:
    paths = ["/init.scope", "/system.slice/docker.service", "/lxc.payload.c1", "/default/x"]
    assert named(*paths) == Named({at: parse_path(path) for at, path in enumerate(paths)})
    assert engines.asked == []


def test_each_engine_is_asked_once_and_only_for_its_own(engines: Engines) -> None:
    engines.names = {A: "web"}
    docker = named(f"/docker/{A}", f"/docker/{A}/system.slice/x.service", f"/docker/{B}")
    assert engines.asked == ["/nowhere/run/docker.sock"]
    assert [chain[0].name for chain in docker.chains.values()] == ["web", "web", None]
    assert docker.chains[1][1:] == (Container("systemd", "", unit="x.service"),)
    podman = named(f"/machine.slice/libpod-{A}.scope")
    assert engines.asked[1:] == ["/nowhere/run/podman/podman.sock"]
    assert podman.chains[0][0].name == "web"


def test_a_user_asks_roots_engine_for_roots_containers(engines: Engines) -> None:
    """A user's own engine speaks of that user's containers alone (tests of the engines)."""
    engines.names = {A: "web"}
    assert named(f"/docker/{A}", uid=1000).chains[0][0].name == "web"
    assert engines.asked == ["/nowhere/run/docker.sock"]


def test_a_service_around_a_container_stays(engines: Engines) -> None:
    engines.names = {A: "web"}
    chain = named(f"/system.slice/web.service/libpod-payload-{A}").chains[0]
    assert [it.name or it.unit for it in chain] == ["web.service", "web"]


def test_what_is_inside_a_container_is_not_named_by_the_hosts_engine(engines: Engines) -> None:
    """Root in a container may make a cgroup there with the name of another's."""
    engines.names = {A: "web", B: "bank"}
    chain = named(f"/docker/{A}/docker/{B}").chains[0]
    assert [container.name for container in chain] == ["web", None]


def test_an_engine_that_does_not_answer_leaves_the_id_and_is_reported(engines: Engines) -> None:
    engines.reason = NoAnswer("it did not answer in time")
    answer = named(f"/docker/{A}", f"/machine.slice/libpod-{B}.scope")
    unnamed = [(chain[0].id, chain[0].name) for chain in answer.chains.values()]
    assert unnamed == [(A, None), (B, None)]
    assert answer.silent == (
        "/run/docker.sock: it did not answer in time",
        "/run/podman/podman.sock: it did not answer in time",
    )


def test_an_engine_that_is_not_there_is_not_reported(engines: Engines) -> None:
    engines.reason = NoEngine("no process listens there")
    assert named(f"/actions_job/{A}") == Named({0: parse_path(f"/actions_job/{A}")})


def test_what_the_kubelet_names_no_engine_is_asked_for(engines: Engines, tmp_path: Path) -> None:
    link_log(tmp_path)
    answer = named(f"/kubepods/burstable/pod{UID}/{A}", root=str(tmp_path))
    assert answer.chains[0] == (
        Container("oci", A, pod="web", pod_uid=UID, pod_namespace="shop", container_name="nginx"),
    )
    assert engines.asked == []


def test_a_kubelets_name_is_not_for_one_outside_pods(engines: Engines, tmp_path: Path) -> None:
    link_log(tmp_path)
    answer = named(f"/docker/{A}", f"/kubepods/pod{UID}/{B}", root=str(tmp_path))
    assert answer.chains[0] == (Container("docker", A),)
