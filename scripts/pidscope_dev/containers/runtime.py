"""OCI bundles, and runc and crun, which run them, as engines call these.

A bundle is a root directory of busybox's, and the configuration that a runtime is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

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


TIME_LIMIT_S = 120
_OPTIONS = {"runc": [], "crun": ["--cgroup-manager", "cgroupfs"]}
NAMES = tuple(_OPTIONS)
_CGROUPS = Path("/sys/fs/cgroup")


class RuntimeFailed(Exception):
    """A runtime did not do what it was asked to, or is not there."""


class Runtime:
    """One runtime, with the state of its containers in a directory."""

    def __init__(self, name: str, directory: Path) -> None:
        """Find it; raise RuntimeFailed if it is not installed."""
        path = shutil.which(name)
        if path is None:
            raise RuntimeFailed(f"no {name} here; scripts/vm --oci has one")
        self.path = Path(path).resolve()
        self.directory = directory
        # One that was only unpacked has its libraries beside it, whatever the machine has.
        libraries = self.path.parents[1] / "lib" / "x86_64-linux-gnu"
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
        self._base = [str(self.path), "--root", str(directory / "state"), *_OPTIONS[name]]

    @contextlib.contextmanager
    def running(self, bundle: Bundle) -> Iterator[tuple[int, IO[bytes]]]:
        """Start a container; its init's number, and what it writes. It is removed in the end.

        Raises RuntimeFailed. What it writes is for `read_line`.
        """
        place = bundle.write(self.directory)
        pid_file = place / "pid"
        reading, writing = os.pipe()
        try:
            arguments = ["--bundle", str(place), "--pid-file", str(pid_file), bundle.id]
            self._call("run", "--detach", *arguments, stdout=writing)
            os.close(writing)
            with open(reading, "rb", buffering=0) as output:
                yield int(pid_file.read_text()), output
        finally:
            self._call("delete", "--force", bundle.id)
            _remove_cgroups(bundle.cgroup)

    def execute(self, container: str, *command: str) -> int:
        """Run a command in a container and leave it there; its number."""
        pid_file = self.directory / "executed"
        self._call("exec", "--detach", "--pid-file", str(pid_file), container, *command)
        return int(pid_file.read_text())

    def script(self, bundle: Bundle, state: Path) -> str:
        """The shell command that starts a container inside another, where all paths are the same.

        Its bundle has been written.
        """
        libraries = shlex.quote(f"LD_LIBRARY_PATH={self._environment['LD_LIBRARY_PATH']}")
        base = [str(self.path), "--root", str(state), *self._base[3:]]
        place = str(self.directory / bundle.id[:12])
        words = [*base, "run", "--detach", "--bundle", place, bundle.id]
        return f"env {libraries} {shlex.join(words)}"

    def _call(self, *arguments: str, stdout: int = subprocess.DEVNULL) -> None:
        # Not a pipe: the container would hold it open.
        printed = self.directory / "printed"
        try:
            with open(printed, "wb") as stderr:
                done = subprocess.run(
                    [*self._base, *arguments],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    timeout=TIME_LIMIT_S,
                    check=False,
                )
            ended = f"ended with {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            ended = f"was killed after {TIME_LIMIT_S} s"
        if ended:
            text = printed.read_text(errors="replace").strip()
            raise RuntimeFailed(f"{self.path.name} {shlex.join(arguments)} {ended}: {text}")


def read_line(output: IO[bytes], name: str, limit_s: float = TIME_LIMIT_S) -> str:
    """Read a line of what a container, or what is called ``name``, writes; "" at its end.

    ``output`` is a pipe without a buffer. Raises RuntimeFailed if the line is not there in time.
    """
    deadline = time.monotonic() + limit_s
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise RuntimeFailed(f"{name} wrote no line for {limit_s:g} s: {line!r}")
        byte = os.read(output.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode("ascii", "replace")


def _remove_cgroups(cgroup: str) -> None:
    """Remove what a runtime leaves of a container's cgroup, in every hierarchy.

    crun leaves those of a container inside, and the next one of that name would be refused.
    """
    for hierarchy in (_CGROUPS, *_CGROUPS.iterdir()):
        for place, _, _ in os.walk(hierarchy / cgroup, topdown=False):
            with contextlib.suppress(OSError):  # a process is in it
                Path(place).rmdir()
