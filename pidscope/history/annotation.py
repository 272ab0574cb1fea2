"""What was found for the numbers of a line, as text behind the line. Pure.

The text is `` [pidscope: …]``. A log's own text may hold these words, too. So a line that does is
always annotated, and the last of them in a line is pidscope's: a name in an annotation is
escaped, and its brackets as well.

A comm and a container are those of the end of a life, which may have changed since the line was
written: the text says so.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import date, tzinfo
from typing import TypeVar

from pidscope.containers.container import Chain
from pidscope.escape import escape, printable
from pidscope.history.annotate import Found, Known
from pidscope.history.answer import Gap, Holder
from pidscope.history.ask import Recorded
from pidscope.history.local_times import Offsets
from pidscope.history.logs.line import Parsed
from pidscope.history.moment import SECOND_NS, Clock, Moment
from pidscope.query.labels import describe

MARK = "[pidscope: "
NO_PID = "no PID was looked up"
_DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_KEPT = 4_096
_K = TypeVar("_K")
_V = TypeVar("_V")


class Text:
    """Writes annotations, with times as the wall clock of ``zone`` showed them."""

    def __init__(self, recorded: Recorded, zone: tzinfo) -> None:
        self._recorded = recorded
        # Names and times come again and again in a log; each of these is bounded by _KEPT.
        self._offsets = Offsets(zone)
        self._dates: dict[int, str] = {}
        self._within: dict[Chain | None, str] = {}

    def of(self, parsed: Parsed, found: Sequence[Found]) -> str:
        """Return what is behind a line; "": it has no number."""
        if not found:
            return f" {MARK}{parsed.reason}]" if parsed.reason else ""
        day = self._day_of(parsed.moment)
        return f" {MARK}{'; '.join(self._found(it, day) for it in found)}]"

    def _found(self, found: Found, day: int | None) -> str:
        number = found.mention.number
        holders = " or ".join(self._holder(it, day) for it in found.holders)
        if found.known is Known.NONE:
            return f"{number} no {'task' if found.mention.is_thread else 'process'} had it then"
        if found.known is Known.NOT_KNOWN:
            reason = _bracketless(found.reason)
            if found.gap is not None:
                reason = self._gap(found.gap, day)
            return f"{number} not known: {reason}{f'; perhaps {holders}' if holders else ''}"
        if found.known is Known.AMBIGUOUS:
            return f"{number} ambiguous: {holders}"
        is_outermost = found.holders[0].numbers[0] == number
        return holders if is_outermost else f"{number} is {holders}"

    def _holder(self, it: Holder, day: int | None) -> str:
        inside = f" ({_known(it.numbers[-1])} inside)" if len(it.numbers) > 1 else ""
        thread = f", thread of {it.tgid}" if it.is_thread else ""
        is_of_end = it.facts_ns == it.end_ns
        when = "at its end" if is_of_end else f"at {self._at(it.boot_id, it.facts_ns, day)}"
        born = self._at(it.boot_id, it.start_ns, day)
        return (
            f"{_known(it.numbers[0])}{inside}{thread}, {when} {_bracketless(escape(it.comm))}"
            f"{self._where(it)}, born {born}, {self._end(it, day)}"
        )

    def _end(self, it: Holder, day: int | None) -> str:
        if it.end_ns is None:
            return "not ended"
        ended = f"ended {self._at(it.boot_id, it.end_ns, day)}"
        if it.status is None:
            return f"{ended} status not known"
        return f"{ended} {_signal(it.signal)}" if it.signal else f"{ended} status {it.exit_status}"

    def _gap(self, gap: Gap, day: int | None) -> str:
        first = self._at(gap.boot_id, gap.first_ns, day)
        last = "its end" if gap.last_ns is None else self._at(gap.boot_id, gap.last_ns, day)
        return f"{_bracketless(printable(gap.reason))} from {first} to {last}"

    def _at(self, boot_id: str, boottime_ns: int | None, day: int | None) -> str:
        """Return a time of day, with the date if it is of another day."""
        instant = None if boottime_ns is None else self._recorded.realtime_ns(boot_id, boottime_ns)
        if instant is None:
            return "?"
        local_day, seconds = divmod(self._local_s(instant), _DAY_S)
        shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return shown if local_day == day else f"{self._date(local_day)} {shown}"

    def _date(self, day: int) -> str:
        found = self._dates.get(day)
        if found is None:
            found = date.fromordinal(_EPOCH_DAY + day).isoformat()
            _keep(self._dates, day, found)
        return found

    def _day_of(self, moment: Moment | None) -> int | None:
        if moment is None or moment.clock is not Clock.REALTIME:
            return None
        return self._local_s(moment.last_ns) // _DAY_S

    def _local_s(self, instant: int) -> int:
        """Return what the clock shows as seconds."""
        return instant // SECOND_NS + self._offsets.at(instant)

    def _where(self, holder: Holder) -> str:
        chain = self._recorded.container(holder)
        found = self._within.get(chain)
        if found is None:
            found = _within(chain)
            _keep(self._within, chain, found)
        return found


def _keep(kept: dict[_K, _V], key: _K, value: _V) -> None:
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value


def _within(chain: Chain | None) -> str:
    if chain is None:
        return ", container not known"
    return f" in {_bracketless(describe(chain))}" if chain else ""


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


def _bracketless(text: str) -> str:
    """Return an escaped name that cannot end an annotation, or begin another one."""
    return text.replace("[", r"\x5b").replace("]", r"\x5d")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last
        return f"signal {number}"
