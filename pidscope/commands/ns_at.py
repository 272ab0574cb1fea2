"""``pidscope ns --at``: the PID namespaces in which tasks lived at a time, from a recording."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pidscope.commands.past_question import PastQuestion, past_question, warn_gap
from pidscope.errors import AmbiguousError, UsageError
from pidscope.history.answer import Answer
from pidscope.history.past_namespaces import PastNamespace, namespaces
from pidscope.query.place import bracketed
from pidscope.render import tables
from pidscope.render.text import known
from pidscope.terminal import table_width, warn

_OF_INIT = ("BORN", "ENDED", "READ-AT", "READ-CONTAINER", "READ-COMM")
_COLUMNS = ("NS", "LEVEL", "PARENT", "INIT", "PROCS", "THREADS", *_OF_INIT)
_DEFAULT = ("NS", "LEVEL", "INIT", "PROCS", "THREADS", "BORN", "ENDED", "READ-AT", "READ-COMM")
_CONTAINER = "READ-CONTAINER"
_INDENT = "  "


def run(args: argparse.Namespace) -> int:
    """Print the namespaces in which tasks lived then.

    Raises UsageError, NotKnown, HostError, RecordingError.
    """
    if args.kept:
        raise UsageError("--kept and --at do not go together: what keeps one is not recorded")
    with past_question(args) as question:
        answer, threads = _alive(question)
        found = namespaces(answer.holders, answer.gap is None)
        if args.json:
            print(json.dumps(_document(question, answer, found, threads)))
        else:
            _show(question, found, threads, args)
        return max(_warn_several(found), warn_gap(answer.gap, question.times(), "namespaces"))


def _alive(question: PastQuestion) -> tuple[Answer, bool]:
    """Return the tasks that lived, and whether all threads are known, too."""
    everyone = question.past.alive()
    if everyone.gap is None:
        return everyone, True
    return question.past.alive(threads=False), False


def _document(
    question: PastQuestion, answer: Answer, found: Sequence[PastNamespace], threads: bool
) -> dict[str, Any]:
    made = question.objects()
    gap = None if answer.gap is None else made.gap(answer.gap)
    objects = [
        {
            "boot_id": it.boot_id,
            "ns": it.ns,
            "level": it.level,
            "parent": it.parent,
            "init": None if it.init is None else it.init.tgid,
            "processes": it.processes,
            "threads": it.threads if threads else None,
            "init_task": None if it.init is None else made.holder(it.init),
        }
        for it in found
    ]
    return question.document("past_namespaces", objects, gap is None, gap=gap)


def _show(
    question: PastQuestion,
    found: Sequence[PastNamespace],
    threads: bool,
    args: argparse.Namespace,
) -> None:
    """Print a line a namespace, indented by level."""
    columns = list(_DEFAULT)
    if args.output is not None:
        columns = tables.choose_columns(args.output, _COLUMNS, _DEFAULT)
    elif any(it.init is not None and question.past.container(it.init) for it in found if it.level):
        columns.insert(-1, _CONTAINER)
    cells = question.cells()

    def cell(it: PastNamespace, column: str) -> str:
        if column in _OF_INIT:
            return "?" if it.init is None else cells[column](it.init)
        return {
            "NS": _INDENT * it.level + str(it.ns),
            "LEVEL": str(it.level),
            "PARENT": str(it.parent),
            "INIT": known(None if it.init is None else it.init.tgid),
            "PROCS": str(it.processes),
            "THREADS": str(it.threads) if threads else "?",
        }[column]

    rows = [[cell(it, column) for column in columns] for it in found]
    width = table_width() if args.output is None else None
    rows = tables.fitted(rows, columns, not args.noheadings, width)
    if rows:
        print(tables.aligned(rows, columns))


def _warn_several(found: Sequence[PastNamespace]) -> int:
    """Print which inums several namespaces had, one after the other; return the exit code."""
    had = Counter(it.ns for it in found if it.level)
    several = [ns for ns, count in had.items() if count > 1]
    for ns in several:
        warn(f"{bracketed(ns)}: several namespaces had it in that time")
    return AmbiguousError.exit_code if several else 0
