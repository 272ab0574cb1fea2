"""How a recording is asked: what answers may be the ring, armed slots, or a test.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself.
"""

from typing import Callable, NamedTuple, Optional, Protocol

from pidscope.containers.container import Chain
from pidscope.history.answer import Answer, Holder
from pidscope.history.moment import Moment


class Ask(Protocol):
    """Answers which task had a number at a moment."""

    def __call__(self, number: int, moment: Moment, thread: bool) -> Answer:
        """Return what had it; ``thread``: it may be that of a thread, too."""


class Recorded(NamedTuple):
    """A recording, and one PID namespace of which the numbers are.

    ``realtime_ns`` turns a boot's id and CLOCK_BOOTTIME in ns into the wall clock's ns; None: not
    known. ``container`` returns in which containers and services a task was, outermost first; ():
    in none, None: not known.
    """

    ask: Ask
    realtime_ns: Callable[[str, int], Optional[int]]
    container: Callable[[Holder], Optional[Chain]]
