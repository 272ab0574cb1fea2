"""Real container engines for the guest: the machine's Debian's, with everything that they need.

They are laid over the machine's /usr as a newer bcc is, so the machine's Python and the checkout
run beside them. With them comes systemd, which can be process 1 of the guest.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from . import apt, cache, systemd

NAMES = (
    *("docker.io", "containerd", "runc", "crun", "podman", "uidmap", "fuse-overlayfs"),
    *("lxc", "systemd", "systemd-sysv", "systemd-container", "dbus", "iproute2", "kmod"),
    *("dbus-user-session", "python3-grpcio"),  # for rootless Podman; for a client of the CRI
)
KIND = hashlib.sha256(" ".join(NAMES).encode()).hexdigest()[:8]  # what is cached is of these names
# What only administrators of a machine want of these packages.
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/lib/gcc")
# With AppArmor Docker starts no container unless its package, with profiles in /etc, is there.
KERNEL_ARGUMENTS = "apparmor=0"
INIT = Path(__file__).resolve().parent / "engines.sh"
_MERGED = ("bin", "sbin", "lib", "lib64")  # each is a link to the same name in /usr


def fetch(archive: apt.Archive, suite: str, target: Path) -> None:
    """Download the engines and every library, and unpack them below target. Raises VmError.

    Until Debian 13 some packages have files in /bin or /lib, which are links into /usr.
    """
    archive.fetch_whole(suite, NAMES, target)
    for name in filter(lambda name: (target / name).is_dir(), _MERGED):
        shutil.copytree(target / name, target / "usr" / name, symlinks=True, dirs_exist_ok=True)
        cache.remove(target / name)
    for name in UNWANTED:
        cache.remove(target / name)


def started(command: list[str]) -> list[str]:
    """Return the command that waits for systemd and runs CMD in a scope of its own."""
    # A machine may have a client of its own in /usr/local.
    return systemd.started(command, "PATH=${PATH%%:*}:/usr/sbin:/usr/bin:/sbin:/bin; ")
