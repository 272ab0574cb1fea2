"""Docker, by docker.service; and Podman, whose commands are the same."""

from __future__ import annotations

import json
from pathlib import Path

from .engine import call, detached, image

_IMAGE = "pidscope-busybox"


class Docker:
    """Docker with its own containerd, without a network of its own."""

    name = "docker"
    runtime = "docker"
    program = "docker"
    shares = "container:{}"

    def __init__(self, place: Path) -> None:
        self._place = place

    def version(self) -> str:
        return call(self.program, "version", "--format", "{{.Server.Version}}")

    def prepare(self) -> None:
        settings = {"bridge": "none", "iptables": False, "ip6tables": False}
        Path("/etc/docker").mkdir(exist_ok=True)
        Path("/etc/docker/daemon.json").write_text(json.dumps(settings))
        call("systemctl", "start", "docker.service")
        self._build()

    def _build(self) -> None:
        call(self.program, "import", str(image(self._place)), _IMAGE)

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        shared = () if pid is None else (f"--pid={self._pid(pid)}",)
        options = ("--detach", "--init=false", "--network=none", "--name", name, *shared)
        call(self.program, "run", *options, _IMAGE, "/bin/sh", "-c", script)

    def _pid(self, pid: str) -> str:
        return pid if pid == "host" else f"container:{pid}"

    def init(self, name: str) -> int:
        return int(self._inspect(name, "{{.State.Pid}}"))

    def number(self, name: str) -> str:
        return self._inspect(name, "{{.Id}}")

    def _inspect(self, name: str, form: str) -> str:
        return call(self.program, "inspect", "--format", form, name)

    def execute(self, name: str, *command: str) -> None:
        detached(self.program, "exec", "--detach", name, *command)

    def pause(self, name: str) -> None:
        call(self.program, "pause", name)

    def resume(self, name: str) -> None:
        call(self.program, "unpause", name)

    def restart(self, name: str) -> None:
        call(self.program, "restart", "--time=0", name)

    def end(self, name: str) -> None:
        call(self.program, "stop", "--time=0", name)

    def remove(self, name: str) -> None:
        call(self.program, "rm", "--force", name, check=False)


class Podman(Docker):
    """Podman as root, with its socket's service running."""

    name = "podman"
    runtime = "podman"
    program = "podman"

    def version(self) -> str:
        return call("podman", "version", "--format", "{{.Client.Version}}")

    def prepare(self) -> None:
        call("systemctl", "start", "podman.socket")
        self._build()
