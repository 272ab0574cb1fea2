"""Engines at their sockets, root's and users': who may name what (issue 15, A3 and B7)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pidscope.containers import engines
from pidscope.containers.container import Chain, Container
from pidscope.containers.docker import NoAnswer, NoEngine, parse_pid
from pidscope.containers.names import Named, name_containers
from pidscope.containers.rules import parse_path
from pidscope.containers.user_socket import opened

A, B, C = "a" * 64, "b" * 64, "c" * 64
ME = os.getuid()
OTHER = 4711 if ME == 0 else ME  # as another user only root can listen
USERS = f"/user.slice/user-{OTHER}.slice/user@{OTHER}.service"
HEAD = b"HTTP/1.0 200 OK\r\n\r\n"
LISTED, PODS = "/containers/json", "/v4.0.0/libpod/containers/json"
Serve = Callable[..., list[str]]

as_root = pytest.mark.skipif(ME != 0, reason="only root may be another user")


@pytest.fixture(autouse=True)
def long_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here waits for an engine; a loaded machine may be slow."""
    monkeypatch.setattr(engines, "TIMEOUT_S", 60.0)
    monkeypatch.setattr(engines, "TOTAL_S", 60.0)


@contextlib.contextmanager
def user(uid: int) -> Iterator[None]:
    """What listens meanwhile is that user's."""
    before = os.geteuid()
    if uid != before:
        os.seteuid(uid)
    try:
        yield
    finally:
        if uid != before:
            os.seteuid(before)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function: an engine at a path below the root directory has ``answers`` by request.

    It returns the list of what was asked.
    """
    with contextlib.ExitStack() as kept:

        def start(
            path: str, answers: Mapping[str, Any], owner: int = ME, listener_uid: int | None = None
        ) -> list[str]:
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            listener = kept.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(place))
            if ME == 0:
                os.chown(place, owner, -1)
            with user(owner if listener_uid is None else listener_uid):
                listener.listen()
            asked: list[str] = []

            def run() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with connection:
                            answer_one(connection, answers, asked)

            thread = threading.Thread(target=run)
            thread.start()
            kept.callback(thread.join)
            kept.callback(listener.shutdown, socket.SHUT_RDWR)
            return asked

        yield start


def answer_one(connection: socket.socket, answers: Mapping[str, Any], asked: list[str]) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(4096)
        if not part:
            return
        request += part
    what = request.split(b" ")[1].decode()
    asked.append(what)
    found = answers.get(what)
    missing = b"HTTP/1.0 404 Not Found\r\n\r\n{}"
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(missing if found is None else HEAD + json.dumps(found).encode())


def listed(**names: str) -> list[dict[str, Any]]:
    """What an engine lists: names, behind the digit of which the id consists."""
    return [{"Id": digit * 64, "Names": [f"/{name}"]} for digit, name in names.items()]


def state(pid: int) -> dict[str, Any]:
    return {"State": {"Pid": pid, "Status": "running"}}


def named(root: Path, paths: Mapping[int, str], uid: int = ME) -> Named:
    return name_containers({pid: parse_path(path) for pid, path in paths.items()}, str(root), uid)


def names(found: Named) -> dict[int, str | None]:
    def name(chain: Chain) -> str | None:
        return next((it.name for it in chain if not it.is_service), None)

    return {pid: name(chain) for pid, chain in found.chains.items()}


def test_an_engine_says_which_process_is_the_first(serve: Serve, tmp_path: Path) -> None:
    """The list does not have it; State.Pid of the container's own record has."""
    asked = serve("run/docker.sock", {LISTED: listed(a="web"), f"/containers/{A}/json": state(701)})
    path = f"/docker/{A}"
    found = named(tmp_path, {701: path, 702: path, 9: f"/docker/{B}"})
    assert names(found) == {701: "web", 702: "web", 9: None}
    assert found.said == {(Container("docker", A, "web"),): 701}
    assert asked == [LISTED, f"/containers/{A}/json"]


def test_an_engine_is_not_asked_for_a_first_process_that_is_known(
    serve: Serve, tmp_path: Path
) -> None:
    asked = serve("run/docker.sock", {LISTED: listed(a="web")})
    state = tmp_path / f"run/crun/{A}/status"
    state.parent.mkdir(parents=True)
    state.write_text('{"pid": 701}')
    found = named(tmp_path, {701: f"/docker/{A}"}, uid=0)
    assert found.said == {(Container("docker", A, "web"),): 701}
    assert asked == [LISTED]


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"State": 1}, *({"State": {"Pid": it}} for it in (0, -1, "1", 1 << 40))],
)
def test_an_engine_that_has_no_first_process_names_all_the_same(
    serve: Serve, tmp_path: Path, answer: Any
) -> None:
    serve("run/docker.sock", {LISTED: listed(a="web"), f"/containers/{A}/json": answer})
    found = named(tmp_path, {701: f"/docker/{A}"})
    assert names(found) == {701: "web"}
    assert found.said == {}
    assert found.silent == ()


@pytest.mark.parametrize("pid", [0, -1, (1 << 22) + 1])
def test_a_first_process_is_a_pid(pid: int) -> None:
    assert parse_pid(HEAD + json.dumps(state(pid)).encode()) is None
    assert parse_pid(HEAD + json.dumps(state(1 << 22)).encode()) == 1 << 22


def test_a_cgroup_with_anothers_id_does_not_get_the_name(serve: Serve, tmp_path: Path) -> None:
    """A user's delegated cgroup, and a service's: the first process is in neither."""
    serve("run/docker.sock", {LISTED: listed(a="bank"), f"/containers/{A}/json": state(701)})
    paths = {
        701: f"/system.slice/docker-{A}.scope",
        800: f"/user.slice/user-1001.slice/user@1001.service/docker-{A}.scope",
        900: f"/system.slice/delegated.service/docker-{A}.scope",
    }
    found = named(tmp_path, paths)
    assert names(found) == {701: "bank", 800: None, 900: None}
    assert list(found.said.values()) == [701]


def test_a_first_process_elsewhere_is_passed_on(serve: Serve, tmp_path: Path) -> None:
    """Whose namespace it is has then to be decided between witnesses, and not here."""
    serve("run/docker.sock", {LISTED: listed(a="web"), f"/containers/{A}/json": state(5)})
    found = named(tmp_path, {701: f"/docker/{A}", 5: "/init.scope"})
    assert names(found)[701] == "web"
    assert found.said == {(Container("docker", A, "web"),): 5}


def users_engine(uid: int = OTHER) -> str:
    return f"run/user/{uid}/docker.sock"


@as_root
def test_root_asks_a_users_engine_for_that_users_containers_alone(
    serve: Serve, tmp_path: Path
) -> None:
    """Rootless Docker: its answer names neither root's container nor another user's."""
    everything = {LISTED: listed(a="mine", b="bank", c="other")}
    asked = serve(users_engine(), everything, owner=OTHER)
    paths = {
        1: f"{USERS}/docker-{A}.scope",
        2: f"/docker/{B}",
        3: f"/user.slice/user-1.slice/user@1.service/docker-{C}.scope",
    }
    found = named(tmp_path, paths)
    assert names(found) == {1: "mine", 2: None, 3: None}
    assert found.said == {}
    assert asked == [LISTED]


def test_a_user_asks_no_other_users_engine(serve: Serve, tmp_path: Path) -> None:
    asked = serve(users_engine(), {LISTED: listed(a="mine")}, owner=OTHER)
    assert names(named(tmp_path, {1: f"{USERS}/docker-{A}.scope"}, uid=OTHER + 1)) == {1: None}
    assert asked == []
    assert names(named(tmp_path, {1: f"{USERS}/docker-{A}.scope"}, uid=OTHER)) == {1: "mine"}


@as_root
def test_a_users_socket_where_another_listens_is_not_asked(serve: Serve, tmp_path: Path) -> None:
    """The file is the user's, the process behind it is not (SO_PEERCRED)."""
    asked = serve(users_engine(), {LISTED: listed(a="lie")}, owner=OTHER, listener_uid=0)
    found = named(tmp_path, {1: f"{USERS}/docker-{A}.scope"})
    assert names(found) == {1: None}
    assert found.silent == (f"/{users_engine()}: another user's process listens there",)
    assert asked == []


@as_root
def test_a_socket_of_another_user_is_not_asked(serve: Serve, tmp_path: Path) -> None:
    asked = serve(users_engine(), {LISTED: listed(a="lie")}, owner=OTHER + 1)
    found = named(tmp_path, {1: f"{USERS}/docker-{A}.scope"})
    assert found.silent == (f"/{users_engine()}: it is another user's",)
    assert asked == []


@pytest.mark.parametrize("linked", ["docker.sock", f"{OTHER}", "user"])
def test_no_link_is_followed_to_a_users_socket(serve: Serve, tmp_path: Path, linked: str) -> None:
    """The user may place a link to any engine's socket, such as root's."""
    asked = serve(f"elsewhere/{OTHER}/docker.sock", {LISTED: listed(a="lie")}, owner=OTHER)
    real = tmp_path / "elsewhere"
    place = tmp_path / "run/user" / str(OTHER)
    if linked == "user":
        (tmp_path / "run").mkdir()
        (tmp_path / "run/user").symlink_to(real)
    elif linked == "docker.sock":
        place.mkdir(parents=True)
        (place / "docker.sock").symlink_to(real / str(OTHER) / "docker.sock")
    else:
        place.parent.mkdir(parents=True)
        place.symlink_to(real / str(OTHER))
    found = named(tmp_path, {1: f"{USERS}/docker-{A}.scope"}, uid=OTHER)
    assert names(found) == {1: None}
    assert len(found.silent) == 1
    assert asked == []


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
def test_what_is_no_socket_is_not_asked(tmp_path: Path, make: Callable[[Path], None]) -> None:
    place = tmp_path / users_engine(ME)
    place.parent.mkdir(parents=True)
    make(place)
    with pytest.raises(NoAnswer, match="no socket"), opened(str(tmp_path), users_engine(ME), ME):
        pass


def test_no_users_engine_is_no_complaint(tmp_path: Path) -> None:
    with pytest.raises(NoEngine), opened(str(tmp_path), users_engine(), OTHER):
        pass
    path = f"{USERS}/docker-{A}.scope"
    assert named(tmp_path, {1: path}, uid=OTHER) == Named({1: parse_path(path)})


def test_podman_says_which_pod_a_container_is_in(serve: Serve, tmp_path: Path) -> None:
    own = [{"Id": A, "Names": ["web"], "PodName": "shop", "Pod": B}, {"Id": C, "PodName": "x"}]
    serve("run/podman/podman.sock", {LISTED: listed(a="web"), PODS: own})
    path = f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container"
    (container,) = named(tmp_path, {1: path}).chains[1]
    assert container == Container("podman", A, "web", pod="shop", pod_uid=B)


@pytest.mark.parametrize("pod", ["shop", None])
def test_podmans_storage_has_no_names_of_pods(
    serve: Serve, tmp_path: Path, pod: str | None
) -> None:
    """Observed with Podman 4.3: containers.json names the container, and nothing its pod."""
    stored = tmp_path / "var/lib/containers/storage/overlay-containers/containers.json"
    stored.parent.mkdir(parents=True)
    stored.write_text(json.dumps([{"id": A, "names": ["web"]}]))
    own = [{"Id": A, "Names": ["web"], "PodName": "shop", "Pod": B}] if pod else []
    serve("run/podman/podman.sock", {LISTED: listed(a="other"), PODS: own})
    path = f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container"
    found = named(tmp_path, {1: path})
    assert found.chains[1] == (Container("podman", A, "web", pod=pod, pod_uid=B),)


def test_an_older_podman_has_no_names_of_pods(serve: Serve, tmp_path: Path) -> None:
    serve("run/podman/podman.sock", {LISTED: listed(a="web")})
    path = f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container"
    found = named(tmp_path, {1: path})
    assert names(found) == {1: "web"}
    assert found.silent == ()


def test_containers_that_do_not_run(serve: Serve, tmp_path: Path) -> None:
    states = ["running", "paused", "exited", "created", None]
    entries = [
        {"Id": digit * 64, "Names": [f"/{digit}"], "State": state}
        for digit, state in zip("12345", states)
    ]
    serve("run/docker.sock", {f"{LISTED}?all=1": entries})
    serve("run/podman/podman.sock", {f"{LISTED}?all=1": [{**entries[2], "Names": ["pod"]}]})
    assert engines.stopped(str(tmp_path), 0) == [
        *(Container("docker", digit * 64, digit) for digit in "345"),
        Container("podman", "3" * 64, "pod"),
    ]
