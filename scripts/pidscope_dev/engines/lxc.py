"""LXC by its own commands, without a template: a configuration and a root directory."""

from __future__ import annotations

from pathlib import Path

from .engine import Named, call, detached, root_of_busybox

_LXC = Path("/var/lib/lxc")


class Lxc(Named):
    """LXC; its commands are what it says."""

    name = "lxc"
    runtime = "lxc"

    def __init__(self, place: Path) -> None:
        self._place = place

    def version(self) -> str:
        return call("lxc-info", "--version")

    def prepare(self) -> None:
        pass

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        root = root_of_busybox(self._place / name)
        (root / "start").write_text(script)
        lines = [
            f"lxc.rootfs.path = dir:{root}",
            f"lxc.uts.name = {name}",
            "lxc.init.cmd = /bin/sh /start",
            "lxc.net.0.type = empty",
            "lxc.apparmor.profile = unconfined",
            "lxc.mount.auto = proc:rw sys:ro",
        ]
        if pid == "host":
            lines.append("lxc.namespace.keep = pid user")
        elif pid is not None:
            lines.append(f"lxc.namespace.share.pid = {self.init(pid)}")
        (_LXC / name).mkdir(parents=True)
        (_LXC / name / "config").write_text("".join(f"{line}\n" for line in lines))
        self._begin(name)

    def _begin(self, name: str) -> None:
        detached("lxc-start", "--daemon", "--name", name, "--logfile", f"/tmp/lxc-{name}.log")

    def init(self, name: str) -> int:
        return int(call("lxc-info", "--name", name, "--pid", "--no-humanize"))

    def number(self, name: str) -> str:
        return name

    def execute(self, name: str, *command: str) -> None:
        detached("systemd-run", "--quiet", "lxc-attach", "--name", name, "--", *command)

    def pause(self, name: str) -> None:
        call("lxc-freeze", "--name", name)

    def resume(self, name: str) -> None:
        call("lxc-unfreeze", "--name", name)

    def restart(self, name: str) -> None:
        self.end(name)
        self._begin(name)

    def end(self, name: str) -> None:
        call("lxc-stop", "--kill", "--name", name)

    def remove(self, name: str) -> None:
        call("lxc-stop", "--kill", "--name", name, check=False)
        call("rm", "-rf", str(_LXC / name), str(self._place / name))
