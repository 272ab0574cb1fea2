"""What was measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_VERSION = re.compile(r"\d+(\.\d+)*(-\d+)?")


def kernel_name(release: str) -> str:
    """What a kernel is called: the rest of its release is its machine's own, or its flavour."""
    version = _VERSION.match(release)
    return version[0] if version else release


def described(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """The machine: its CPU, its kernel, its Python."""
    cpus = len(os.sched_getaffinity(0))
    return {
        "cpu": f"{_model(cpuinfo.read_text())}, {cpus} CPUs",
        "kernel": kernel_name(os.uname().release),
        "python": platform.python_version(),
    }


def _model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def line(machine: dict[str, str]) -> str:
    """The same in one line."""
    return f"{machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']}"
