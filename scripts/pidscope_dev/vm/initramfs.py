"""Build the initramfs: busybox, the few modules, and the two scripts that run in the guest."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import cache, cpio, modules

HERE = Path(__file__).resolve().parent
SCRIPTS = ("init.sh", "guest.sh")
WANTED = {
    "virtiofs": ["virtio_pci", "virtio_console", "overlay", "virtiofs"],
    "9p": ["virtio_pci", "virtio_console", "overlay", "9pnet_virtio", "9p"],
}


@dataclass(frozen=True)
class Job:
    """What one run does in the guest; given to it as a second archive behind the first."""

    share: str
    token: str
    command: list[str]
    directory: str
    environment: Mapping[str, str]
    keep: list[str]
    modules_directory: str
    layer: str = ""  # a directory whose usr is laid over the machine's own
    init: str = ""  # a script that puts another program in the place of process 1
    root: str = ""  # a directory that is the guest's root instead of the machine's own

    def archive(self) -> bytes:
        """Return the archive with the settings of the guest's scripts and the script of CMD."""
        archive = cpio.Archive()
        archive.file("settings", os.fsencode(self.settings()))
        archive.file("command", os.fsencode(self.script()))
        return archive.finish()

    def settings(self) -> str:
        """Return the shell variables that the guest's scripts read."""
        values = {
            "share": self.share,
            "token": self.token,
            "keep": "\n".join(self.keep),
            "modules_directory": self.modules_directory,
            "layer": self.layer,
            "init": self.init,
            "root": self.root,
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())

    def script(self) -> str:
        """Return the shell script that becomes CMD."""
        exports = [f"export {key}={shlex.quote(val)}" for key, val in self.environment.items()]
        lines = [
            "ulimit -l unlimited",
            *exports,
            f"cd {shlex.quote(self.directory)} || exit 126",
            f"exec {shlex.join(self.command)}",
        ]
        return "\n".join(lines) + "\n"


def base(busybox: Path, modules_directory: Path, share: str, directory: Path) -> bytes:
    """Return the part of the initramfs that is the same for every run.

    It is kept in the directory, under a hash of what it was made from.
    """
    scripts = {name: (HERE / name).read_bytes() for name in SCRIPTS}
    stamp = busybox.stat()
    inputs = [str(busybox), str(stamp.st_mtime_ns), str(stamp.st_size), str(modules_directory)]
    digest = hashlib.sha256("\0".join([*inputs, share, *WANTED[share]]).encode())
    for path in (*map(HERE.joinpath, SCRIPTS), Path(__file__), HERE / "cpio.py"):
        digest.update(path.read_bytes())
    cached = directory / f"{digest.hexdigest()[:32]}.cpio"
    if cached.is_file():
        return cached.read_bytes()
    built = _build(busybox.read_bytes(), modules_directory, share, scripts)
    cache.store(cached, built)
    return built


def _build(busybox: bytes, modules_directory: Path, share: str, scripts: dict[str, bytes]) -> bytes:
    archive = cpio.Archive()
    for directory in ("bin", "dev", "modules"):
        archive.directory(directory)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", busybox, 0o755)
    archive.file("init", scripts["init.sh"], 0o755)
    archive.file("guest", scripts["guest.sh"])
    ordered = modules.load_order(WANTED[share], modules.index(modules_directory))
    for name, image in ordered:
        archive.file(f"modules/{name}.ko", image)
    archive.file("modules/order", "".join(f"{name}\n" for name, _ in ordered).encode())
    return archive.finish()
