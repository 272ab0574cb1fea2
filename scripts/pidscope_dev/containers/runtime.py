"""runc and crun, as engines call them."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pidscope_dev.containers.bundle import Bundle

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
