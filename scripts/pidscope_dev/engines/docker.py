"""Docker, by docker.service; and Podman, whose commands are the same."""

from __future__ import annotations

import json
from pathlib import Path

from .engine import Named, call, detached, image

IMAGE = "pidscope-busybox"


class Docker(Named):
    """Docker with its own containerd, without a network of its own."""

    name = "docker"
    runtime = "docker"
    program = "docker"

    def __init__(self, place: Path) -> None:
        self._place = place
        self._before: tuple[str, ...] = ()  # the command by which the program is started

    def _call(self, *arguments: str, check: bool = True) -> str:
        return call(*self._before, self.program, *arguments, check=check)

    def version(self) -> str:
        return self._call("version", "--format", "{{.Server.Version}}")

    def prepare(self) -> None:
        settings = {"bridge": "none", "iptables": False, "ip6tables": False}
        Path("/etc/docker").mkdir(exist_ok=True)
        Path("/etc/docker/daemon.json").write_text(json.dumps(settings))
        call("systemctl", "start", "docker.service")
        self._build()

    def _build(self) -> None:
        self._call("import", str(image(self._place)), IMAGE)

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        self.run(name, script, pid, "--network=none")

    def run(self, name: str, script: str, pid: str | None, *options: str) -> None:
        """Start a container with more options of ``docker run``."""
        shared = () if pid is None else (f"--pid={pid if pid == 'host' else f'container:{pid}'}",)
        named = ("--detach", "--init=false", "--name", name, *shared, *options)
        self._call("run", *named, IMAGE, "/bin/sh", "-c", script)

    def log(self, name: str) -> str:
        """Return the end of what a container has written."""
        return call("/bin/sh", "-c", f"{self.program} logs --tail=20 {name} 2>&1", check=False)

    def init(self, name: str) -> int:
        return int(self._inspect(name, "{{.State.Pid}}"))

    def number(self, name: str) -> str:
        return self._inspect(name, "{{.Id}}")

    def _inspect(self, name: str, form: str) -> str:
        return self._call("inspect", "--format", form, name)

    def execute(self, name: str, *command: str) -> None:
        detached(*self._before, self.program, "exec", "--detach", name, *command)

    def pause(self, name: str) -> None:
        self._call("pause", name)

    def resume(self, name: str) -> None:
        self._call("unpause", name)

    def restart(self, name: str) -> None:
        self._call("restart", "--time=0", name)

    def end(self, name: str) -> None:
        self._call("stop", "--time=0", name)

    def remove(self, name: str) -> None:
        self._call("rm", "--force", name, check=False)
