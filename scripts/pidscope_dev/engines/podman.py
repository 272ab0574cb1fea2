"""Podman: as root, as a user, and with pods."""

from __future__ import annotations

import shutil
from pathlib import Path

from .docker import IMAGE, Docker
from .engine import awaited, call

_USER, _UID = "pidscope-user", 1001
_STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "{0}/run"\ngraphroot = "{0}/graph"\n'


class Podman(Docker):
    """Podman as root, with its socket's service running."""

    name = "podman"
    runtime = "podman"
    program = "podman"

    def version(self) -> str:
        return self._call("version", "--format", "{{.Client.Version}}")

    def prepare(self) -> None:
        call("systemctl", "start", "podman.socket")
        self._build()


class PodmanPods(Podman):
    """Podman as root, each container in a pod, unless it has another's namespace."""

    name = "podman-pod"

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        pod = self.pod(name if pid in (None, "host") else pid)
        if pod == self.pod(name):
            infra = (f"--infra-image={IMAGE}", "--infra-command=/bin/sleep 1000000")
            self._call("pod", "create", "--network=none", "--name", pod, *infra)
        self.run(name, script, pid, "--pod", pod)

    def pod(self, name: str | None) -> str:
        return f"{name}-pod"

    def remove(self, name: str) -> None:
        self._call("rm", "--force", name, check=False)
        self._call("pod", "rm", "--force", self.pod(name), check=False)


class RootlessPodman(Podman):
    """Podman of a user with a service manager and a bus of his own, as after a login."""

    name = "podman-rootless"

    def prepare(self) -> None:
        run = Path(f"/run/user/{_UID}")
        _make_user(self._place)
        run.mkdir(parents=True, exist_ok=True)
        shutil.chown(run, _UID, _UID)
        self._start_manager(run)
        bus = f"DBUS_SESSION_BUS_ADDRESS=unix:path={run}/bus"
        person = ("setpriv", f"--reuid={_UID}", f"--regid={_UID}", "--clear-groups", "env")
        # Podman itself goes into a scope of the user's manager.
        self._before = (*person, f"HOME={self._place}", f"XDG_RUNTIME_DIR={run}", bus)
        awaited("the user's manager", lambda: (run / "systemd" / "private").exists() or None)
        for unit in ("dbus.socket", "podman.socket"):
            call(*self._before, "systemctl", "--user", "start", unit)
        self._build()

    def _start_manager(self, run: Path) -> None:
        # As user@.service does, but without PAM and logind.
        settings = ("Delegate=yes", f"User={_UID}", f"Group={_UID}", "KillMode=mixed")
        options = (f"--unit=user@{_UID}.service", f"--slice=user-{_UID}.slice", "--quiet")
        environment = (f"--setenv=XDG_RUNTIME_DIR={run}", f"--setenv=HOME={self._place}")
        properties = (f"--property={it}" for it in (*settings, "Type=notify"))
        program = "/usr/lib/systemd/systemd"
        call("systemd-run", *options, *environment, *properties, program, "--user")


def _make_user(home: Path) -> None:
    """Make a user with 65,536 subordinate ids, whose containers lie in his home directory."""
    lines = {
        "passwd": f"{_USER}:x:{_UID}:{_UID}::{home}:/bin/sh",
        "group": f"{_USER}:x:{_UID}:",
        "subuid": f"{_USER}:100000:65536",
        "subgid": f"{_USER}:100000:65536",
    }
    for name, line in lines.items():
        file = Path("/etc") / name
        text = file.read_text() if file.exists() else ""
        file.write_text(text if line in text else f"{text}{line}\n")
    settings = home / ".config" / "containers"
    settings.mkdir(parents=True)
    # An overlay wants user's extended attributes, which tmpfs does not have before Linux 6.6.
    (settings / "storage.conf").write_text(_STORAGE.format(home))
    for path in (home, *home.rglob("*")):
        shutil.chown(path, _UID, _UID)
