"""What a line of a log holds, as values.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself.
"""

import re
from typing import Callable, NamedTuple, Optional, Union

from pidscope.history.moment import SECOND_NS, Clock, Moment
from pidscope.query.typed_pid import MAX_NUMBER

# A process stamps a line of a log when it reads or writes it, which may be after the end of the
# process that the line is about. So long before its stamp the line may have been true.
LATE_NS = 5 * SECOND_NS


class Mention(NamedTuple):
    """A number in a line: its bytes stand from ``first`` up to ``end``."""

    number: int
    is_thread: bool  # it may be of a thread that is no process's leader
    first: int
    end: int
    is_initial: bool = False  # it is of the initial PID namespace, whichever the log's is


class Parsed(NamedTuple):
    """A line: the numbers in the order in which they stand, and when it was true.

    Without ``moment``, ``reason`` is why that is not known.
    """

    mentions: tuple[Mention, ...] = ()
    moment: Optional[Moment] = None
    reason: str = ""


Parser = Callable[[bytes], Parsed]  # takes a line without its end

NOTHING = Parsed()
NO_TIME = "the line has no time"


def mention(
    match: "re.Match[bytes]", group: Union[str, int], is_thread: bool, is_initial: bool = False
) -> tuple[Mention, ...]:
    """Return the number of a group as the only one; none, if no task can have it."""
    digits = match[group]
    if digits is None:
        return ()
    number = int(digits)
    if not 0 < number <= MAX_NUMBER:
        return ()
    return (Mention(number, is_thread, *match.span(group), is_initial),)


def decimal_ns(seconds: bytes, fraction: Optional[bytes]) -> tuple[int, int]:
    """Return decimal seconds in ns, with at most nine digits, and the width of the last digit."""
    if not fraction:
        return int(seconds) * SECOND_NS, SECOND_NS
    width_ns = 10 ** (9 - len(fraction))
    return int(seconds) * SECOND_NS + int(fraction) * width_ns, width_ns


def written(first_ns: int, width_ns: int) -> Moment:
    """Return when a line was true that a process stamped by the wall clock."""
    return Moment(Clock.REALTIME, first_ns - LATE_NS, first_ns + width_ns - 1)
