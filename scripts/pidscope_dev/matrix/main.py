"""Make the README's table of kernels and modes, each cell from a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pidscope_dev import CHECKOUT
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.matrix import table, trial

EPILOG = """\
scripts/test --matrix runs it in every kernel of the matrix, and writes the table.

examples:
  scripts/vm --kernel 5.10 --timeout 900 -- scripts/matrix --here | tee rows
  scripts/matrix rows                 the table of these rows
  scripts/matrix --write rows         the same, into the README

exit status: 0 good; 1 a mode that the kernel allows was wrong, or none works; 2 wrong usage.
"""
ARGUMENTS: Arguments = {
    "--here": {
        "action": "store_true",
        "help": "try every mode on this kernel, as root; print its row",
    },
    "--native": {"action": "store_true", "help": "name this kernel by its version alone"},
    "--write": {
        "action": "store_true",
        "help": "write the table into the README, if all is good",
    },
    "rows": {
        "nargs": "*",
        "type": Path,
        "metavar": "FILE",
        "help": "with rows in it, among other lines (default: -)",
    },
}


def main(argv: Sequence[str]) -> int:
    """Do what the arguments ask for, and print failures in words."""
    options = command_line("scripts/matrix", __doc__, ARGUMENTS, EPILOG).parse_args(argv)
    try:
        return _try_here(options.native) if options.here else _make(options.rows, options.write)
    except (ValueError, OSError) as error:
        print(f"scripts/matrix: {error}", file=sys.stderr)
        return 1


def _try_here(native: bool) -> int:
    tried = trial.tried(native)
    print(table.to_line(tried))
    return 0 if tried.good else 1


def _make(files: list[Path], write: bool) -> int:
    rows = list(table.from_lines(_lines(files)))
    made = table.markdown(rows)
    print(made, end="")
    if not rows or not all(each.good for each in rows):
        return 1
    if write:
        readme = CHECKOUT / "README.md"
        readme.write_text(table.written(readme.read_text(), made))
    return 0


def _lines(files: list[Path]) -> Iterator[str]:
    for file in files or [Path("/dev/stdin")]:
        yield from file.read_text(errors="replace").splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
