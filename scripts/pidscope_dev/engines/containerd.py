"""containerd, by ctr: containers without an image, of a root directory."""

from __future__ import annotations

from pathlib import Path

from .engine import EngineFailed, Named, call, detached, root_of_busybox


def version_of_server() -> str:
    """Return containerd's version, as ``ctr`` prints it. Raises EngineFailed."""
    lines = call("ctr", "version").partition("Server:")[2].splitlines()
    return next((line.split()[1] for line in lines if "Version:" in line), "?")


def tasks(namespace: str) -> dict[str, int]:
    """Return the PID of each task in a namespace of containerd, by its id. Raises EngineFailed."""
    lines = call("ctr", "--namespace", namespace, "task", "ls").splitlines()[1:]
    return {task: int(pid) for task, pid, _status in map(str.split, lines)}


class Containerd(Named):
    """containerd by its own service; its ids are free words."""

    name = "containerd"
    runtime = "containerd"

    def __init__(self, place: Path) -> None:
        self._root = place / "root"

    def version(self) -> str:
        return version_of_server()

    def prepare(self) -> None:
        call("systemctl", "start", "containerd.service")
        root_of_busybox(self._root)

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        process = "1" if pid == "host" else None if pid is None else str(self.init(pid))
        shared = () if process is None else ("--with-ns", f"pid:/proc/{process}/ns/pid")
        options = ("--detach", "--null-io", "--rootfs", *shared)
        detached("ctr", "run", *options, str(self._root), name, "/bin/sh", "-c", script)

    def init(self, name: str) -> int:
        found = tasks("default")
        if name not in found:
            raise EngineFailed(f"ctr task ls has no {name}")
        return found[name]

    def number(self, name: str) -> str:
        return name

    def execute(self, name: str, *command: str) -> None:
        # With --detach it wants a log or pipes that outlive it.
        ctr = ("ctr", "task", "exec", "--exec-id", "executed", name, *command)
        detached("systemd-run", "--quiet", *ctr)

    def pause(self, name: str) -> None:
        call("ctr", "task", "pause", name)

    def resume(self, name: str) -> None:
        call("ctr", "task", "resume", name)

    def restart(self, name: str) -> None:
        self._kill(name)
        detached("ctr", "task", "start", "--detach", "--null-io", name)

    def end(self, name: str) -> None:
        call("ctr", "task", "kill", "--all", "--signal", "KILL", name)

    def _kill(self, name: str) -> None:
        call("ctr", "task", "rm", "--force", name, check=False)

    def remove(self, name: str) -> None:
        self._kill(name)
        call("ctr", "container", "rm", name, check=False)
