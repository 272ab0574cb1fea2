"""Kernel headers of the running kernel, which tools that bcc compiles cannot do without."""

from __future__ import annotations

import os
from pathlib import Path

from pidscope_dev.bench.unable import Unable


def expect(modules: Path = Path("/lib/modules")) -> None:
    """Raise Unable unless bcc will find them where it looks."""
    release = os.uname().release
    if not (modules / release / "build" / "include").is_dir():
        raise Unable(f"no kernel headers (package linux-headers-{release})")
