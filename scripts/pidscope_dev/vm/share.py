"""Share this machine's root file system with the guest, so that the guest can never write to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from .errors import VmError

TAG = "shared"
READONLY = Path(__file__).resolve().parent / "readonly.py"

# Since Debian 13 virtiofsd is its own package and program, with other options. Without the last one
# it shows mounts below the root as mounts, and overlayfs refuses those (EREMOTE).
_OPTIONS = {
    "/usr/libexec/virtiofsd": [
        *("--shared-dir=/", "--sandbox=chroot", "--cache=always", "--no-announce-submounts"),
    ],
    "/usr/lib/qemu/virtiofsd": ["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"],
}


def virtiofsd() -> list[str]:
    """Return the program and its options, or nothing if it is not installed."""
    for program, options in _OPTIONS.items():
        if os.access(program, os.X_OK):
            return [program, *options]
    return []


def best() -> str:
    """Return ``virtiofs`` where it can be had, which needs root and a read-only view; or ``9p``."""
    if os.geteuid() != 0 or not virtiofsd():
        return "9p"
    trial = subprocess.run(
        [sys.executable, "-I", str(READONLY), "true"], capture_output=True, check=False
    )
    return "virtiofs" if trial.returncode == 0 else "9p"


def start_virtiofsd(log: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start virtiofsd on a read-only view of /; return it and the connection for QEMU.

    Its messages go to the descriptor ``log``. The socket's path is gone before this returns, so no
    other process can connect and nothing is left behind.
    """
    command = virtiofsd()
    if not command:
        raise VmError("missing: virtiofsd; apt-get install qemu-system-common or virtiofsd")
    connection = socket.socket(socket.AF_UNIX)
    with socket.socket(socket.AF_UNIX) as listener:
        with tempfile.TemporaryDirectory(prefix="pidscope-vm-") as directory:
            path = f"{directory}/socket"
            listener.bind(path)
            listener.listen(1)
            connection.connect(path)
        return _serve(command, listener, log), connection


def _serve(command: list[str], listener: socket.socket, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", str(READONLY), *command, f"--fd={listener.fileno()}"],
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        start_new_session=True,
    )
