"""Kubernetes pods by containerd's CRI, as a kubelet asks for them.

crictl is not in Debian, so this is a client of ``runtime.v1`` with the few messages that it needs;
``cri_call.py`` sends them. The pods have the host's network, which needs no network plugin.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from pathlib import Path

from .containerd import tasks, version_of_server
from .engine import TIME_LIMIT_S, EngineFailed, Named, call, detached, saved_image
from .protobuf import Message, encoded, texts

_CALL = Path(__file__).with_name("cri_call.py")
_PYTHON = "/usr/bin/python3"  # with Debian's grpcio
_SOCKET = "/run/containerd/containerd.sock"
_SERVICE = "/runtime.v1.RuntimeService"
_NAMESPACE = "engines"  # Kubernetes's
_IMAGE = "docker.io/library/pidscope-busybox:latest"
_CONTAINER, _NODE, _TARGET = 1, 2, 3  # enum NamespaceMode
_CONFIG = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = {systemd}
"""


class Pods(Named):
    """Pods of one container each, whose name is the pod's; a shared one is in the other's pod."""

    name = "containerd-cri"
    runtime = "containerd"

    def __init__(self, place: Path) -> None:
        self._place = place
        self._sandboxes: dict[str, str] = {}
        self._configs: dict[str, Message] = {}
        self._containers: dict[str, str] = {}
        self._scripts: dict[str, tuple[str, Message]] = {}

    def version(self) -> str:
        return version_of_server()

    def prepare(self) -> None:
        settings = Path("/etc/containerd/config.toml")
        settings.write_text(_CONFIG.format(image=_IMAGE, systemd="true"))
        call("systemctl", "restart", "containerd.service")
        archive = saved_image(self._place, _IMAGE, "exec sleep 1000000")
        call("ctr", "--namespace", "k8s.io", "images", "import", str(archive))

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        if pid is None or pid == "host":
            mode: Message = {1: _NODE, 2: _NODE if pid else _CONTAINER}
            self._configs[name] = config = _sandbox(name, mode)
            [self._sandboxes[name]] = texts(_ask("RunPodSandbox", {1: config}), 1)
        else:
            mode = {1: _NODE, 2: _TARGET, 4: self._containers[pid]}
            self._configs[name], self._sandboxes[name] = self._configs[pid], self._sandboxes[pid]
        self._scripts[name] = script, mode
        self._create(name, 0)

    def _create(self, name: str, attempt: int) -> None:
        script, mode = self._scripts[name]
        container: Message = {
            1: {1: name, 2: attempt},
            2: {1: _IMAGE},
            3: ["/bin/sh", "-c", script],
            15: {2: {3: mode}},
        }
        request: Message = {1: self._sandboxes[name], 2: container, 3: self._configs[name]}
        [self._containers[name]] = texts(_ask("CreateContainer", request), 1)
        _ask("StartContainer", {1: self._containers[name]})

    def init(self, name: str) -> int:
        return tasks("k8s.io")[self._containers[name]]

    def number(self, name: str) -> str:
        return self._containers[name]

    def word(self, name: str) -> str:
        return f"pod:{_NAMESPACE}/{name}"

    def pod(self, name: str) -> str:
        return name

    def execute(self, name: str, *command: str) -> None:
        request: Message = {1: self._containers[name], 2: list(command)}
        file = self._place / "exec"
        file.write_bytes(encoded(request))
        caller = f"{_PYTHON} -I {_CALL} {_SOCKET} {_SERVICE}/ExecSync 100000 <{file}"
        detached("systemd-run", "--quiet", "/bin/sh", "-c", caller)

    def pause(self, name: str) -> None:
        call("ctr", "--namespace", "k8s.io", "task", "pause", self._containers[name])

    def resume(self, name: str) -> None:
        call("ctr", "--namespace", "k8s.io", "task", "resume", self._containers[name])

    def restart(self, name: str) -> None:
        self.end(name)
        self._create(name, 1)

    def end(self, name: str) -> None:
        _ask("StopContainer", {1: self._containers[name]})

    def remove(self, name: str) -> None:
        sandbox = self._sandboxes.pop(name, None)
        if sandbox is not None and sandbox not in self._sandboxes.values():
            _ask("StopPodSandbox", {1: sandbox})
            _ask("RemovePodSandbox", {1: sandbox})


def _sandbox(name: str, mode: Message) -> Message:
    uid = str(uuid.uuid4())
    parent = f"kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    metadata: Message = {1: name, 2: uid, 3: _NAMESPACE}
    return {1: metadata, 8: {1: parent, 2: {1: mode}}}


def _ask(method: str, request: Message) -> bytes:
    """Return the answer; containerd may still be on its way up. Raises EngineFailed."""
    command = (_PYTHON, "-I", str(_CALL), _SOCKET, f"{_SERVICE}/{method}", f"{TIME_LIMIT_S:g}")
    deadline = time.monotonic() + TIME_LIMIT_S
    while True:
        done = subprocess.run(command, input=encoded(request), capture_output=True, check=False)
        complaint = done.stderr.decode(errors="replace").strip()
        if not done.returncode:
            return done.stdout
        if "UNAVAILABLE" not in complaint or time.monotonic() > deadline:
            raise EngineFailed(complaint)
        time.sleep(1)
