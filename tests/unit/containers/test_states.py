"""Names and first processes from runtimes' files and monitors, without a socket (issue 15, B7).

The files are samples of the forms of containerd 1.6, runc 1.1, crun 1.8, Podman 4.3, CRI-O 1.24 and
LXC 5, below a root directory of the test.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidscope.containers.container import Container, display_name
from pidscope.containers.kubelet import parse_names
from pidscope.containers.monitors import monitored
from pidscope.containers.names import Named, name_containers, name_unknown
from pidscope.containers.rules import parse_path
from pidscope.containers.sources import Sources
from pidscope.containers.states import Init, States

A, B = "a" * 64, "b" * 64
UID = "1c2e3f40-aaaa-bbbb-cccc-0123456789ab"
TASKS = "run/containerd/io.containerd.runtime.v2.task"
STORED = "var/lib/containers/storage/overlay-containers"
LONG = "a" * 60 + "." + "b" * 192  # 253 characters, and a label of 192


def put(root: Path, path: str, what: Any) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(what if isinstance(what, str) else json.dumps(what))


def named(root: Path, *paths: str, proc: str | None = None, uid: int = 0) -> Named:
    chains = {at: parse_path(path) for at, path in enumerate(paths, start=701)}
    return name_containers(chains, str(root), uid, proc)


@pytest.mark.parametrize("namespace", ["moby", "k8s.io", "default"])
def test_containerds_task_directory_has_the_first_process(tmp_path: Path, namespace: str) -> None:
    put(tmp_path, f"{TASKS}/{namespace}/{A}/init.pid", "701")
    found = named(tmp_path, f"/docker/{A}", f"/docker/{B}")
    assert found.said == {(Container("docker", A),): 701}


def test_the_pid_of_one_that_has_ended_may_be_anothers(tmp_path: Path) -> None:
    """``ctr task kill``, observed with containerd 1.6: init.pid stays until the task is deleted."""
    put(tmp_path, f"{TASKS}/default/web/init.pid", "702")
    assert named(tmp_path, "/default/web", "/system.slice/cron.service").said == {}


@pytest.mark.parametrize(
    ("path", "state"),
    [
        (
            "run/runc/web/state.json",
            {"init_process_pid": 701, "init_process_start": 9, "cgroup_paths": {"pids": "/x"}},
        ),
        ("run/crun/web/status", {"pid": 701, "process-start-time": 9, "cgroup-path": "/x"}),
    ],
)
def test_a_runtimes_state_has_the_first_process(tmp_path: Path, path: str, state: Any) -> None:
    put(tmp_path, path, state)
    runtime = path.split("/")[1]
    assert named(tmp_path, f"/user.slice/{runtime}-web.scope").said == {
        (Container(runtime, "web", "web"),): 701
    }
    # By which one is found whose cgroup no rule knows: runc without systemd makes any.
    web = Container(runtime, "web", "web")
    assert States(str(tmp_path)).inits() == {701: Init(web, 9, f"/{path}", ("/x",))}


@pytest.mark.parametrize(
    ("start", "uid", "runtime"), [(9, None, "runc"), (10, None, "?"), (9, 1001, "?")]
)
def test_an_unknown_container_is_known_by_its_first_process(
    tmp_path: Path, start: int, uid: int | None, runtime: str
) -> None:
    """`runc run jail` without systemd: in any cgroup. 701 may be another process by now (10)."""
    put(tmp_path, "run/runc/jail/state.json", {"init_process_pid": 701, "init_process_start": 9})
    unknown = Container("?", "/box", "box", uid=uid)
    service = Container("systemd", "", unit="a.service")
    chains = {5: (service,), 701: (unknown,), 702: (unknown, service)}
    found = name_unknown(chains, str(tmp_path), {701: start}.get)
    jail = Container("runc", "jail", "jail") if runtime == "runc" else unknown
    assert found.chains == {5: (service,), 701: (jail,), 702: (jail, service)}
    file = "/run/runc/jail/state.json"
    known = runtime == "runc"
    assert found.said == ({(jail,): 701} if known else {})
    assert found.sources == ({(jail,): Sources(file, file)} if known else {})


def test_a_state_without_a_start_may_be_of_one_that_has_ended(tmp_path: Path) -> None:
    """runc keeps the state, with the PID, until `runc delete`."""
    put(tmp_path, "run/runc/jail/state.json", {"init_process_pid": 802})
    assert States(str(tmp_path)).inits() == {}


@pytest.mark.parametrize(
    "what", ["", "0", "-1", "x", "99999999", "7 0 1", "[]", '{"pid": "x"}', "{"]
)
def test_a_file_of_another_form_says_nothing(tmp_path: Path, what: str) -> None:
    for place in (f"{TASKS}/moby/{A}/init.pid", f"run/runc/{A}/state.json", f"run/crun/{A}/status"):
        put(tmp_path, place, what)
    put(tmp_path, f"{TASKS}/moby/{A}/config.json", what)
    put(tmp_path, f"{STORED}/containers.json", what)
    states = States(str(tmp_path))
    assert states.init_pid(A) is None
    assert states.named(Container("oci", A)) is None
    assert states.podman_names() == {}


@given(st.text())
def test_no_id_leads_out_of_a_runtimes_directory(text: str) -> None:
    states = States("/proc/1/root/nowhere")
    for container_id in (text, "..", ".", "../x", "a/b", "\0", f"../{text}"):
        assert states.init_pid(container_id) is None
        assert states.named(Container("containerd", container_id)) is None


def test_an_id_cannot_name_another_directory(tmp_path: Path) -> None:
    put(tmp_path, "run/secret/state.json", {"init_process_pid": 1})
    assert States(str(tmp_path)).init_pid("../secret") is None


def test_a_link_a_fifo_and_a_long_file_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere", "701")
    (tmp_path / f"{TASKS}/moby/{A}").mkdir(parents=True)
    (tmp_path / f"{TASKS}/moby/{A}/init.pid").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"run/crun/{A}").mkdir(parents=True)
    os.mkfifo(tmp_path / f"run/crun/{A}/status")
    put(tmp_path, f"run/runc/{A}/state.json", " " * (8 << 20) + '{"init_process_pid": 1}')
    assert States(str(tmp_path)).init_pid(A) is None


@pytest.mark.parametrize("file", ["containers.json", "volatile-containers.json"])
def test_podmans_storage_has_names_and_no_service_is_started(tmp_path: Path, file: str) -> None:
    """cAdvisor up to 0.56 reads the first alone, and misses what `podman run --rm` made."""
    entries = [{"id": A, "names": ["web"], "layer": "x"}, {"id": B}, 1, {"id": 1, "names": [2]}]
    put(tmp_path, f"{STORED}/{file}", entries)
    (tmp_path / "run/podman").mkdir(parents=True)
    (tmp_path / "run/podman/podman.sock").touch()  # asking it would be a complaint
    found = named(tmp_path, f"/machine.slice/libpod-{A}.scope/container")
    assert found.chains[701] == (Container("podman", A, "web"),)
    assert found.silent == ()


@pytest.mark.parametrize("driver", ["vfs", "btrfs", "zfs"])
def test_podmans_storage_has_names_without_an_overlay(tmp_path: Path, driver: str) -> None:
    """containers/storage keeps its lists by the driver of the images: DRIVER-containers."""
    path = f"var/lib/containers/storage/{driver}-containers/containers.json"
    put(tmp_path, path, [{"id": A, "names": ["web"]}])
    assert named(tmp_path, f"/libpod_parent/libpod-{A}").chains[701][-1].name == "web"


def test_roots_storage_does_not_name_a_users_container(tmp_path: Path) -> None:
    put(tmp_path, f"{STORED}/containers.json", [{"id": A, "names": ["bank"]}])
    path = f"/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-{A}.scope"
    assert named(tmp_path, path).chains[701][-1] == Container("podman", A, uid=1001)


CRI = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "nginx",
    "io.kubernetes.cri.sandbox-name": LONG,
    "io.kubernetes.cri.sandbox-namespace": "shop",
}
CRIO = {
    "io.kubernetes.container.name": "nginx",
    "io.kubernetes.pod.name": LONG,
    "io.kubernetes.pod.namespace": "shop",
}


@pytest.mark.parametrize(
    ("place", "annotations"),
    [
        (f"{TASKS}/k8s.io/{A}/config.json", CRI),
        (f"run/containers/storage/overlay-containers/{A}/userdata/config.json", CRIO),
    ],
)
def test_annotations_name_a_pod_whose_logs_are_elsewhere(
    tmp_path: Path, place: str, annotations: dict[str, str]
) -> None:
    """Kubernetes 1.30 may keep the logs of pods in another directory (podLogsDir)."""
    put(tmp_path, place, {"ociVersion": "1.0", "annotations": annotations})
    (container,) = named(tmp_path, f"/kubepods/pod{UID}/{A}").chains[701]
    assert display_name(container) == f"shop/{LONG}/nginx"


@pytest.mark.parametrize(
    "sandbox",
    [{"io.kubernetes.cri.container-name": None}, {"io.kubernetes.cri.container-name": "POD"}],
)
def test_annotations_of_a_sandbox_name_no_container(tmp_path: Path, sandbox: Any) -> None:
    put(tmp_path, f"{TASKS}/k8s.io/{A}/config.json", {"annotations": {**CRI, **sandbox}})
    (container,) = named(tmp_path, f"/kubepods/pod{UID}/{A}").chains[701]
    assert (container.pod, container.container_name) == (LONG, None)


def test_nerdctls_name_is_an_annotation(tmp_path: Path) -> None:
    put(tmp_path, f"{TASKS}/default/{A}/config.json", {"annotations": {"nerdctl/name": "web"}})
    found = named(tmp_path, f"/system.slice/nerdctl-{A}.scope")
    assert found.chains[701] == (Container("containerd", A, "web"),)


@pytest.mark.parametrize("length", [63, 64, 200])
def test_a_pods_name_may_be_long(tmp_path: Path, length: int) -> None:
    """RFC 1123 has labels of 63 characters, Kubernetes lets one be as long as the pod's name.

    Then the link's name is cut in the id, or before it, and only the directory has the pod's name.
    """
    pod = "p" * length
    (tmp_path / f"var/log/pods/shop_{pod}_{UID}").mkdir(parents=True)
    links = tmp_path / "var/log/containers"
    links.mkdir()
    (links / f"{f'{pod}_shop_nginx-{A}'[:251]}.log").touch()
    (container,) = named(tmp_path, f"/kubepods/pod{UID}/{A}").chains[701]
    assert (container.pod_namespace, container.pod) == ("shop", pod)


@pytest.mark.parametrize(("length", "known"), [(253, True), (254, False)])
def test_a_pods_name_has_a_limit(length: int, known: bool) -> None:
    kubelet = parse_names([], [f"shop_{'p' * length}_{UID}"])
    assert (UID in kubelet.pods) == known


def test_a_user_does_not_get_a_pods_name(tmp_path: Path) -> None:
    (tmp_path / f"var/log/pods/shop_web_{UID}").mkdir(parents=True)
    path = f"/user.slice/user-1001.slice/user@1001.service/pod{UID}/cri-containerd-{A}.scope"
    assert named(tmp_path, path).chains[701][-1].pod is None


def process(proc: Path, pid: int, ppid: int, uid: int = 0, command: str = "") -> None:
    put(
        proc, f"{pid}/status",
        f"Name:\tx\nPid:\t{pid}\nPPid:\t{ppid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n",
    )  # fmt: skip
    put(proc, f"{pid}/cmdline", command)


def conmon(container_id: str = A, name: str = "web") -> str:
    words = (
        "/usr/bin/conmon", "--api-version", "1", "-c", container_id, "-u", container_id,
        "-r", "/usr/bin/crun", "-n", name, "--exit-command-arg", "-n", "--exit-command-arg", "x",
    )  # fmt: skip
    return "".join(f"{word}\0" for word in words)


ROOTFUL = f"/machine.slice/libpod-{A}.scope/container"
ROOTLESS = f"/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-{A}.scope/container"


@pytest.mark.parametrize(
    ("path", "owner", "name"),
    [
        (ROOTFUL, 0, "web"),
        (ROOTFUL, 1001, None),  # a user's process called conmon
        (ROOTLESS, 1001, "web"),
        (ROOTLESS, 1002, None),
    ],
)
def test_conmon_has_a_containers_name(
    tmp_path: Path, path: str, owner: int, name: str | None
) -> None:
    """`conmon -n`: 701 is its child, 702 a child of 701."""
    process(tmp_path / "proc", 700, 1, owner, conmon())
    process(tmp_path / "proc", 701, 700)
    process(tmp_path / "proc", 702, 701)
    found = named(tmp_path, path, path, proc=str(tmp_path / "proc"))
    assert {chain[-1].name for chain in found.chains.values()} == {name}


@pytest.mark.parametrize(("monitor", "count"), [(conmon(), 0), ("sh", 1)])
def test_an_engine_that_is_silent_is_named_if_a_name_is_missing(
    tmp_path: Path, monitor: str, count: int
) -> None:
    """Rootless Podman 4.3 in a guest: its service is slow to start, and conmon has the name."""
    process(tmp_path / "proc", 700, 1, 0, monitor)
    process(tmp_path / "proc", 701, 700)
    (tmp_path / "run/podman").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "run/podman/podman.sock"))
        silent.listen()
        assert len(named(tmp_path, ROOTFUL, proc=str(tmp_path / "proc")).silent) == count


@pytest.mark.parametrize(
    "command", ["", "\0", "conmon", conmon(B), conmon(name="\x1b[31m"), "x\0" * 9]
)
def test_another_command_line_names_nothing(tmp_path: Path, command: str) -> None:
    process(tmp_path, 700, 1, 0, command)
    process(tmp_path, 701, 700)
    container = Container("podman", A)
    assert monitored(container, {701}, str(tmp_path)) is None


def test_the_parents_own_container_is_no_monitor(tmp_path: Path) -> None:
    """A process in the container may call itself conmon; its parent's word does not count."""
    process(tmp_path, 701, 1, 0, conmon(name="lie"))
    process(tmp_path, 702, 701)
    assert monitored(Container("podman", A), {701, 702}, str(tmp_path)) is None


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("[lxc monitor] /var/lib/lxc web\0\0", "web"),
        ("[lxc monitor] /var/lib/lxc web-1", "web-1"),  # a container that is really called so
        ("[lxc monitor] /var/lib/lxc bank", "web-1"),
        ("[lxc monitor] web", "web-1"),
        ("nginx", "web-1"),
    ],
)
def test_lxcs_monitor_has_the_name_of_a_left_over_cgroup(
    tmp_path: Path, title: str, name: str
) -> None:
    """LXC makes ``lxc.payload.NAME-1`` if the cgroup without the number could not be removed."""
    process(tmp_path / "proc", 700, 1, 0, title)
    process(tmp_path / "proc", 701, 700)
    found = named(tmp_path, "/lxc.payload.web-1/init.scope", proc=str(tmp_path / "proc"))
    assert found.chains[701] == (Container("lxc", "web-1", name),)


def test_a_user_reads_no_files_of_roots_runtimes(tmp_path: Path) -> None:
    put(tmp_path, f"{STORED}/containers.json", [{"id": A, "names": ["web"]}])
    assert named(tmp_path, ROOTFUL, uid=1000).chains[701][0].name is None
