"""``pidscope lookup --at``: what had a number at a time, from a recording."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pidscope.commands.past_question import PastQuestion, past_question
from pidscope.commands.typed_numbers import TypedNumbers
from pidscope.errors import AmbiguousError, NotFound, NotKnown, UsageError
from pidscope.escape import escape
from pidscope.history.answer import Answer, Holder
from pidscope.query.place import bracketed
from pidscope.query.typed_pid import expect_pid
from pidscope.render import tables
from pidscope.render.text import known
from pidscope.terminal import table_width, warn

if TYPE_CHECKING:
    from pidscope.history.holder_json import HolderObjects

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
    given = [None if word == "-" else expect_pid(word) for word in args.pids]
    typed = TypedNumbers(given, None if sys.stdin is None else sys.stdin.buffer)
    codes = [0]
    with past_question(args) as question:
        past = question.past
        ns, to = past.resolve(args.where), past.resolve(args.to)
        printed = _Printed(question, ns, to)
        batches: Iterable[Sequence[int]] = typed.batches()
        if args.json:
            batches = [[number for batch in batches for number in batch]]
        for batch in batches:
            asked = [_Asked(it, past.holders(ns, it)) for it in batch]
            printed.show(asked, args)
            codes.append(printed.warn(asked))
            codes += [_warn_unnumbered(asked, to)] if args.quiet else []
            args.noheadings = True  # there is one heading
    return max(*codes, UsageError.exit_code if typed.refused else 0)


class _Printed:
    """The answers of each batch, as text and JSON."""

    def __init__(self, question: PastQuestion, ns: int, to: int) -> None:
        self._question = question
        self._times = question.times()
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
            self._question.container(it),
            self._what(it),
        ]

    def _what(self, it: Holder) -> str:
        """Return ``process, born 14:02:59, ended 14:03:05, status 1; at its end sh``."""
        kind = f"thread of {it.tgid}" if it.is_thread else "process"
        born = "" if it.start_ns is None else f", born {self._times.start(it)}"
        ended = ""
        if it.end_ns is not None:
            ended = f", ended {self._times.end(it)}{_status(it)}"
        facts = self._times.facts(it)
        return f"{kind}{born}{ended}; at {facts} {escape(it.comm)}"

    def _document(self, asked: Sequence[_Asked]) -> dict[str, Any]:
        made = self._question.objects()
        found = [self._answer_json(it, made) for it in asked]
        complete = all(it.answer.gap is None for it in asked)
        return self._question.document("past_lookups", found, complete)

    def _answer_json(self, it: _Asked, made: HolderObjects) -> dict[str, Any]:
        gap = it.answer.gap
        return {
            "number": it.number,
            "ns": self._ns,
            "to": self._to,
            "holders": [
                {**made.holder(holder), "translated": _number_in(holder, self._to)}
                for holder in it.answer.holders
            ],
            "gap": None if gap is None else made.gap(gap),
        }

    def warn(self, asked: Iterable[_Asked]) -> int:
        """Print on standard error what is not known; return the exit code of the gravest."""
        codes = [0]
        for it in asked:
            where = f"{it.number} in {bracketed(self._ns)}"
            if len(it.answer.holders) > 1:
                warn(f"{where}: several had it in that time")
                codes.append(AmbiguousError.exit_code)
            elif it.answer.gap is not None:
                also = "; another may have had it, too" if it.answer.holders else ""
                warn(f"{where}: not known: {self._times.gap(it.answer.gap)}{also}")
                codes.append(NotKnown.exit_code)
            elif not it.answer.holders:
                warn(f"{where}: no task had it then")
                codes.append(NotFound.exit_code)
        return max(codes)


def _number_in(it: Holder, ns: int) -> int | None:
    """Return its number in a namespace; 0: it has none there."""
    return dict(zip(it.inums, it.numbers)).get(ns, 0)


def _status(it: Holder) -> str:
    if it.status is None:
        return ""
    return f", signal {it.signal}" if it.signal else f", status {it.exit_status}"


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
