"""One thing that `pidscope doctor` tried."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """The result of one check, and a hint what to do about it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
