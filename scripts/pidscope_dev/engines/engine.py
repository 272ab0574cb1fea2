"""What each container engine can be asked to do, in the same words."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

TIME_LIMIT_S = 600.0  # emulated, and beside other work
APPLETS = ("sh", "sleep", "true")
# Every fork takes the next number, so the last of these is 17 in its namespace, unless others fork
# there.
SEVENTEEN = ": & while [ $! -lt 16 ]; do : & done; wait; sleep 1000000 & wait"
SLEEP = "exec sleep 1000000"
HOST = "host"

Value = TypeVar("Value")


class EngineFailed(Exception):
    """An engine did not do what it was asked to do; the text is what it wrote."""


class CannotDo(Exception):
    """The engine has no such thing; the text is the reason."""


class Named:
    """What an engine's containers are called, where nothing is special about it."""

    def known_as(self, name: str) -> str:
        """Return what pidscope has to show of a container: its name, or of others its id."""
        return name

    def word(self, name: str) -> str:
        """Return what a person gives to ``--in`` for a container."""
        return name

    def pod(self, name: str) -> str:
        """Return the name of the pod in which a container is. Raises CannotDo."""
        raise CannotDo("no pods")


class Engine(Protocol):
    """One engine. A container is named by its name; ``init`` is the engine's own word."""

    name: str
    runtime: str  # as pidscope calls it

    def version(self) -> str:
        """Return the engine's version, as it prints it."""

    def prepare(self) -> None:
        """Start what has to run, and build the image."""

    def start(self, name: str, script: str, pid: str | None = None) -> None:
        """Start a container; ``pid``: HOST, or another container with the same PID namespace."""

    def init(self, name: str) -> int:
        """Return the host's PID of the container's first process."""

    def known_as(self, name: str) -> str:
        """As `Named.known_as`, which most inherit."""

    def word(self, name: str) -> str:
        """As `Named.word`."""

    def pod(self, name: str) -> str:
        """As `Named.pod`."""

    def number(self, name: str) -> str:
        """Return the container's id."""

    def execute(self, name: str, *command: str) -> None:
        """Leave a command running in a container."""

    def pause(self, name: str) -> None:
        """Freeze a container."""

    def resume(self, name: str) -> None:
        """Thaw a container."""

    def restart(self, name: str) -> None:
        """End a container and start it again under the same name."""

    def end(self, name: str) -> None:
        """End a container; the engine still knows it, if it ever does."""

    def remove(self, name: str) -> None:
        """End a container and forget it; nothing happens if there is none."""


def call(*command: str, stdin: str = "", check: bool = True) -> str:
    """Return what a command prints. Raises EngineFailed."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"{' '.join(command)}: nothing in {TIME_LIMIT_S:g} s") from error
    if check and done.returncode:
        raise EngineFailed(f"{' '.join(command)}: {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def detached(*command: str) -> None:
    """Start a command whose output goes nowhere: a pipe would be held open by the container."""
    quiet = subprocess.DEVNULL
    done = subprocess.run(
        command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=TIME_LIMIT_S, check=False
    )
    if done.returncode:
        raise EngineFailed(f"{' '.join(command)}: {done.returncode}")


def awaited(what: str, ask: Callable[[], Value | None]) -> Value:
    """Return the first value of ``ask`` that is not None. Raises EngineFailed."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while time.monotonic() < deadline:
        found = ask()
        if found is not None:
            return found
        time.sleep(0.1)
    raise EngineFailed(f"{what} did not come in {TIME_LIMIT_S:g} s")


def root_of_busybox(place: Path) -> Path:
    """Make a root directory with busybox in it, and return it."""
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (place / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(shutil.which("busybox") or "busybox", place / "bin")
    for name in APPLETS:
        (place / "bin" / name).symlink_to("busybox")
    (place / "etc" / "os-release").write_text("ID=busybox\n")
    return place


def image(place: Path) -> Path:
    """Return a tar archive of busybox's root directory."""
    root = root_of_busybox(place / "root")
    call("tar", "-C", str(root), "-cf", str(place / "image.tar"), ".")
    return place / "image.tar"


def saved_image(place: Path, name: str, command: str) -> Path:
    """Return an archive as ``docker save`` makes it: an image that runs a shell's command.

    One of ``docker import`` has no command of its own, as a pod's sandbox needs.
    """
    layer = image(place)
    digest = f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", command]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    listed = [{"Config": "config.json", "RepoTags": [name], "Layers": [layer.name]}]
    (place / "config.json").write_text(json.dumps(config))
    (place / "manifest.json").write_text(json.dumps(listed))
    parts = ("config.json", "manifest.json", layer.name)
    call("tar", "-C", str(place), "-cf", str(place / "saved.tar"), *parts)
    return place / "saved.tar"
