"""The options of commands that list: what lsns has, and what to read."""

from __future__ import annotations

import argparse

from pidscope.errors import UsageError
from pidscope.sources.options import add_json, add_proc
from pidscope.terminal import table_width


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what lsns has, and what to read."""
    add_json(parser)
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("-o", "--output", metavar="COLUMNS", help="these columns, uncut")
    add_source(parser)


def expect_one_form(args: argparse.Namespace) -> None:
    """Raise UsageError for options of `add_options` that would be ignored."""
    options = ("-q", getattr(args, "quiet", False)), ("-J", args.json)
    given = [option for option, it in options if it]
    if args.output is not None:
        given.append("-o")
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} do not go together")


def width_of(args: argparse.Namespace) -> int | None:
    """Return the width of a table, or None: columns that were asked for, or no terminal."""
    return table_width() if args.output is None else None


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``--proc`` and ``--source``, for what reads a /proc."""
    add_proc(parser)
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="proc, live (by a task iterator, as root), simulated[:SCENARIO], or a FILE of record "
        "--events; default: live among many processes if its program is kept, else proc",
    )
