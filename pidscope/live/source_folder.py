"""Where the programs' sources in C are."""

from __future__ import annotations

from pathlib import Path

SOURCE_FOLDER = Path(__file__).parent.parent / "bpf"  # in a checkout a link to the bpf/ beside it
