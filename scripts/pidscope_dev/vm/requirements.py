"""The programs that must be installed on the machine, and the Debian packages that have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from . import apt, qemu
from .errors import VmError

TO_RUN = {qemu.PROGRAM: "qemu-system-x86", "busybox": "busybox-static", "setpriv": "util-linux"}
TO_FETCH = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    apt.KEYRING: "debian-archive-keyring",
}


def check(needed: dict[str, str]) -> None:
    """Raise VmError, in one line, if programs or files are missing."""
    missing = {name: package for name, package in needed.items() if not _there(name)}
    if missing:
        raise _error(missing.keys(), missing.values())


def busybox() -> Path:
    """Return busybox, which must be linked statically: the initramfs has no libraries."""
    path = shutil.which("busybox")
    if path is None or b"/ld-linux" in Path(path).read_bytes():
        raise _error(["a static busybox"], ["busybox-static"])
    return Path(path)


def check_machine() -> None:
    """Raise VmError on a machine whose programs an x86-64 kernel could not run."""
    if os.uname().machine != "x86_64":
        raise VmError(f"x86-64 only: the guest runs this machine's programs ({os.uname().machine})")


def _there(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def _error(names: Iterable[str], packages: Iterable[str]) -> VmError:
    return VmError(f"missing: {', '.join(names)}; apt-get install {' '.join(sorted({*packages}))}")
