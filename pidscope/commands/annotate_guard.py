"""A parser whose time is bounded, for an expression that a user gave and lines that others wrote.

Python's ``re`` knows no time limit, but looks for signals while it searches (``SRE(match)``,
Modules/_sre/sre_lib.h, CPython 3.9 to 3.14), and ends if a handler raises. One timer of CPU time
runs for the whole stream, so a line costs no system call.
"""

from __future__ import annotations

import signal
from types import FrameType

from pidscope.history.logs.line import Parsed, Parser

_TICK_S = 1.0
TOO_LONG = "not known: the expression took more than a second of CPU time"


class _TooLongError(Exception):
    pass


class Guard:
    """Parses as another parser does, and gives a line up at the second tick within it."""

    def __init__(self, parse: Parser) -> None:
        self._parse = parse
        self._ticks: int | None = None  # None: no line is parsed

    def __enter__(self) -> Guard:
        self._before = signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_S, _TICK_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._before)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if self._ticks is not None:
            self._ticks += 1
            if self._ticks == 2:
                self._ticks = None
                raise _TooLongError

    def __call__(self, line: bytes) -> Parsed:
        """Return what the other parser does, or why it was given up."""
        try:
            self._ticks = 0
            return self._parse(line)
        except _TooLongError:
            return Parsed(reason=TOO_LONG)
        finally:
            self._ticks = None
