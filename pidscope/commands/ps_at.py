"""``pidscope ps --at``: the processes that lived at a time, from a recording."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pidscope.commands.past_question import (
    PastQuestion,
    past_question,
    warn_gap,
    warn_several,
)
from pidscope.errors import UsageError
from pidscope.history.answer import Holder
from pidscope.render import tables
from pidscope.terminal import table_width

_DEFAULT = ("PID", "NSPID", "NS", "BORN", "ENDED", "READ-AT", "READ-PPID", "READ-COMM")
_THREADS = ("PID", "TID", "NSPID", "NS", "BORN", "ENDED", "READ-AT", "READ-COMM")
_CONTAINER = "READ-CONTAINER"


def run(args: argparse.Namespace) -> int:
    """Print the processes that lived then.

    Raises UsageError, AmbiguousError, NotFound, NotKnown, HostError, RecordingError.
    """
    if args.zombies:
        raise UsageError("--zombies and --at do not go together: no state of a task is recorded")
    with past_question(args) as question:
        past = question.past
        ns = None if args.where is None else past.resolve(args.where)
        answer = past.alive(threads=args.threads)
        found = sorted((it for it in answer.holders if _is_chosen(it, ns, args)), key=_order)
        if args.json:
            made = question.objects()
            gap = None if answer.gap is None else made.gap(answer.gap)
            objects = list(map(made.holder, found))
            more = {"ns": ns, "gap": gap}
            print(json.dumps(question.document("past_processes", objects, gap is None, **more)))
        else:
            _show(question, found, args)
        what = "tasks" if args.threads else "processes"
        return max(warn_several(found), warn_gap(answer.gap, question.times(), what))


def _show(question: PastQuestion, found: Sequence[Holder], args: argparse.Namespace) -> None:
    """Print a line a task."""
    cells = question.cells()
    columns = list(_THREADS if args.threads else _DEFAULT)
    if args.output is not None:
        columns = tables.choose_columns(args.output, cells, columns)
    elif any(map(question.past.container, found)):
        columns.insert(-1, _CONTAINER)
    rows = [[cells[column](it) for column in columns] for it in found]
    width = table_width() if args.output is None else None
    rows = tables.fitted(rows, columns, not args.noheadings, width)
    if rows:
        print(tables.aligned(rows, columns))


def _is_chosen(it: Holder, ns: int | None, args: argparse.Namespace) -> bool:
    if it.is_thread and not args.threads:
        return False
    if ns is None:
        return not args.exact or len(it.inums) == 1
    return it.inums[-1] == ns if args.exact else ns in it.inums


def _order(it: Holder) -> tuple[str, int, int, int]:
    return it.boot_id, it.tgid, it.numbers[0] or 0, it.start_ns or 0
