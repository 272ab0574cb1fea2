"""``pidscope lookup --at``: what had a number at a time, from a recording."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from pidscope.commands.typed_numbers import TypedNumbers
from pidscope.containers.container import display_name
from pidscope.errors import AmbiguousError, NotFound, NotKnown, UsageError
from pidscope.escape import escape, printable
from pidscope.history.answer import Answer, Gap, Holder
from pidscope.history.moment import Moment
from pidscope.history.past import Past
from pidscope.history.recording import Recording
from pidscope.history.typed_time import parse_time
from pidscope.query.place import bracketed
from pidscope.query.typed_pid import expect_pid
from pidscope.render import tables
from pidscope.render.json import SCHEMA
from pidscope.render.text import known
from pidscope.sources.clocks import LocalZone, read_now
from pidscope.sources.recorded import of_its_boot, open_recording
from pidscope.terminal import table_width, warn

_COLUMNS = ("NUMBER", "TO", "NSPID", "NS", "CONTAINER", "WHAT")


class _Asked(NamedTuple):
    """One number, and what is known of it."""

    number: int
    answer: Answer


def run(args: argparse.Namespace) -> int:
    """Print what had the numbers then.

    Raises UsageError, AmbiguousError, NotFound, NotKnown, HostError, RecordingError.
    """
    if args.explain or args.output is not None:
        raise UsageError("--explain and -o do not go with --at")
    moment = parse_time(args.at, read_now(), LocalZone())
    given = [None if word == "-" else expect_pid(word) for word in args.pids]
    typed = TypedNumbers(given, None if sys.stdin is None else sys.stdin.buffer)
    codes = [0]
    with open_recording(args.source, events=True) as recording:
        moment = of_its_boot(moment, recording)
        past = Past(recording, moment)
        ns, to = past.resolve(args.where), past.resolve(args.to)
        batches: Iterable[Sequence[int]] = typed.batches()
        if args.json:
            batches = [[number for batch in batches for number in batch]]
        for batch in batches:
            asked = [_Asked(it, past.holders(ns, it)) for it in batch]
            _Printed(recording, past, moment, ns, to).show(asked, args)
            codes.append(_warn(asked, ns, recording))
            codes += [_warn_unnumbered(asked, to)] if args.quiet else []
            args.noheadings = True  # there is one heading
    return max(*codes, UsageError.exit_code if typed.refused else 0)


class _Printed:
    """The answers of one batch, as text and JSON."""

    def __init__(self, recording: Recording, past: Past, moment: Moment, ns: int, to: int) -> None:
        self._recording, self._past, self._moment = recording, past, moment
        self._ns, self._to = ns, to

    def show(self, asked: Sequence[_Asked], args: argparse.Namespace) -> None:
        if args.quiet:
            self._show_numbers(asked)
        elif args.json:
            print(json.dumps(self._document(asked)))
        else:
            self._show_table(asked, args)
        sys.stdout.flush()

    def _show_numbers(self, asked: Sequence[_Asked]) -> None:
        """Print the number in ``to`` of each that is certainly the only one."""
        for it in asked:
            if len(it.answer.holders) == 1 and it.answer.gap is None:
                number = _number_in(it.answer.holders[0], self._to)
                if number:
                    print(number)

    def _show_table(self, asked: Sequence[_Asked], args: argparse.Namespace) -> None:
        rows = [self._row(it.number, holder) for it in asked for holder in it.answer.holders]
        if rows:
            rows = tables.fitted(rows, _COLUMNS, not args.noheadings, table_width())
            print(tables.aligned(rows, _COLUMNS))

    def _row(self, number: int, it: Holder) -> list[str]:
        return [
            str(number),
            known(_number_in(it, self._to)),
            " ".join(known(one) for one in it.numbers),
            str(it.inums[-1]),
            self._name(it),
            self._what(it),
        ]

    def _name(self, it: Holder) -> str:
        container = self._past.container(it)
        if container is None:
            return "-" if self._past.knows_cgroup(it) else "?"
        return printable(display_name(container))

    def _what(self, it: Holder) -> str:
        """Return ``process, born 14:02:59, ended 14:03:05, status 1; at its end sh``."""
        kind = f"thread of {it.tgid}" if it.is_thread else "process"
        born = "" if it.start_ns is None else f", born {self._time(it, it.start_ns)}"
        ended = ""
        if it.end_ns is not None:
            ended = f", ended {self._time(it, it.end_ns)}{_status(it)}"
        is_end = it.facts_ns == it.end_ns
        when = "at its end" if is_end else f"at {self._time(it, it.facts_ns)}"
        return f"{kind}{born}{ended}; {when} {escape(it.comm)}"

    def _time(self, it: Holder, boottime_ns: int) -> str:
        wall_ns = self._recording.wall_ns(it.boot_id, boottime_ns)
        try:
            moment = datetime.fromtimestamp((wall_ns or 0) // 10**9, timezone.utc).astimezone()
        except (OverflowError, ValueError, OSError):  # no year that there is
            wall_ns = None
        if wall_ns is None:
            return f"{boottime_ns / 1e9:.3f} s after the boot"
        today = datetime.now(timezone.utc).astimezone().date()
        return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M:%S}"

    def _document(self, asked: Sequence[_Asked]) -> dict[str, Any]:
        moment = self._moment
        at = {"clock": moment.clock.value, "first_ns": str(moment.first_ns)}
        return {
            "schema": SCHEMA,
            "source": self._recording.path,
            "mode": "recording",
            "at": {**at, "last_ns": str(moment.last_ns)},
            "complete": all(it.answer.gap is None for it in asked),
            "past_lookups": [self._answer_json(it) for it in asked],
        }

    def _answer_json(self, it: _Asked) -> dict[str, Any]:
        gap = it.answer.gap
        return {
            "number": it.number,
            "ns": self._ns,
            "to": self._to,
            "holders": [self._holder_json(holder) for holder in it.answer.holders],
            "gap": None if gap is None else _gap_json(gap),
        }

    def _holder_json(self, it: Holder) -> dict[str, Any]:
        container = self._past.container(it)
        named = None
        if container is not None:
            named = {"runtime": container.runtime, "id": container.id, "name": container.name}
            named |= {"pod": container.pod, "pod_namespace": container.pod_namespace}
            named = {key: printable(value) if value else None for key, value in named.items()}
        return {
            "boot_id": it.boot_id,
            "pid": it.tgid,
            "cpid": None if it.is_thread else _cpid(it),
            "levels": [{"ns": ns, "tid": number} for ns, number in zip(it.inums, it.numbers)],
            "translated": _number_in(it, self._to),
            "start_ns": None if it.start_ns is None else str(it.start_ns),
            "end_ns": None if it.end_ns is None else str(it.end_ns),
            "status": it.status,
            "facts": {
                "at_ns": str(it.facts_ns),
                "comm": escape(it.comm),
                "ppid": it.ppid,
                "pgid": it.pgid,
                "sid": it.sid,
                "uid": it.uid,
                "container": named,
            },
        }


def _cpid(it: Holder) -> str | None:
    from pidscope.history.cpid import cpid_of  # text does without

    return cpid_of(it.boot_id, it.numbers, it.inums, it.tgid, it.start_ns)


def _number_in(it: Holder, ns: int) -> int | None:
    """Return its number in a namespace; 0: it has none there."""
    return dict(zip(it.inums, it.numbers)).get(ns, 0)


def _status(it: Holder) -> str:
    if it.status is None:
        return ""
    return f", signal {it.signal}" if it.signal else f", status {it.exit_status}"


def _gap_json(gap: Gap) -> dict[str, Any]:
    last = None if gap.last_ns is None else str(gap.last_ns)
    return {"first_ns": str(gap.first_ns), "last_ns": last, "reason": printable(gap.reason)}


def _warn_unnumbered(asked: Iterable[_Asked], to: int) -> int:
    """Print for which no number could be printed, and return the exit code of the gravest."""
    codes = [0]
    for it in asked:
        if len(it.answer.holders) == 1 and it.answer.gap is None:
            number = _number_in(it.answer.holders[0], to)
            if number is None:
                warn(f"{it.number}: its number in {bracketed(to)} is not known")
                codes.append(NotKnown.exit_code)
            elif not number:
                warn(f"{it.number}: it had no number in {bracketed(to)}")
                codes.append(NotFound.exit_code)
    return max(codes)


def _warn(asked: Iterable[_Asked], ns: int, recording: Recording) -> int:
    """Print on standard error what is not known, and return the exit code of the gravest."""
    codes = [0]
    for it in asked:
        where = f"{it.number} in {bracketed(ns)}"
        if len(it.answer.holders) > 1:
            warn(f"{where}: several had it in that time")
            codes.append(AmbiguousError.exit_code)
        elif it.answer.gap is not None:
            also = ", so that another may have had it, too" if it.answer.holders else ""
            warn(f"{where}: not known: {printable(it.answer.gap.reason)}{also}")
            codes.append(NotKnown.exit_code)
        elif not it.answer.holders:
            warn(f"{where}: no task had it then")
            codes.append(NotFound.exit_code)
    for line in recording.refused:
        warn(line)
    return max(codes)
