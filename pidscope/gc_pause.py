"""Making thousands of things of which none is garbage, without a search for any."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def keeping_all() -> Iterator[None]:
    """Let nobody look for garbage until this is left; a search would look at all that is kept."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
