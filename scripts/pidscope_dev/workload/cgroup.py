"""A workload's own cgroup, with the pids controller, version 2 or 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pidscope_dev.workload.family import Unable


@dataclass(frozen=True)
class PidsCgroup:
    """A cgroup that bounds the number of its tasks."""

    path: Path

    def set_max(self, tasks: int | None) -> None:
        """Bound the number of tasks; None for no bound."""
        (self.path / "pids.max").write_text("max" if tasks is None else str(tasks))

    def enter(self) -> None:
        """Move the calling process in; the bound does not stop that (pids_can_attach)."""
        (self.path / "cgroup.procs").write_text("0")


@contextmanager
def pids_cgroup(name: str) -> Iterator[PidsCgroup]:
    """Make a cgroup and remove it; raises Unable without a pids controller.

    Its processes must have been reaped before the end.
    """
    root, is_enabled = _find_root()
    control = root / "cgroup.subtree_control"
    path = root / f"{name}-{os.getpid()}"
    try:
        if not is_enabled:
            control.write_text("+pids")
        path.mkdir()
    except OSError as problem:
        raise Unable(f"cannot make a cgroup: {problem} (try --no-cgroup)") from problem
    try:
        yield PidsCgroup(path)
    finally:
        path.rmdir()
        if not is_enabled:
            control.write_text("-pids")


def _find_root() -> tuple[Path, bool]:
    """The root of a hierarchy with the pids controller, and whether children have it already."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        root = Path(place)
        if kind == "cgroup" and "pids" in options.split(","):
            return root, True
        if kind == "cgroup2" and "pids" in _words(root / "cgroup.controllers"):
            return root, "pids" in _words(root / "cgroup.subtree_control")
    raise Unable("no cgroup hierarchy with the pids controller is mounted (try --no-cgroup)")


def _words(file: Path) -> list[str]:
    with suppress(OSError):
        return file.read_text().split()
    return []
