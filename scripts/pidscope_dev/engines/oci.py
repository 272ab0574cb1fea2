"""runc and crun alone: a bundle of busybox's root directory, and the state they keep below /run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .engine import Named, call, detached, root_of_busybox


class Runc(Named):
    """runc; its ids are free words."""

    name = "runc"
    runtime = "runc"

    def __init__(self, place: Path) -> None:
        self._place = place

    def version(self) -> str:
        return call(self.name, "--version").split()[2]

    def prepare(self) -> None:
        pass

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        root_of_busybox(self._place / name / "rootfs")
        config = self._place / name / "config.json"
        call(self.name, "spec", "--bundle", str(config.parent))
        config.write_text(json.dumps(self._configured(json.loads(config.read_text()), script, pid)))
        self._begin(name)

    def _configured(self, config: dict[str, Any], script: str, pid: str | None) -> Any:
        config["process"].update(terminal=False, args=["/bin/sh", "-c", script])
        config["root"]["readonly"] = False
        namespaces = [it for it in config["linux"]["namespaces"] if it["type"] != "pid"]
        if pid != "host":
            path = {} if pid is None else {"path": f"/proc/{self.init(pid)}/ns/pid"}
            namespaces.append({"type": "pid", **path})
        config["linux"]["namespaces"] = namespaces
        return config

    def _begin(self, name: str) -> None:
        detached(self.name, "run", "--detach", "--bundle", str(self._place / name), name)

    def init(self, name: str) -> int:
        return int(json.loads(call(self.name, "state", name))["pid"])

    def number(self, name: str) -> str:
        return name

    def execute(self, name: str, *command: str) -> None:
        detached(self.name, "exec", "--detach", name, *command)

    def pause(self, name: str) -> None:
        call(self.name, "pause", name)

    def resume(self, name: str) -> None:
        call(self.name, "resume", name)

    def restart(self, name: str) -> None:
        call(self.name, "delete", "--force", name)
        self._begin(name)

    def end(self, name: str) -> None:
        call(self.name, "kill", name, "KILL")

    def remove(self, name: str) -> None:
        call(self.name, "delete", "--force", name, check=False)
        call("rm", "-rf", str(self._place / name))


class Crun(Runc):
    """crun; its command line is runc's."""

    name = "crun"
    runtime = "crun"
