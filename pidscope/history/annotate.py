"""The numbers of one line of a log, asked of a recording. Pure.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself.
"""

import enum
from typing import Callable, NamedTuple, Optional

from pidscope.errors import NotFound, NotKnown, UsageError
from pidscope.escape import printable
from pidscope.history.answer import Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.logs.line import Mention, Parsed
from pidscope.history.moment import Clock, Moment

_OTHER_BOOT = "the line is of a boot, or a host, that was not recorded"


class Known(enum.Enum):
    """What is known of a number; the value is the word in JSON."""

    PROCESS = "process"
    NONE = "none"
    AMBIGUOUS = "ambiguous"
    NOT_KNOWN = "not known"


EXIT_CODES = {
    Known.PROCESS: 0,
    Known.NONE: NotFound.exit_code,
    Known.AMBIGUOUS: UsageError.exit_code,
    Known.NOT_KNOWN: NotKnown.exit_code,
}


class Found(NamedTuple):
    """A number of a line, and what had it when the line was true.

    ``reason`` is why that is not known, if it is not because of ``gap``.
    """

    mention: Mention
    known: Known
    holders: tuple[Holder, ...] = ()
    gap: Optional[Gap] = None
    reason: str = ""


def find(parsed: Parsed, recorded_of: Callable[[Mention], Recorded]) -> list[Found]:
    """Ask for each number of a line, in their order."""
    moment = parsed.moment
    if moment is None:
        return [Found(it, Known.NOT_KNOWN, reason=parsed.reason) for it in parsed.mentions]
    return [_find(it, moment, recorded_of(it)) for it in parsed.mentions]


def _find(mention: Mention, moment: Moment, recorded: Recorded) -> Found:
    answer = recorded.ask(mention.number, moment, mention.is_thread)
    holders = answer.holders
    if moment.boot_id is not None:
        holders = tuple(it for it in holders if it.boot_id.replace("-", "") == moment.boot_id)
        if not holders and answer.holders:
            return Found(mention, Known.NOT_KNOWN, reason=_OTHER_BOOT)
    gap = answer.gap
    if gap is not None and not gap.boot_id:
        return Found(mention, Known.NOT_KNOWN, holders, reason=printable(gap.reason))
    known = _known(holders, gap is not None, moment, recorded)
    return Found(mention, known, holders, None if known is Known.PROCESS else gap)


def _known(holders: tuple[Holder, ...], has_gap: bool, moment: Moment, recorded: Recorded) -> Known:
    """Return what is known.

    Beside a gap a single holder is the one only if it lived all the time of the line: else another
    one, which was not recorded, may have had the number in the rest of it.
    """
    if len(holders) > 1:
        return Known.AMBIGUOUS
    if has_gap and not (holders and _lasted(holders[0], moment, recorded)):
        return Known.NOT_KNOWN
    return Known.PROCESS if holders else Known.NONE


def _lasted(holder: Holder, moment: Moment, recorded: Recorded) -> bool:
    """Tell whether a task lived from the start to the end of a moment, if that can be told."""
    if moment.clock is Clock.MONOTONIC or holder.start_ns is None:
        return False
    lived_ns = holder.facts_ns if holder.end_ns is None else holder.end_ns
    start: Optional[int] = holder.start_ns
    last: Optional[int] = lived_ns
    if moment.clock is Clock.REALTIME:
        start = recorded.realtime_ns(holder.boot_id, holder.start_ns)
        last = recorded.realtime_ns(holder.boot_id, lived_ns)
    if start is None or last is None:
        return False
    return start <= moment.first_ns and moment.last_ns <= last
