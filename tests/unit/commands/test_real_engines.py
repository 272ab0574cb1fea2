"""Hosts as real engines left them in a guest: the cgroups and files that were observed there.

Each has the containers of scripts/engines: `engine-one` with a process 17 and one that was executed
in it, `engine-shared` in its PID namespace, and `engine-host` with the host's. The kernel was 6.1,
systemd 252.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from pidscope.commands import lookup_now, ps
from pidscope.errors import NotFound, UsageError
from pidscope.sources.listed import Listed
from tests.unit.commands.fake_host import HOST, FakeHost
from tests.unit.commands.test_places import ONE, TWO, Asker, ask, host

__all__ = ["ask", "host"]  # fixtures

A, B, C = (digit * 64 for digit in "abc")
TASK = "run/containerd/io.containerd.runtime.v2.task"
STORED = "var/lib/containers/storage/overlay-containers/containers.json"


class Engine(NamedTuple):
    """The cgroups of the three containers and of what was executed; files below the host's root.

    ``words`` are those of the first and of the one with the host's namespace; ``name``: what `ns`
    shows of the first.
    """

    one: str
    executed: str
    shared: str
    on_host: str
    words: tuple[str, str] = ("engine-one", "engine-host")
    name: str = "engine-one"
    files: Mapping[str, object] = {}


def stored(**names: str) -> list[dict[str, object]]:
    return [{"id": number, "names": [name], "layer": "1"} for name, number in names.items()]


def docker(number: str) -> str:
    return f"/system.slice/docker-{number}.scope"


def libpod(number: str) -> str:
    return f"/machine.slice/libpod-{number}.scope"


def runc(name: str, pid: int, path: str = "") -> dict[str, object]:
    """A state file; v2's one path has no controller."""
    cgroups = {"": f"/sys/fs/cgroup{path or f'/system.slice/{name}'}"}
    state = {"init_process_pid": pid, "init_process_start": pid, "cgroup_paths": cgroups}
    return {f"run/runc/{name}/state.json": state}


def hybrid(name: str) -> str:
    """A whole file: runc puts a container below its caller where that has a cgroup, else at top."""
    caller = f"/system.slice/command.scope/{name}"
    return f"13:cpuset:/{name}\n10:pids:{caller}\n6:misc:/\n1:name=systemd:{caller}\n0::/{name}\n"


ENGINES = {
    "Docker 20.10, v2, without its socket": Engine(
        docker(A), docker(A), docker(B), docker(C), (A, C), A,
        {f"{TASK}/moby/{A}/init.pid": 386, f"{TASK}/moby/{C}/init.pid": 696},
    ),
    "Podman 4.3 with crun 1.8, v2": Engine(
        f"{libpod(A)}/container", libpod(A), libpod(B), libpod(C),
        files={STORED: stored(**{"engine-one": A, "engine-shared": B, "engine-host": C})},
    ),
    "containerd 1.6 with ctr, v2": Engine(
        "/default/engine-one", "/default/engine-one", "/default/engine-shared",
        "/default/engine-host", files={f"{TASK}/default/engine-one/init.pid": 386},
    ),
    "runc 1.1, v2": Engine(
        "/system.slice/engine-one", "/system.slice/engine-one", "/system.slice/engine-shared",
        "/system.slice/engine-host",
        files={**runc("engine-one", 386), **runc("engine-shared", 630), **runc("engine-host", 696)},
    ),
    "runc 1.1, hybrid": Engine(
        hybrid("engine-one"), hybrid("engine-one"), hybrid("engine-shared"), hybrid("engine-host"),
        files={
            **runc("engine-one", 386, "/pids/system.slice/command.scope/engine-one"),
            **runc("engine-shared", 630, "/pids/system.slice/command.scope/engine-shared"),
            **runc("engine-host", 696, "/pids/system.slice/command.scope/engine-host"),
        },
    ),
    "LXC 5.0, v2": Engine(
        "/lxc.payload.engine-one", "/lxc.payload.engine-one/.lxc", "/lxc.payload.engine-shared",
        "/lxc.payload.engine-host",
    ),
}  # fmt: skip


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, host: FakeHost) -> Engine:
    made = ENGINES[request.param]
    for path, what in made.files.items():
        host.put_file(path, json.dumps(what))
    host.add(17, HOST, "/system.slice/cron.service")
    host.add(386, ONE, made.one, 1)
    host.add(425, ONE, made.one, 17, ppid=386)
    host.add(589, ONE, made.executed, 18)
    host.add(630, ONE, made.shared, 24)
    host.add(696, HOST, made.on_host)
    return made


def test_17_in_it_is_its_own(engine: Engine, ask: Asker) -> None:
    assert ask.quiet("17", "--in", engine.words[0]).split()[0] == "425"
    assert ask.quiet("425", "--to", engine.words[0]).split()[0] == "17"


def test_one_with_the_hosts_namespace_has_no_17(engine: Engine, ask: Asker) -> None:
    refused = ask.refusal("-q", "17", "--in", engine.words[1])
    assert (type(refused), refused.exit_code) == (UsageError, 2)
    assert "has no PID namespace of its own" in str(refused)


def test_the_namespace_is_of_the_first_and_shared_by_the_second(engine: Engine, ask: Asker) -> None:
    assert ask.tree() == {HOST: None, ONE: engine.name}
    listed = {it["ns"]: it for it in ask.document["namespaces"]}
    assert listed[ONE]["init"] == 386
    assert len(listed[ONE]["shared"]) == len(listed[HOST]["shared"]) == 1


# A pod of containerd's CRI, as a kubelet with systemd's driver makes it, and no kubelet's files.

_QOS = "/kubepods.slice/kubepods-burstable.slice"
POD = f"{_QOS}/kubepods-burstable-pod5cee3049_a78a_42b6_8425_621ca8c02ab8.slice"
SANDBOX = "d" * 64


def cri(host: FakeHost, number: str, pid: int, inum: int, *inner: int, container: str = "") -> None:
    """A container's first process, and what containerd keeps of it."""
    host.add(pid, inum, f"{POD}/cri-containerd-{number}.scope", *inner)
    key = "io.kubernetes.cri"
    annotations = {f"{key}.sandbox-namespace": "engines", f"{key}.sandbox-name": "engine-one"}
    if container:
        annotations[f"{key}.container-name"] = container
    directory = f"{TASK}/k8s.io/{number}"
    host.put_file(f"{directory}/init.pid", str(pid))
    host.put_file(f"{directory}/config.json", json.dumps({"annotations": annotations}))


@pytest.fixture
def pod(host: FakeHost) -> FakeHost:
    host.add(17, HOST, "/system.slice/cron.service")
    cri(host, SANDBOX, 324, TWO, 1)
    cri(host, A, 373, ONE, 1, container="engine-one")
    host.add(396, ONE, f"{POD}/cri-containerd-{A}.scope", 17, ppid=373)
    return host


@pytest.mark.parametrize("word", ["engine-one", "pod:engine-one", "pod:engines/engine-one"])
def test_a_pod_is_its_container_and_not_its_sandbox(pod: FakeHost, ask: Asker, word: str) -> None:
    assert ask.quiet("17", "--in", word) == "396"


def test_a_pods_debugger_is_in_its_targets_namespace(pod: FakeHost, ask: Asker) -> None:
    """NamespaceMode TARGET: `kubectl debug --target`."""
    cri(pod, B, 629, ONE, 25, container="engine-shared")
    assert ask.quiet("17", "--in", "pod:engines/engine-one").split()[0] == "396"
    assert ask.tree() == {HOST: None, ONE: A, TWO: SANDBOX}
    [shared] = {it["ns"]: it for it in ask.document["namespaces"]}[ONE]["shared"]
    assert shared["container_name"] == "engine-shared"


def test_a_pod_with_the_hosts_namespace_has_no_17(host: FakeHost, ask: Asker) -> None:
    """hostPID: the sandbox has the host's namespace, too."""
    host.add(17, HOST, "/system.slice/cron.service")
    cri(host, SANDBOX, 679, HOST)
    cri(host, A, 727, HOST, container="engine-host")
    refused = ask.refusal("-q", "17", "--in", "pod:engines/engine-one")
    assert (type(refused), refused.exit_code) == (UsageError, 2)


# runc alone: what has no number 1 of its own is known by the state file.


@pytest.mark.parametrize(
    ("files", "cgroup"),
    [
        ({}, "/system.slice/jail"),
        # Another process has the number by now.
        ({"run/runc/jail/state.json": {"init_process_pid": 696, "init_process_start": 1,
          "cgroup_paths": {"": "/sys/fs/cgroup/system.slice/jail"}}}, "/system.slice/jail"),
        # crun can leave it in the cgroup of its caller.
        ({"run/crun/jail/status": {"pid": 696, "process-start-time": 696, "cgroup-path": ""}},
         "/user.slice/user-0.slice/session-1.scope"),
        (runc("jail", 696), "/user.slice/user-0.slice/session-1.scope"),
        # Two in one.
        ({**runc("jail", 696, "/box"), **runc("web", 697, "/box")}, "/box"),
        # A path that a user may make.
        (runc("jail", 696, "/user.slice/user-7.slice/user@7.service/jail"),
         "/user.slice/user-7.slice/user@7.service/jail"),
    ],
)  # fmt: skip
def test_a_state_that_may_not_be_of_a_process_makes_no_container(
    files: dict[str, object], cgroup: str, host: FakeHost, ask: Asker
) -> None:
    for path, what in files.items():
        host.put_file(path, json.dumps(what))
    host.add(696, HOST, cgroup)
    host.add(697, HOST, cgroup)
    assert isinstance(ask.refusal("-q", "17", "--in", "jail"), NotFound)
    ask.tree()
    assert ask.document["namespaces"][0]["shared"] == []


def test_states_are_read_for_the_task_iterator_too(
    host: FakeHost, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root among many processes the tasks are read by the iterator, the files as ever."""
    real = lookup_now.listed

    def iterated(*arguments: Any, **options: Any) -> Listed:
        return real(*arguments, **options)._replace(mode="iterator")

    monkeypatch.setattr(lookup_now, "listed", iterated)
    for path, what in runc("jail", 696).items():
        host.put_file(path, json.dumps(what))
    host.add(696, HOST, "/system.slice/jail")
    assert isinstance(ask.refusal("-q", "17", "--in", "jail"), UsageError)


def test_what_is_below_a_stated_containers_cgroup_is_in_it(host: FakeHost, ask: Asker) -> None:
    """``runc run`` of a container with the host's namespace, in which systemd's services are."""
    for path, what in runc("jail", 696).items():
        host.put_file(path, json.dumps(what))
    host.add(696, HOST, "/system.slice/jail")
    host.add(697, HOST, "/system.slice/jail/web.service")
    host.add(698, HOST, "/system.slice/jailer")
    shown = ask.document_of(ps)["processes"]
    found = {it["pid"]: it["container"] and it["container"]["name"] for it in shown}
    assert found == {1: None, 5: None, 696: "jail", 697: "jail", 698: None}


def nspawn(name: str, below: str) -> str:
    """A whole file: on a host with v2 the payload has a v1 hierarchy of systemd's as well.

    systemd-nspawn mounts it for a payload of which it does not know that it can do with v2.
    """
    unit = f"/machine.slice/systemd-nspawn@{name}.service/{below}"
    return f"1:name=systemd:{unit if below == 'payload' else '/'}\n0::{unit}\n"


def test_nspawns_payload_is_the_container(host: FakeHost, ask: Asker) -> None:
    """systemd-nspawn 252 --keep-unit; SYSTEMD_NSPAWN_SHARE_NS_PID=1 gives it the host's."""
    host.add(17, HOST, "/system.slice/cron.service")
    host.add(695, HOST, nspawn("engine-one", "supervisor"))
    host.add(697, ONE, nspawn("engine-one", "payload"), 1, ppid=695)
    host.add(715, ONE, nspawn("engine-one", "payload"), 17, ppid=697)
    host.add(742, HOST, nspawn("engine-host", "supervisor"))
    host.add(744, HOST, nspawn("engine-host", "payload"), ppid=742)
    assert ask.quiet("17", "--in", "engine-one") == "715"
    assert ask.tree() == {HOST: None, ONE: "engine-one"}
    assert isinstance(ask.refusal("-q", "17", "--in", "engine-host"), UsageError)
