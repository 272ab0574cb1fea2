"""systemd-nspawn, registered with systemd-machined: one service a container."""

from __future__ import annotations

from pathlib import Path

from .engine import CannotDo, EngineFailed, Named, awaited, call, root_of_busybox


class Nspawn(Named):
    """systemd-nspawn as its own template unit starts it, so with a supervisor and a payload."""

    name = "systemd-nspawn"
    runtime = "nspawn"

    def __init__(self, place: Path) -> None:
        self._place = place

    def version(self) -> str:
        return call("systemd-nspawn", "--version").split()[1]

    def prepare(self) -> None:
        pass

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        if pid is not None and pid != "host":
            raise CannotDo("no shared PID namespace")
        root = root_of_busybox(self._place / name)
        (root / "start").write_text(script)
        self._begin(name, pid)

    def _begin(self, name: str, pid: str | None = None) -> None:
        shared = ("--setenv=SYSTEMD_NSPAWN_SHARE_NS_PID=1",) if pid else ()
        # The properties are those of systemd-nspawn@.service that matter for cgroups.
        unit = (f"--unit=systemd-nspawn@{name}.service", "--slice=machine.slice")
        service = ("--property=Delegate=yes", "--service-type=notify", *shared)
        options = ("--quiet", "--keep-unit", "--register=yes", f"--machine={name}")
        root = f"--directory={self._place / name}"
        started = ("systemd-nspawn", *options, root, "/bin/sh", "/start")
        call("systemd-run", "--quiet", "--collect", *unit, *service, *started)

    def init(self, name: str) -> int:
        try:
            return int(call("machinectl", "show", name, "--property=Leader", "--value"))
        except EngineFailed:
            # With the host's PID namespace it is not registered: its supervisor's only child.
            unit = f"systemd-nspawn@{name}.service"
            main = call("systemctl", "show", unit, "--property=MainPID", "--value")
            return int(Path(f"/proc/{main}/task/{main}/children").read_text())

    def number(self, name: str) -> str:
        return name

    def execute(self, name: str, *command: str) -> None:
        raise CannotDo("no exec without systemd inside")

    def pause(self, name: str) -> None:
        raise CannotDo("no pause")

    def resume(self, name: str) -> None:
        raise CannotDo("no pause")

    def restart(self, name: str) -> None:
        self.end(name)
        self._begin(name)

    def end(self, name: str) -> None:
        call("machinectl", "terminate", name)
        awaited(f"the end of {name}", lambda: self._gone(name))

    def _gone(self, name: str) -> bool | None:
        try:
            call("systemctl", "is-active", "--quiet", f"systemd-nspawn@{name}.service")
        except EngineFailed:
            return True
        return None

    def remove(self, name: str) -> None:
        call("systemctl", "stop", f"systemd-nspawn@{name}.service", check=False)
        call("rm", "-rf", str(self._place / name))
