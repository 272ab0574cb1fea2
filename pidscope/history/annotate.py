"""The numbers of one line of a log, asked of a recording. Pure.

Annotations are values here, not strings: typing.NamedTuple compiles each string by itself.
"""

import enum
from typing import Callable, NamedTuple, Optional

from pidscope.errors import NotFound, NotKnown, UsageError
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.logs.line import Mention, Parsed
from pidscope.history.moment import Moment

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
    return Found(mention, _known(holders, answer), holders, answer.gap)


def _known(holders: tuple[Holder, ...], answer: Answer) -> Known:
    """Return what is known: beside a gap, even a single holder may not be the one."""
    if len(holders) > 1:
        return Known.AMBIGUOUS
    if answer.gap is not None:
        return Known.NOT_KNOWN
    return Known.PROCESS if holders else Known.NONE
