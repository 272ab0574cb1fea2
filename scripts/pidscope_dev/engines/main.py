"""Ask each container engine and pidscope the same questions; print a row for each engine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pidscope_dev import CHECKOUT
from pidscope_dev.arguments import Arguments, command_line
from pidscope_dev.engines import table
from pidscope_dev.engines.containerd import Containerd
from pidscope_dev.engines.docker import Docker, Podman
from pidscope_dev.engines.engine import Engine, EngineFailed
from pidscope_dev.engines.lxc import Lxc
from pidscope_dev.engines.nspawn import Nspawn
from pidscope_dev.engines.oci import Crun, Runc
from pidscope_dev.engines.questions import Differs, answers

EPILOG = """\
It starts engines and containers on the machine where it runs, so it is for a guest.

examples:
  scripts/vm --engines --memory 4096 --timeout 1800 -- scripts/engines --here | tee rows
  scripts/engines --here docker podman
  scripts/engines rows                the table of these rows
  scripts/engines --write rows        the same, into docs/engines.md

exit status: 0 good; 1 an answer differs, or an engine did not run; 2 wrong usage.
"""
ENGINES = {engine.name: engine for engine in (Docker, Podman, Containerd, Lxc, Nspawn, Runc, Crun)}
PAGE = CHECKOUT / "docs" / "engines.md"
ARGUMENTS: Arguments = {
    "--here": {"action": "store_true", "help": "ask the engines named, or all, on this machine"},
    "--write": {"action": "store_true", "help": "write the table into docs/engines.md"},
    "words": {"nargs": "*", "metavar": "WORD", "help": "engines, or files with rows in them"},
}


def main(argv: Sequence[str]) -> int:
    """Do what the arguments ask for, and print failures in words."""
    parser = command_line("scripts/engines", __doc__, ARGUMENTS, EPILOG)
    options = parser.parse_args(argv)
    if options.here:
        unknown = set(options.words) - ENGINES.keys()
        if unknown:
            parser.error(f"no such engine: {', '.join(sorted(unknown))}")
        return _ask(options.words or list(ENGINES))
    return _make([Path(word) for word in options.words], options.write)


def _ask(names: list[str]) -> int:
    good = True
    for name in names:
        with tempfile.TemporaryDirectory(prefix="pidscope-engines-", dir="/run") as place:
            engine: Engine = ENGINES[name](Path(place))
            row = _row(engine)
        print(table.to_line(row), flush=True)
        good = good and table.good(row)
    return 0 if good else 1


def _row(engine: Engine) -> table.Row:
    try:
        found, failed = answers(engine), ""
    except (EngineFailed, Differs, OSError, ValueError) as error:
        found, failed = {}, str(error)
    try:
        version = engine.version()
    except (EngineFailed, ValueError, OSError):
        version = "?"
    return table.Row(engine.name, version, table.cgroup_form(), table.kernel(), found, failed)


def _make(files: list[Path], write: bool) -> int:
    rows = [row for file in files for row in table.from_lines(file.read_text(errors="replace"))]
    page = table.page(rows, ENGINES)
    if write:
        PAGE.write_text(page)
    else:
        print(page, end="")
    return 0 if rows and all(map(table.good, rows)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
