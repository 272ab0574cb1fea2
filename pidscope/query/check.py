"""One thing that the doctor tried on this host."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was tried for `pidscope doctor`: what came of it, and what to do about it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
