"""What a machine has of its containers, as text: the processes' cgroups and the runtimes' files.

A rule or a reader is written from this, and its unit test has a sample of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_STATES = (
    *("/run/runc/*/state.json", "/run/crun/*/status", "/run/containerd/runc/*/*/state.json"),
    *("/run/docker/runtime-*/moby/*/state.json", "/run/docker/containerd/daemon/*/*/*/init.pid"),
    *("/run/containerd/*/*/*/init.pid", "/run/systemd/machines/*"),
)
_LISTS = ("/var/lib/containers/storage/*-containers/*containers.json",)
_PIECE = 400


def lines(host_ns: int) -> Iterator[str]:
    """Return a line for each process with a container's namespace or cgroup, and each state."""
    for status in sorted(Path("/proc").glob("[0-9]*/status"), key=lambda it: int(it.parent.name)):
        line = _process(status.parent, host_ns)
        if line:
            yield line
    for pattern in _STATES:
        for path in sorted(Path("/").glob(pattern[1:])):
            yield f"{path} {_brief(path)}"
    for pattern in _LISTS:
        for path in sorted(Path("/").glob(pattern[1:])):
            yield f"{path} {path.read_text(errors='replace')[:4000]}"


def _process(directory: Path, host_ns: int) -> str:
    try:
        command = (directory / "cmdline").read_bytes()[:_PIECE].replace(b"\0", b" ").decode()
        ns = (directory / "ns/pid").stat().st_ino
        cgroups = (directory / "cgroup").read_text().split()
        status = (directory / "status").read_text(errors="replace")
    except (OSError, UnicodeDecodeError):
        return ""
    if not command and ns == host_ns:
        return ""
    numbers = status.partition("\nNSpid:\t")[2].partition("\n")[0].replace("\t", "/")
    return f"{numbers} pid:[{ns}] {';'.join(cgroups)} {command}"


def _brief(path: Path) -> str:
    text = path.read_text(errors="replace")
    try:
        state = json.loads(text)
    except ValueError:
        return text[:_PIECE].replace("\n", ";")
    if not isinstance(state, dict):
        return text[:_PIECE]
    kept = {name: it for name, it in state.items() if isinstance(it, (str, int))}
    return json.dumps({**kept, "keys": list(state)})
