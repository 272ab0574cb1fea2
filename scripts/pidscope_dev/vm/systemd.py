"""A guest whose root is a Debian suite's, made by debootstrap, with systemd as process 1.

It is what the service and the packages are tried in: nothing of the machine is there but the
checkout, and the Python is the suite's. Of a guest with engines the first process is systemd, too
(`engines`); the command is started in the same way.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import apt, cache, packages
from .errors import VmError

INIT = Path(__file__).resolve().parent / "suite.sh"
PACKAGE = "debootstrap"
# What pidscope needs, and what a test of a service or a package does.
INCLUDED = (
    *("systemd", "systemd-sysv", "dbus", "kmod", "procps", "iproute2"),
    *("python3", "python3-psutil", "python3-tabulate"),
)
_UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt")
_SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def fetch(archive: apt.Archive, offer: packages.Offer, suite: str, target: Path) -> None:
    """Make the suite's root directory of what debootstrap downloads. Raises VmError.

    debootstrap mounts /proc in it: in a mount namespace of its own, so none is left if it fails.
    """
    if os.geteuid() != 0:
        raise VmError(f"only root can make a root directory of {suite} (debootstrap)")
    tool = target / ".tool"
    tool.mkdir()
    archive.fetch_one(offer, tool)
    keys = ("--variant=minbase", "--arch=amd64", f"--keyring={apt.KEYRING}")
    command = [
        *("unshare", "--mount", "--propagation=private", "sh", str(tool / "usr/sbin/debootstrap")),
        *(*keys, f"--include={','.join(INCLUDED)}", suite, str(target), archive.mirror),
    ]
    share = str(tool / "usr/share/debootstrap")
    done = subprocess.run(
        command,
        env={"PATH": _SANE_PATH, "LC_ALL": "C.UTF-8", "DEBOOTSTRAP_DIR": share},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join([*done.stdout.splitlines()[-3:], *done.stderr.splitlines()[-3:]])
        raise VmError(f"debootstrap could not make {suite}:\n{last}")
    for name in (".tool", *_UNWANTED):
        cache.remove(target / name)


def started(command: list[str], path: str = "") -> list[str]:
    """Return the command that waits for systemd and runs CMD in a scope of its own.

    ``path``: a shell's assignment of PATH, if it is another than CMD's.
    """
    wait = "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; "
    wait += "systemctl is-system-running --quiet --wait; "
    scope = "exec systemd-run --quiet --scope --unit=pidscope-command"
    # As with any CMD: 127 if there is no such program.
    return ["/bin/sh", "-c", f'{path}{wait}{scope} -- "$@"', "started", *command]


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the directories that are in none of the others."""
    found: list[str] = []
    for path in sorted(paths):
        if not any(path == it or path.startswith(f"{it.rstrip('/')}/") for it in found):
            found.append(path)
    return found
