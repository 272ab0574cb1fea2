"""OCI bundles: a root directory of busybox's, and the configuration that a runtime is given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

APPLETS = ("sh", "sleep")
# Every fork takes a number, and the runtime has taken some before.
SEVENTEEN = ": & while [ $! -lt 16 ]; do : & done; wait; sleep 1000000 & echo $!; wait"
_NAMESPACES = ("mount", "ipc", "uts")
_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        *("DAC_OVERRIDE", "KILL", "MKNOD", "NET_ADMIN", "SETGID", "SETPCAP", "SETUID"),
        *("SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"),
    )
)
_SETS = ("bounding", "effective", "permitted")
# /usr is the host's in a container that runs containers; Debian 12 and later have all in it.
_MERGED = ("bin", "lib", "lib64", "sbin")


class Bundle(NamedTuple):
    """What is particular to one container."""

    id: str
    cgroup: str  # relative to that of the process that starts it
    script: str = SEVENTEEN
    pid_ns: str | None = ""  # "": its own; a path: that one; None: its creator's
    inside: Sequence[Path] = ()  # not busybox's root, but /usr and these, to run containers in it

    def write(self, directory: Path) -> Path:
        """Make the bundle's directory there and return it."""
        place = directory / self.id[:12]
        root = place / "rootfs"
        root.mkdir(parents=True)
        for name in ("proc", "dev", "sys", "tmp", "run", "usr"):
            (root / name).mkdir()
        if self.inside:
            for name in _MERGED:
                (root / name).symlink_to(f"usr/{name}")
        else:
            (root / "bin").mkdir()
            shutil.copy2(shutil.which("busybox") or "busybox", root / "bin")
            for name in APPLETS:
                (root / "bin" / name).symlink_to("busybox")
        (place / "config.json").write_text(json.dumps(self._config()))
        return place

    def _config(self) -> dict[str, Any]:
        namespaces: list[dict[str, str]] = [{"type": name} for name in _NAMESPACES]
        if self.pid_ns is not None:
            path = {"path": self.pid_ns} if self.pid_ns else {}
            namespaces.append({"type": "pid", **path})
        if self.inside:
            namespaces.append({"type": "cgroup"})
        return {
            "ociVersion": "1.0.2",
            "hostname": "container",
            "root": {"path": "rootfs", "readonly": False},
            "process": {
                "user": {"uid": 0, "gid": 0},
                "cwd": "/",
                "args": ["/bin/sh", "-c", self.script],
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "capabilities": dict.fromkeys(_SETS, _CAPABILITIES) if self.inside else {},
            },
            "mounts": self._mounts(),
            "linux": {"cgroupsPath": self.cgroup, "namespaces": namespaces},
        }

    def _mounts(self) -> list[dict[str, Any]]:
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ]
        if self.inside:
            mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})
            mounts.append(_bind(Path("/usr"), "ro"))
            mounts += [_bind(path, "rw") for path in self.inside]
        return mounts


def _bind(path: Path, mode: str) -> dict[str, Any]:
    options = ["rbind", mode]
    return {"destination": str(path), "type": "bind", "source": str(path), "options": options}
