"""A live start: where its compiled programs come from, and what is printed while it lasts."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidscope.terminal import warn

if TYPE_CHECKING:
    from pidscope.live.supply import Supply

_PATIENCE_S = 1.0


def add_no_cache(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-cache``, for what loads programs."""
    parser.add_argument(
        "--no-cache", action="store_true", help="compile the programs now, and do not keep them"
    )


def supply_of(no_cache: bool, progress: Progress) -> Supply:
    """Return where programs come from; notes are printed on standard error."""
    from pidscope.live.kept_programs import kept_programs  # ctypes, mmap, the programs' loader
    from pidscope.live.supply import Supply

    return Supply(None if no_cache else kept_programs(progress.note), progress.note)


class Progress:
    """What a start prints on standard error: notes, and on a terminal what takes a second.

    Args:
        quiet: print nothing, and leave signals alone, as a library has to.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._phase = ""
        self._noted: set[str] = set()

    def note(self, text: str) -> None:
        """Print a note, once."""
        if text not in self._noted and not self._quiet:
            self._noted.add(text)
            warn(text)
        self._phase = text

    def phase(self, text: str) -> None:
        """Take note of what the start does now; it is printed if the start lasts."""
        self._phase = text

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """Until left, print once what is done after a second, if standard error is a terminal."""
        if self._quiet or not sys.stderr.isatty():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._print)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _print(self, *_: object) -> None:
        if self._phase not in self._noted:
            warn(f"starting takes a while: {self._phase}")
