"""Command lines as data: the options of a command stand in a table, and its help says the rest."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

Arguments = Mapping[str, Mapping[str, Any]]  # by name, the options of `add_argument`


def command_line(
    prog: str, description: str | None, arguments: Arguments, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser that prints both texts as they are written."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, arguments)
    return parser


def add_arguments(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Add all of a table, in its order."""
    for name, options in arguments.items():
        parser.add_argument(name, **options)


def positive(text: str) -> int:
    """Return an argument that is an integer above 0; raises ArgumentTypeError otherwise."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"not a number above 0: {text}")
    return number
