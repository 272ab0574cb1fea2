"""Bring README and docs/ up to date with the code."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence

from pidscope_dev import CHECKOUT
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.docs import picture, transcripts

EPILOG = """\
  transcripts  run each `$ COMMAND` of README and docs/ that needs no real kernel, and write its
               output below it
  captured     boot the VMs that the lines "Captured by ..." name, as root, and write what their
               commands print
  picture      draw docs/rooms.svg from the imports

Without a name: all but captured. A file that is up to date is not written.

examples:
  scripts/docs                        after a change of a message, a column, an import
  scripts/docs --check transcripts    exit status 1 if one of them is stale
  scripts/docs captured               before a release

exit status: 0 up to date now; 1 stale, or a command failed; 2 wrong usage.
"""
PARTS = {
    "transcripts": transcripts.renewed_pages,
    "picture": picture.renewed,
    "captured": transcripts.captured_pages,
}
DEFAULT = ("transcripts", "picture")


def _part(name: str) -> str:
    if name not in PARTS:
        raise ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return name


ARGUMENTS: Arguments = {
    "--check": {"action": "store_true", "help": "write nothing, name what is stale"},
    "parts": {"nargs": "*", "metavar": "PART", "type": _part, "help": "see below"},
}


def main(argv: Sequence[str]) -> int:
    """Write what is stale, or with --check only name it."""
    args = command_line("scripts/docs", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    stale = False
    try:
        for name in args.parts or DEFAULT:
            for path, text in PARTS[name]():
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    stale = True
                    print(f"scripts/docs: {path.relative_to(CHECKOUT)} is stale", file=sys.stderr)
                    if not args.check:
                        path.write_text(text, encoding="utf-8")
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"scripts/docs: {error}", file=sys.stderr)
        return 1
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
